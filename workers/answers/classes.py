"""Groups answers that are the same, as they come: the votes of one query."""

import asyncio

from policies.answer_spec import AnswerSpec
from workers.answers.equality import AUTO, Equality

MAX_COMPARED = 64
"""Representatives that a new answer is compared with, the oldest first."""


class EquivalenceClasses:
    """Each class is known by its first answer, which stays. One for each query.

    Equality of answers is not transitive (28 % is 28 and 0.28), so that an answer is compared with
    first answers only: the oldest class that it is the same as takes it.
    """

    def __init__(self, equality: Equality, spec: AnswerSpec = AUTO) -> None:
        self._equality, self._spec = equality, spec
        self._members: dict[str, str] = {}
        self._first: list[str] = []
        self._lock = asyncio.Lock()

    @property
    def representatives(self) -> tuple[str, ...]:
        """The first answer of each class, in the order they came."""
        return tuple(self._first)

    def known(self, answer: str) -> str | None:
        """The representative of an answer that was added before."""
        return self._members.get(answer)

    def add_at_once(self, answer: str) -> str | None:
        """The representative without waiting, None where formulas must be compared first.

        None too while an `add` is under way, which could begin a class of the same answer.
        """
        if (known := self.known(answer)) is not None:
            return known
        if self._lock.locked():
            return None
        for first in self._candidates():
            verdict = self._equality.at_once(first, answer, self._spec)
            if verdict is None:
                return None
            if verdict.same:
                return self._joined(answer, first)
        return self._joined(answer, answer)

    async def add(self, answer: str) -> str:
        """The representative: the answer itself where it is the first of its class."""
        # In the order of the calls, so that a class has one first answer.
        async with self._lock:
            if (known := self.known(answer)) is not None:
                return known
            for first in self._candidates():
                if (await self._equality.same(first, answer, self._spec)).same:
                    return self._joined(answer, first)
            return self._joined(answer, answer)

    def _candidates(self) -> list[str]:
        return self._first[:MAX_COMPARED] if self._spec.kind != "none" else []

    def _joined(self, answer: str, first: str) -> str:
        if answer == first:
            self._first.append(first)
        self._members[answer] = first
        return first
