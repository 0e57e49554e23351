"""Servers that benchmarks start: how they are started, asked, compared and ended."""
