"""The lines that go to the store, and the rows that they become.

A line is one JSON object. What it is stands in `kind`; a line of an outcome log, which has none, is
an outcome. Every line has an id of its own, so that one which comes twice counts once.
"""

import json
import math
import time
from typing import Any, Final, NamedTuple, Protocol

StoreRecord = dict[str, Any]
TableRow = dict[str, Any]

OUTCOME, FEEDBACK, CURVES, JOB = "outcome", "feedback", "curves", "job"
ANSWERS: Final = ("answer", "answers", "reference")
QUESTIONS: Final = ("question", "content", "text")
_LARGEST: Final = 2**63 - 1


class Recorder(Protocol):
    """Takes records to the store, and does not wait for it."""

    def put(self, record: StoreRecord) -> None: ...


class Rows(NamedTuple):
    """What one batch of lines holds. `decisions` are by the id of their outcome."""

    outcomes: list[TableRow]
    decisions: dict[str, list[TableRow]]
    feedback: list[TableRow]
    curves: list[TableRow]
    jobs: list[TableRow]


def outcome_record(outcome: StoreRecord, *, tenant: str, request_id: str | None) -> StoreRecord:
    """An answered query, at the moment."""
    return outcome | {"at": time.time(), "tenant": tenant, "request_id": request_id}


def feedback_record(
    outcome_id: str, reward: float, *, tenant: str, source: str = ""
) -> StoreRecord:
    """A label of an answered query: `reward` is from 0 to 1."""
    return {
        "kind": FEEDBACK,
        "id": outcome_id,
        "at": time.time(),
        "reward": reward,
        "tenant": tenant,
        "source": source,
    }


def curves_record(snapshot_id: str, classes: list[StoreRecord]) -> StoreRecord:
    """A snapshot of what is learned: `model`, `class` and `curve` of every class."""
    return {"kind": CURVES, "id": snapshot_id, "at": time.time(), "classes": classes}


def job_record(
    job_id: str,
    state: str,
    *,
    begun: float,
    total: int = 0,
    completed: int = 0,
    failed: int = 0,
    tokens: int = 0,
    **more: Any,
) -> StoreRecord:
    """How a batch job stands now; `state` is one of OpenAI's. The newest counts.

    `begun` is in seconds since 1970. `more` is kept as it is.
    """
    return more | {
        "kind": JOB,
        "id": job_id,
        "at": begun,
        "updated": time.time(),
        "state": state,
        "total": total,
        "completed": completed,
        "failed": failed,
        "tokens": tokens,
    }


def without_texts(outcome: StoreRecord) -> StoreRecord:
    """The outcome without what was asked and answered, wherever in it that stands.

    Answers become numbers, equal ones the same number, so that votes can still be counted.
    """
    names: dict[str, str] = {}

    def hidden(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: hidden(name, inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [hidden(key, inner) for inner in value]
        if isinstance(value, str) and key in ANSWERS:
            return names.setdefault(value, f"#{len(names) + 1}")
        return None if key in QUESTIONS else value

    return {key: hidden(key, value) for key, value in outcome.items()}


def rows_of(lines: list[bytes]) -> tuple[Rows, list[str]]:
    """The rows of a batch, and what is wrong with the lines that are left out."""
    rows, wrong = Rows([], {}, [], [], []), []
    for line in lines:
        try:
            text = line.decode()
            _add(rows, json.loads(text), text.rstrip("\n"))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            wrong.append(f"{type(error).__name__}: {error}: {line[:80]!r}")
    return rows, wrong


def _add(rows: Rows, record: StoreRecord, text: str) -> None:
    match record.get("kind", OUTCOME):
        case "outcome":
            outcome, decisions = _outcome(record, text), _decisions(record)
            rows.outcomes.append(outcome)
            rows.decisions.setdefault(outcome["id"], decisions)
        case "feedback":
            rows.feedback.append(
                {
                    "outcome_id": _text(record["id"]),
                    "at": _finite(record["at"]),
                    "reward": _finite(record["reward"]),
                    "tenant": _text(record.get("tenant")),
                    "source": _text(record.get("source")),
                }
            )
        case "curves":
            rows.curves.append(
                {
                    "id": _text(record["id"]),
                    "at": _finite(record["at"]),
                    "classes": len(record["classes"]),
                    "payload": text,
                }
            )
        case "job":
            counts = {
                key: _count(record[key]) for key in ("total", "completed", "failed", "tokens")
            }
            rows.jobs.append(
                {
                    "id": _text(record["id"]),
                    "at": _finite(record["at"]),
                    "updated": _finite(record["updated"]),
                    "state": _text(record["state"]),
                    "payload": text,
                }
                | counts
            )
        case other:
            raise ValueError(f"kind must be outcome, feedback, curves or job, got {other!r}")


def _outcome(record: StoreRecord, text: str) -> TableRow:
    plan, correct = record.get("plan"), record.get("correct")
    return {
        "id": _text(record["id"]) or _missing("id"),
        "at": _finite(record.get("at") or time.time()),
        "model": _text(record["model"]),
        "query_class": _text(record["class"]),
        "policy": _text(record["policy"]),
        "plan": _text(plan.get("name")) if plan else "",
        "propensity": _share(record.get("propensity")),
        "tenant": _text(record.get("tenant")),
        "stop_reason": _text(record["stop_reason"]),
        "correct": None if correct is None else bool(correct),
        "chance": _share(record.get("chance")),
        "tokens": _count(record["tokens"]["total"]),
        "seconds": _finite(record["seconds"]),
        "price": _finite(record["price"]),
        "payload": text.replace("\0", ""),
    }


def _decisions(record: StoreRecord) -> list[TableRow]:
    steps = (record.get("considered") or {}).get("steps") or ()
    return [
        {
            "step": number,
            "kind": _text(step["kind"]),
            "chains": len(step["chains"]),
            "max_thinking_tokens": (step.get("budget") or {}).get("max_thinking_tokens"),
            "propensity": _share(step.get("propensity")),
            "votes_before": _count(step["votes"]),
            "tokens_before": _count(step["tokens"]),
        }
        for number, step in enumerate(steps)
    ]


def _text(value: Any) -> str:
    """A text that every database takes: PostgreSQL refuses NUL, and neither takes half a pair."""
    if value is None:
        return ""
    if isinstance(value, str) and value.isascii() and "\0" not in value:
        return value
    return str(value).replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _finite(value: Any) -> float:
    if not math.isfinite(number := float(value)):
        raise ValueError(f"{value} is no number that can be summed")
    return number


def _share(value: Any) -> float | None:
    """A number, or None where there is none."""
    return float(value) if value is not None and math.isfinite(value) else None


def _count(value: Any) -> int:
    if not -_LARGEST <= int(value) <= _LARGEST:
        raise ValueError(f"{value} is too large to be kept")
    return int(value)


def _missing(field: str) -> str:
    raise ValueError(f"{field} is missing")
