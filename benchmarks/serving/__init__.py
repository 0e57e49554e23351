"""The servers that `endpoint` compares: how they are started, asked and judged."""
