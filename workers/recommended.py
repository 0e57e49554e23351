"""How a model's makers say that it is to be sampled: `generation_config.json`, value by value.

Only values that say how a token is drawn are followed. What would bound or lift a budget, such as
`max_new_tokens`, is not, nor is a value that no engine could draw by: it is named as ignored.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from policies.sampling import SamplingParams

FILE = "generation_config.json"
DEFAULT_TEMPERATURE = 1.0
# How tokens are drawn where the makers' recommendation is not meant.
NEUTRAL: Mapping[str, float | int] = {"temperature": DEFAULT_TEMPERATURE}

# Lowest and highest legal value, and whether it is a whole number. A temperature of 0 would make
# all votes the same.
_BOUNDS: dict[str, tuple[float, float, bool]] = {
    "temperature": (math.ulp(0.0), 2.0, False),
    "top_p": (math.ulp(0.0), 1.0, False),
    "top_k": (-1, 1 << 20, True),
    "min_p": (0.0, 1.0, False),
    "repetition_penalty": (math.ulp(0.0), 2.0, False),
    "presence_penalty": (-2.0, 2.0, False),
    "frequency_penalty": (-2.0, 2.0, False),
}


class Recommended(NamedTuple):
    """The values in force, and the names of those that were given and are not followed."""

    values: Mapping[str, float | int]
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        listed = ", ".join(f"{name} {value:g}" for name, value in self.values.items())
        return listed + (f" (ignored: {', '.join(self.ignored)})" if self.ignored else "")


def drawing(values: Mapping[str, float | int], params: SamplingParams) -> dict[str, float | int]:
    """How tokens are drawn: by these values, where the parameters ask for nothing else."""
    if params.temperature == 0:
        # Greedy: the recommended truncations would only warn.
        return {**values, "temperature": 0.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0}
    asked = {"temperature": params.temperature, "top_p": params.top_p}
    return {**values, **{name: value for name, value in asked.items() if value is not None}}


def recommended(found: object) -> Recommended:
    """What is followed of the makers' settings, the contents of their file.

    The temperature is 1 where they name none.
    """
    table = found if isinstance(found, Mapping) else {}
    values: dict[str, float | int] = {"temperature": DEFAULT_TEMPERATURE}
    ignored = []
    for name, (lowest, highest, is_whole) in _BOUNDS.items():
        value = table.get(name)
        if value is None:
            continue
        kinds = int if is_whole else int | float
        if isinstance(value, kinds) and not isinstance(value, bool) and lowest <= value <= highest:
            values[name] = value
        else:
            ignored.append(f"{name} {value!r}")
    if (bound := table.get("max_new_tokens")) is not None:
        ignored.append(f"max_new_tokens {bound!r}")
    return Recommended(values, tuple(ignored))


def ends_of_turn(found: object) -> tuple[int, ...]:
    """The ids of `eos_token_id` that are ids."""
    ends = found.get("eos_token_id") if isinstance(found, Mapping) else None
    listed = ends if isinstance(ends, list | tuple) else [ends]
    return tuple(end for end in listed if type(end) is int and end >= 0)


def read_settings(model: str, revision: str | None = None) -> Any:
    """The contents of the makers' file in a folder, or in the cache of the hub; {} without one."""
    path = find_file(model, FILE, revision)
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError):
        return {}


def find_file(model: str, name: str, revision: str | None = None) -> Path | None:
    """A file of a model in its folder, or in the cache of the hub; None where it is in neither."""
    if Path(model).is_dir():
        return Path(model, name) if Path(model, name).is_file() else None
    from huggingface_hub import try_to_load_from_cache

    try:
        cached = try_to_load_from_cache(model, name, revision=revision)
    except ValueError:  # no name that a hub could know
        return None
    return Path(cached) if isinstance(cached, str) else None
