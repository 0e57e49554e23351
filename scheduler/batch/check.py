"""What `batch check` finds in an input, without asking anything."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from scheduler.batch.durability.ids import IdSet
from scheduler.batch.inputs.row import BadRow, Row

SHOWN = 10


@dataclass(slots=True)
class Checked:
    """`shown` are the first rows of each kind of error, by number."""

    rows: int = 0
    bad: int = 0
    with_reference: int = 0
    letters: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    shown: list[tuple[int, str]] = field(default_factory=list)

    def lines(self) -> list[str]:
        found = [
            f"{self.rows:,} rows, {self.bad:,} bad, {self.with_reference:,} with a reference, "
            f"{self.letters:,} characters of prompts"
        ]
        found += [f"  {count} x {code}" for code, count in self.errors.most_common()]
        found += [f"  row {number}: {why}" for number, why in self.shown]
        if len(self.classes) > 1:
            most = self.classes.most_common(SHOWN)
            found.append("  classes: " + ", ".join(f"{name} {count:,}" for name, count in most))
        return found

    def as_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "bad": self.bad,
            "with_reference": self.with_reference,
            "characters": self.letters,
            "errors": dict(self.errors),
            "classes": dict(self.classes.most_common(1000)),
            "first_errors": [{"row": number, "message": why} for number, why in self.shown],
        }


def check_rows(rows: Iterable[Row | BadRow]) -> Checked:
    """Reads all of them. Whether the model takes a body is only known once it is asked."""
    checked, ids = Checked(), IdSet()
    for row in rows:
        checked.rows += 1
        if isinstance(row, BadRow):
            _note(checked, row.number, row.error.code, row.error.message)
        elif not ids.add(row.custom_id):
            why = f"custom_id {row.custom_id!r} came up before"
            _note(checked, row.number, "duplicate_id", why)
        else:
            _count(checked, row.body)
    return checked


def _note(checked: Checked, number: int, code: str, why: str) -> None:
    checked.bad += 1
    checked.errors[code] += 1
    if len(checked.shown) < SHOWN:
        checked.shown.append((number, why[:200]))


def _count(checked: Checked, body: dict[str, Any]) -> None:
    own = body.get("thinkbudget")
    own = own if isinstance(own, dict) else {}
    meta = body.get("metadata")
    named = own.get("query_class") or (meta.get("query_class") if isinstance(meta, dict) else None)
    checked.classes[str(named or "default")[:100]] += 1
    checked.with_reference += own.get("reference_answer") is not None
    messages = body.get("messages")
    for turn in messages if isinstance(messages, list) else []:
        content = turn.get("content") if isinstance(turn, dict) else None
        checked.letters += len(content) if isinstance(content, str) else 0
