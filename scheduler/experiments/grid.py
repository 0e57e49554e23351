"""Policies with grids: a list of values for an option makes one policy of each."""

from collections.abc import Mapping
from difflib import get_close_matches
from itertools import product
from typing import Any

from scheduler.config import PolicyConfig

MOST = 1000


def expanded(policies: Mapping[str, Mapping[str, Any]]) -> dict[str, PolicyConfig]:
    """By label; those of a grid are LABEL-OPTION=VALUE. Raises ValueError that names the label."""
    found: dict[str, PolicyConfig] = {}
    for label, table in policies.items():
        options = dict(table)
        name = options.pop("policy", None)
        if not isinstance(name, str):
            near = get_close_matches("policy", table, n=1, cutoff=0.5)
            told = f"; is that what {near[0]!r} means?" if near else ""
            raise ValueError(f"policies.{label}.policy must name a policy, got {name!r}{told}")
        axes = {option: value for option, value in options.items() if isinstance(value, list)}
        if empty := [option for option, values in axes.items() if not values]:
            raise ValueError(f"policies.{label}.{empty[0]}: the list of values is empty")
        for values in product(*axes.values()):
            chosen = dict(zip(axes, values, strict=True))
            ending = ",".join(f"{option}={_shown(value)}" for option, value in chosen.items())
            full = f"{label}-{ending}" if ending else label
            if full in found:
                raise ValueError(f"policies: {full!r} is there twice")
            found[full] = PolicyConfig(name, options | chosen)
            if len(found) > MOST:
                raise ValueError(f"policies.{label}: more than {MOST} policies in all")
    return found


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower().replace("/", "_")
