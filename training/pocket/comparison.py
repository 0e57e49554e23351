"""Compares measured models question by question: accuracies, paired intervals, tables."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import NamedTuple

from training.pocket.measure import CAPS, WAITS, Measured, cap, waits

NORMAL_95 = 1.96


class Estimate(NamedTuple):
    """A mean and the half width of its 95 % interval over questions."""

    mean: float
    half: float

    @property
    def bounds(self) -> str:
        return f"[{100 * (self.mean - self.half):+.1f}, {100 * (self.mean + self.half):+.1f}]"


def estimate(values: Sequence[float]) -> Estimate:
    """Of one value a question; the interval is the normal one."""
    return Estimate(fmean(values), NORMAL_95 * stdev(values) / math.sqrt(len(values)))


def accuracy(measured: Measured, setting: str, name: str | None = None) -> Estimate:
    """Of one class, or of all questions."""
    return estimate(_of_class(measured, setting, name))


def difference(
    first: Measured, second: Measured, setting: str, name: str | None = None
) -> Estimate:
    """How much more accurate the first is; the interval is paired by question."""
    return paired(_of_class(first, setting, name), _of_class(second, setting, name))


def gain(measured: Measured, later: str, earlier: str, name: str | None = None) -> Estimate:
    """How much more accurate one setting is than another, paired by question."""
    return paired(_of_class(measured, later, name), _of_class(measured, earlier, name))


def paired(first: Sequence[float], second: Sequence[float]) -> Estimate:
    return estimate([a - b for a, b in zip(first, second, strict=True)])


def tokens(measured: Measured, setting: str) -> float:
    return fmean(measured.settings[setting].tokens)


def _of_class(measured: Measured, setting: str, name: str | None) -> list[float]:
    right = measured.settings[setting].right
    if name is None:
        return [float(value) for value in right]
    pairs = zip(right, measured.classes, strict=True)
    return [float(value) for value, of in pairs if of == name]


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head."""
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, f"|{'---|' * len(rows[0])}", *rest])


def waits_table(models: Mapping[str, Measured]) -> str:
    """Accuracy over all questions by Waits and caps, in %, and mean thinking tokens."""
    settings = [*(waits(number) for number in WAITS), *(cap(each) for each in CAPS)]
    return table([
        ["model", *settings],
        *([name, *(_cell(measured, setting) for setting in settings)]
          for name, measured in models.items()),
    ])  # fmt: skip


def _cell(measured: Measured, setting: str) -> str:
    return f"{100 * accuracy(measured, setting).mean:.1f} ({tokens(measured, setting):.0f})"


def class_table(models: Mapping[str, Measured], reference: str) -> str:
    """Accuracy by class without and with Waits, in %; all questions against a reference model."""
    classes = list(dict.fromkeys(models[reference].classes))
    none, most = waits(0), waits(max(WAITS))
    rows = [["model", *classes, "all", f"all - {reference}, {none}", f"the same, {most}"]]
    for name, measured in models.items():
        cells = [
            " → ".join(f"{100 * accuracy(measured, each, of).mean:.1f}" for each in (none, most))
            for of in (*classes, None)
        ]
        against = [
            "" if name == reference else _against(measured, models[reference], setting)
            for setting in (none, most)
        ]
        rows.append([name, *cells, *against])
    return table(rows)


def _against(measured: Measured, reference: Measured, setting: str) -> str:
    found = difference(measured, reference, setting)
    return f"{100 * found.mean:+.1f} {found.bounds}"


def block_table(models: Mapping[str, Measured], pairs: Sequence[tuple[str, str]]) -> str:
    """Accuracy and thinking tokens of a model without Waits, whole rows against cut ones."""
    rows = [["set", "whole rows", "cut rows", "difference of accuracy", "of tokens"]]
    none = waits(0)
    for whole, cut in pairs:
        first, second = models[whole], models[cut]
        longer = paired(second.settings[none].tokens, first.settings[none].tokens)
        rows.append([
            whole, _cell(first, none), _cell(second, none), _against(second, first, none),
            f"{longer.mean:+.0f} ± {longer.half:.0f}",
        ])  # fmt: skip
    return table(rows)
