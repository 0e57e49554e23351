"""The bill of a job: queries, tokens and accuracy by class and plan, read off its replies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class BillRow:
    """`expected` adds up the chances of the answers whose chance is known."""

    queries: int = 0
    tokens: int = 0
    known: int = 0
    expected: float = 0.0
    labelled: int = 0
    right: int = 0

    @property
    def accuracy(self) -> float | None:
        """Of the checked answers, else as predicted; None where nothing is known."""
        if self.labelled:
            return self.right / self.labelled
        return self.expected / self.known if self.known else None


@dataclass(slots=True)
class Bill:
    rows: dict[tuple[str, str], BillRow] = field(default_factory=dict)

    def add(self, reply: Mapping[str, Any]) -> None:
        """Count the reply to one row. One without our account counts by its usage alone."""
        account = reply.get("thinkbudget") or {}
        key = (str(account.get("query_class") or "default"), str(account.get("plan") or "-"))
        row = self.rows.setdefault(key, BillRow())
        row.queries += 1
        row.tokens += int((reply.get("usage") or {}).get("completion_tokens") or 0)
        if (chance := account.get("chance")) is not None:
            row.known += 1
            row.expected += float(chance)
        if (correct := account.get("correct")) is not None:
            row.labelled += 1
            row.right += bool(correct)

    @property
    def total(self) -> BillRow:
        total = BillRow()
        for row in self.rows.values():
            for name in ("queries", "tokens", "known", "expected", "labelled", "right"):
                setattr(total, name, getattr(total, name) + getattr(row, name))
        return total

    def lines(self) -> list[str]:
        """A table, one line a class and plan, the dearest first."""
        head = f"{'class':20}{'plan':12}{'rows':>9}{'tokens':>13}{'tokens/row':>12}{'accuracy':>10}"
        ordered = sorted(self.rows.items(), key=lambda item: -item[1].tokens)
        parts = [(*key, row) for key, row in ordered]
        if len(parts) > 1:
            parts.append(("all", "", self.total))
        return [head, *(_line(name, plan, row) for name, plan, row in parts)]

    def as_dict(self) -> list[dict[str, Any]]:
        return [
            {
                "class": name,
                "plan": plan,
                "rows": row.queries,
                "tokens": row.tokens,
                "accuracy": row.accuracy,
                "labelled": row.labelled,
            }
            for (name, plan), row in self.rows.items()
        ]


def _line(name: str, plan: str, row: BillRow) -> str:
    accuracy = "" if row.accuracy is None else f"{row.accuracy:.1%}"
    mark = "" if row.labelled or not accuracy else "~"
    mean = row.tokens / max(1, row.queries)
    return (
        f"{name[:19]:20}{plan[:11]:12}{row.queries:>9,}{row.tokens:>13,}{mean:>12,.0f}"
        f"{mark + accuracy:>10}"
    )
