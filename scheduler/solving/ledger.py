"""Tokens reserved, spent and given back. Nothing is dispatched without a reservation."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Account:
    """One query's line in the ledger. `limit` is the most it may ever spend; None: no limit."""

    ledger: "Ledger"
    limit: int | None = None
    reserved: int = 0
    spent: int = 0

    @property
    def left(self) -> int | None:
        """What may still be reserved; None when nothing bounds it."""
        rooms = []
        if self.limit is not None:
            rooms.append(self.limit - self.spent - self.reserved)
        if self.ledger.limit is not None:
            rooms.append(self.ledger.limit - self.ledger.spent - self.ledger.reserved)
        return max(0, min(rooms)) if rooms else None

    def reserve(self, tokens: int) -> None:
        if self.left is not None and tokens > self.left:
            raise ValueError(f"cannot reserve {tokens} tokens, only {self.left} are left")
        self.reserved += tokens
        self.ledger.reserved += tokens

    def settle(self, *, reserved: int, spent: int) -> None:
        """Turn a reservation into what was really spent; the rest is given back."""
        self.reserved -= reserved
        self.spent += spent
        self.ledger.reserved -= reserved
        self.ledger.spent += spent
        self.ledger.refunded += max(0, reserved - spent)


@dataclass(slots=True)
class Ledger:
    """The sum over all queries of a server or a job. `limit` bounds it; None: no limit."""

    limit: int | None = None
    reserved: int = 0
    spent: int = 0
    refunded: int = 0
    queries: int = field(default=0)

    def open(self, limit: int | None = None) -> Account:
        self.queries += 1
        return Account(self, limit)
