"""One colour a policy, the same in every chart; those of one grid are shades of one hue.

The hues can be told apart without full colour vision (after Okabe and Ito, and Tol); each has a
tone for light and one for dark backgrounds. After eight families they come again with another mark.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from scheduler.experiments.report import family

Theme = Literal["light", "dark"]
_HUES = (
    ("#0072b2", "#56b4e9"),
    ("#c44e00", "#ff9b5e"),
    ("#00805e", "#35d0a0"),
    ("#a23b91", "#e495d6"),
    ("#8a6500", "#f0c540"),
    ("#332288", "#aaa0ff"),
    ("#9c1f4c", "#ff8fb0"),
    ("#4d5a63", "#b9c5cd"),
)
_MARKS = ("o", "s", "^", "D", "v", "P")
_GROUND: dict[Theme, str] = {"light": "#ffffff", "dark": "#14181c"}
_PLAIN: dict[Theme, dict[str, str]] = {
    "light": {"ink": "#1b2227", "muted": "#5d6a73", "grid": "#d9dfe3"},
    "dark": {"ink": "#e8edf0", "muted": "#a0adb6", "grid": "#343d45"},
}
_PALEST = 0.45
"""How much of the background the first shade of a grid may have."""


class PolicyColour(NamedTuple):
    light: str
    dark: str
    mark: str


def policy_colours(policies: Sequence[str]) -> dict[str, PolicyColour]:
    """By policy, in the order given: the first of a grid are the palest."""
    families: dict[str, list[str]] = {}
    for policy in policies:
        families.setdefault(family(policy), []).append(policy)
    found = {}
    for number, members in enumerate(families.values()):
        light, dark = _HUES[number % len(_HUES)]
        mark = _MARKS[number // len(_HUES) % len(_MARKS)]
        for place, policy in enumerate(members):
            pale = _PALEST * (1 - (place + 1) / len(members))
            found[policy] = PolicyColour(
                _mixed(light, _GROUND["light"], pale), _mixed(dark, _GROUND["dark"], pale), mark
            )
    return {policy: found[policy] for policy in policies}


def plain_colours(theme: Theme) -> dict[str, str]:
    """Of text, lines that belong to no policy, grid and background."""
    return {**_PLAIN[theme], "ground": _GROUND[theme]}


def _mixed(colour: str, other: str, share: float) -> str:
    pairs = [(int(colour[n : n + 2], 16), int(other[n : n + 2], 16)) for n in (1, 3, 5)]
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in pairs)
