"""What a simulated thinking says, so that a branch of it and a verifier can read it."""

import re

from workers.simulated.law import Fate, reference

_MIND = re.compile(r"so it is (\d)\s*$")


def thoughts(fate: Fate, tokens: int) -> str:
    """The text of a chain's first so many tokens: what it thinks, once it has made up its mind."""
    text = f"simulated thinking of {tokens} tokens"
    mind = fate.mind_at(tokens)
    return text if mind is None else f"{text}, so it is {mind}"


def mind_of(thinking: str) -> str | None:
    """The answer that a thinking has come to; None: it has not made up its mind."""
    found = _MIND.search(thinking)
    return found[1] if found else None


def is_right(question: str, thinking: str) -> bool:
    """Whether a thinking has come to the right answer."""
    return mind_of(thinking) == reference(question)
