"""How many tokens a query gets: policies by name, and the curves that `priced` learns from."""

from dataclasses import fields
from difflib import get_close_matches
from typing import get_args

from policies.adaptive_consistency import AdaptiveConsistency
from policies.base import Policy
from policies.fixed import Fixed
from policies.majority import Majority
from policies.priced import Priced

POLICIES: dict[str, type[Fixed | Majority | AdaptiveConsistency | Priced]] = {
    "fixed": Fixed,
    "majority": Majority,
    "adaptive_consistency": AdaptiveConsistency,
    "priced": Priced,
}


def build(name: str, **options: object) -> Policy:
    """A policy by name; whatever is wrong is a ValueError that says what was meant."""
    if name not in POLICIES:
        raise ValueError(f"unknown policy {name!r}{_nearest(name, list(POLICIES))}")
    policy = POLICIES[name]
    kinds = {field.name: field.type for field in fields(policy)}
    for option, value in options.items():
        if option not in kinds:
            raise ValueError(f"{name} has no option {option!r}{_nearest(option, list(kinds))}")
        _check_kind(option, value, kinds[option])
    return policy(**options)  # type: ignore[arg-type]


def _check_kind(option: str, value: object, kind: object) -> None:
    kinds = get_args(kind) or (kind,)
    if value is None and type(None) in kinds:
        return
    numbers = (int, float) if float in kinds else (int,)
    if isinstance(value, bool) or not isinstance(value, numbers):
        wanted = "a number" if float in kinds else "a whole number"
        raise ValueError(f"{option} must be {wanted}, got {value!r}")


def _nearest(word: str, known: list[str]) -> str:
    near = get_close_matches(word, known, n=1, cutoff=0.4)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
