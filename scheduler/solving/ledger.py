"""Tokens reserved, spent and given back. Nothing is dispatched without a reservation."""

import asyncio
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
        return self._left(0 if self.spent else self.ledger.kept_each)

    @property
    def spare(self) -> int | None:
        """The same without what is kept for those that have not begun."""
        return self._left(0)

    def _left(self, own: int) -> int | None:
        rooms = []
        if self.limit is not None:
            rooms.append(self.limit - self.spent - self.reserved)
        if self.ledger.limit is not None:
            rest = self.ledger.limit - self.ledger.spent - self.ledger.reserved
            rooms.append(max(rest - max(0, self.ledger.kept - own), min(own, rest)))
        return max(0, min(rooms)) if rooms else None

    async def room(self, tokens: int) -> None:
        """Wait while others hold what this one needs: it may be given back. What is left when
        nobody holds anything has to do.
        """
        while self.ledger.reserved and self.left is not None and self.left < tokens:
            await self.ledger.settled()

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
        self.ledger.tell()


@dataclass(slots=True)
class Ledger:
    """The sum over all queries of a server or a job. `limit` bounds it; None: no limit.

    `kept` is for queries that have not begun: each of them may take `kept_each` of it, and those
    that have spent something nothing.
    """

    limit: int | None = None
    reserved: int = 0
    spent: int = 0
    refunded: int = 0
    queries: int = field(default=0)
    kept: int = 0
    kept_each: int = 0
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def unspent(self) -> int | None:
        """Of its limit, what is under way among it; None: no limit."""
        return None if self.limit is None else self.limit - self.spent

    def open(self, limit: int | None = None) -> Account:
        self.queries += 1
        return Account(self, limit)

    async def settled(self) -> None:
        """Wait until some reservation is settled."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        await waiting

    def tell(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()
