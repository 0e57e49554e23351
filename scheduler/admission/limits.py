"""How much may come in, wait and run: the limits of the HTTP API and of admission."""

import math
from dataclasses import dataclass, field, replace
from typing import Self

from policies.plan import check_int, check_number


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What one key may take; None: as much as there is.

    Tokens are counted at their worst case while a query waits and runs, and at what it took from
    then on; `reserved_tokens` bounds the worst cases of all the key's queries at one time.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    reserved_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            check_int(name, getattr(self, name), at_least=1, at_most=2**53, optional=True)

    def part(self, of: int) -> Self:
        """What one of so many gateways grants, so that all together grant it all."""
        if of == 1:
            return self
        values = {name: getattr(self, name) for name in self.__slots__}
        return replace(self, **{n: v and math.ceil(v / of) for n, v in values.items()})

    @property
    def tokens(self) -> int | None:
        """The most that one query may ever reserve."""
        bounds = (self.tokens_per_minute, self.tokens_per_day, self.reserved_tokens)
        return min((bound for bound in bounds if bound is not None), default=None)


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """Of one gateway each; keys' quotas are of all gateways together.

    `max_running` queries run (None: twice the engine's chain slots), `max_queue` wait, each for
    `queue_seconds` at most (of tier flex: `flex_queue_seconds`). One that no engine takes, as all
    of them are being replaced, waits for `engine_seconds`: longer than an engine takes to start. No
    query lasts longer than `max_seconds`, its waits included. A body has `body_bytes` at most,
    comes within `upload_seconds`, and all that are held at one time have `held_bytes`. `per_key` is
    for keys that have no limits of their own.
    """

    max_running: int | None = None
    max_queue: int = 1000
    queue_seconds: float = 30.0
    flex_queue_seconds: float = 300.0
    engine_seconds: float = 180.0
    max_seconds: float = 3600.0
    body_bytes: int = 4 << 20
    held_bytes: int = 256 << 20
    header_bytes: int = 32 << 10
    upload_seconds: float = 30.0
    per_key: KeyLimits = field(default_factory=KeyLimits)

    def __post_init__(self) -> None:
        check_int("max_running", self.max_running, at_least=1, optional=True)
        check_int("max_queue", self.max_queue)
        for name in ("body_bytes", "held_bytes", "header_bytes"):
            check_int(name, getattr(self, name), at_least=1024, at_most=2**40)
        for name in self.__slots__:
            if name.endswith("_seconds"):
                check_number(name, getattr(self, name), above=0, at_most=86_400)
        if self.held_bytes < self.body_bytes:
            raise ValueError(
                f"held_bytes ({self.held_bytes}) is below body_bytes ({self.body_bytes})"
            )
