"""All that makes one chain, as values and as one line of JSON, for an engine in another process."""

import json
from dataclasses import asdict, dataclass, is_dataclass
from types import UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints

from workers.forcing import Chain, Forcing
from workers.format import ThinkingFormat, TokenFormat


@dataclass(frozen=True, slots=True)
class ChainSpec:
    """A chain that has not begun, or is to go on after `thinking` with `extensions` counted.

    `room` is what the context leaves for all thinking; `end_of_turn` are ids to bind `format` with;
    `ended`: this thinking came to its natural end, and only the answer is missing.
    """

    forcing: Forcing
    room: int
    format: ThinkingFormat
    end_of_turn: tuple[int, ...]
    thinking: tuple[int, ...] = ()
    extensions: int = 0
    ended: bool = False

    @classmethod
    def of(cls, chain: Chain) -> Self:
        if chain.answer or chain.stop_cause == "early_exit":
            raise ValueError("a chain that has begun to answer, or was told to, has no spec")
        return cls(
            forcing=chain.forcing,
            room=chain.room,
            format=chain.format.strings,
            end_of_turn=tuple(sorted(chain.format.end_of_turn)),
            thinking=tuple(chain.thinking),
            extensions=chain.extensions_used,
            ended=chain.stop_cause in ("natural", "extensions"),
        )

    def chain(self, format_: TokenFormat) -> Chain:
        """The same chain; `format_` is `format`, bound. What was forced before is not counted."""
        return Chain.resume(
            format_,
            self.forcing,
            room=self.room,
            thinking=self.thinking,
            # As if it was cut here: it just thinks on, unless it is full.
            stop_cause="natural" if self.ended else "context",
            extensions=self.extensions,
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Refuses what is no spec: a ValueError with the field and its value."""
        spec: Self = _parsed(cls, json.loads(text), "the chain's spec")
        return spec


def _parsed(hint: Any, raw: Any, name: str) -> Any:
    """`raw`, as JSON has it, as the type that `hint` names."""
    if get_origin(hint) is UnionType:
        inner, _ = get_args(hint)
        return None if raw is None else _parsed(inner, raw, name)
    if get_origin(hint) is tuple and isinstance(raw, list):
        return tuple(_parsed(get_args(hint)[0], item, name) for item in raw)
    if is_dataclass(hint) and isinstance(raw, dict):
        make: Any = hint
        hints = get_type_hints(make)
        if raw.keys() != hints.keys():
            raise ValueError(f"{name} has the keys {sorted(raw)}, not {sorted(hints)}")
        return make(**{key: _parsed(hints[key], value, key) for key, value in raw.items()})
    # Exactly, for a bool is an int to Python, but no number of tokens.
    if type(raw) is hint:
        return raw
    raise ValueError(f"{name} cannot be {raw!r}")
