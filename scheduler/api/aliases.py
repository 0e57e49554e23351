"""Names of a model that ask for a way to spend: all that many tools let their users choose.

<model>             as the server is set up         <model>@fixed-2048  one chain, at most so
<model>@auto        as the learned curves say                           many thinking tokens
<model>@off         one pass, nothing forced        <model>@vote-8      so many chains vote
"""

import re
from typing import NamedTuple

from policies.plan import MAX_TOKENS
from scheduler.errors import UnknownModel
from workers.engine import EngineInfo

LISTED = ("auto", "fixed-2048", "vote-8", "off")
MOST_VOTES = 64
_NUMBERED = re.compile(r"(fixed|vote)-(\d{1,10})", re.ASCII)


class Alias(NamedTuple):
    """`cap` is the most thinking of a chain; None is as the server has it."""

    policy: str | None = None
    samples: int | None = None
    cap: int | None = None

    @property
    def options(self) -> dict[str, int]:
        """Of the policy."""
        return {} if self.samples is None else {"samples": self.samples}


def resolve(name: str, model: str) -> Alias:
    """What a request's `model` asks for; raises UnknownModel that lists the names there are."""
    if name in _names(model):
        return Alias()
    base, _, wish = name.rpartition("@")
    if base in _names(model) and (alias := _alias(wish)):
        return alias
    raise UnknownModel(name, ", ".join(listed(model)))


def listed(model: str) -> list[str]:
    return [model, *(f"{model}@{alias}" for alias in LISTED)]


def card(name: str, info: EngineInfo) -> dict[str, object]:
    """A model as `/v1/models` lists it."""
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "thinkbudget",
        "max_model_len": info.max_model_len,
    }


def _names(model: str) -> tuple[str, str]:
    """A model may be called by the last part of its path."""
    return model, model.rsplit("/", 1)[-1]


def _alias(wish: str) -> Alias | None:
    if wish == "auto":
        return Alias("priced")
    if wish == "off":
        return Alias("fixed")
    if found := _NUMBERED.fullmatch(wish):
        kind, number = found[1], int(found[2])
        if kind == "fixed" and number <= MAX_TOKENS:
            return Alias("fixed", cap=number)
        if kind == "vote" and 1 <= number <= MOST_VOTES:
            return Alias("majority", samples=number)
    return None
