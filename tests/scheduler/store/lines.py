"""Outcomes as they come to the store, with only what a test cares about."""

import json
import time
from typing import Any

NOW = time.time()


def outcome(name: str, **fields: Any) -> dict[str, Any]:
    """What `Outcome.as_dict` and the store's writer make of an answered query."""
    tokens = fields.pop("tokens", 120)
    return {
        "id": name,
        "at": NOW,
        "tenant": "",
        "question": "What is 6 * 7?",
        "class": "sums",
        "reference": None,
        "model": "m",
        "policy": "priced",
        "plan": {
            "name": "whole",
            "propensity": 0.9,
            "is_exploration": False,
            "forecast": {"accuracy": 0.7, "tokens": 100.0},
        },
        "stop_reason": "settled",
        "answer": "42",
        "correct": None,
        "agreement": 1.0,
        "chance": 0.75,
        "tokens": {"reasoning": tokens - 20, "answer": 20, "total": tokens},
        "seconds": 1.5,
        "price": 3e-4,
        "considered": {
            "load": 0.0,
            "queries": 50.0,
            "labelled": 20.0,
            "alternatives": [
                {"name": "to its own end", "accuracy": 0.7, "error": 0.05, "tokens": 100.0},
                {"name": "until more thinking does not pay", "accuracy": 0.71, "error": 0.05,
                 "tokens": 80.0},
            ],
            "steps": [
                {"kind": "draw", "chains": [0, 1], "budget": {"max_thinking_tokens": 100},
                 "votes": 0, "tokens": 0},
                {"kind": "draw", "chains": [2], "budget": None, "votes": 2, "tokens": 80},
            ],
        },
        "samples": [
            {"chain": 0, "answer": "42", "thinking_tokens": 100, "answer_tokens": 20,
             "extensions": 1, "stop_cause": "natural", "probes": [{"answer": "41"}]},
            {"chain": 1, "answer": "41", "thinking_tokens": 100, "answer_tokens": 20,
             "extensions": 0, "stop_cause": "natural", "probes": None},
        ],
    } | fields  # fmt: skip


def label(name: str, reward: float, **fields: Any) -> dict[str, Any]:
    return {"kind": "feedback", "id": name, "at": NOW, "reward": reward, "tenant": "k"} | fields


def lines(*records: dict[str, Any]) -> list[bytes]:
    return [json.dumps(record).encode() + b"\n" for record in records]
