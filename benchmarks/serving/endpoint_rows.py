"""What the endpoint benchmark measured under one load, and how it is shown."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.serving.load import TOKENS, Timing
from benchmarks.serving.server_modes import Mode, distribution, modes

QUIET = 0.2
"""CPUs that other programs may use before a measurement means nothing."""


class EndpointLoad(NamedTuple):
    """`kind` is "unary" or "streaming"; `streams` is the number of requests in flight."""

    kind: str
    streams: int

    def __str__(self) -> str:
        return f"{self.kind}, {self.streams} at once"


class Measurement(NamedTuple):
    """`others`: CPUs used by other programs; `gateway`: ms CPU of our gateways, a request."""

    timing: Timing
    others: float
    gateway: float

    @property
    def is_quiet(self) -> bool:
        """Whether other programs left the CPUs alone."""
        return self.others <= QUIET


class EndpointRow:
    """One load on every server, measured once a round.

    Servers named in `bistable` have two modes; `one_stream` is the row of the same kind with one
    request in flight, None for that row itself.
    """

    def __init__(
        self, load: EndpointLoad, bistable: Sequence[str], one_stream: "EndpointRow | None" = None
    ) -> None:
        self.load = load
        self._bistable, self._one_stream = bistable, one_stream
        self._measured: dict[str, list[Measurement]] = {}

    def add(self, name: str, measured: Measurement) -> None:
        self._measured.setdefault(name, []).append(measured)

    def rates(self, name: str) -> list[float]:
        """Tokens per second of a server, by round."""
        return [each.timing.tokens_per_second for each in self._measured.get(name, [])]

    def modes(self, name: str) -> list[Mode]:
        """By round; a server without two modes, or with one stream, counts as fast."""
        rates = self.rates(name)
        if self._one_stream is None or name not in self._bistable or not rates:
            return ["fast"] * len(rates)
        # A loaded machine slows one stream down, and a slow server would pass for a fast one.
        alone = self._one_stream._measured[name]
        quiet = [each.timing.tokens_per_second for each in alone if each.is_quiet]
        return modes(rates, statistics.median(quiet)) if quiet else ["slow"] * len(rates)

    def fast_ratios(self, ours: str, other: str) -> list[float]:
        """Our rate over the other's, of the quiet rounds in which that one was in its fast mode."""
        return [
            mine.timing.tokens_per_second / theirs.timing.tokens_per_second
            for mine, theirs in self._fast_rounds(ours, other)
        ]

    def _fast_rounds(self, ours: str, other: str) -> list[tuple[Measurement, Measurement]]:
        mine, theirs = self._measured.get(ours, []), self._measured.get(other, [])
        rounds = zip(mine, theirs, self.modes(other), strict=False)
        return [(a, b) for a, b, mode in rounds if mode == "fast" and a.is_quiet and b.is_quiet]

    def lines(self, ours: str) -> list[str]:
        """For people: a line for the load, then one for every server."""
        others = max(each.others for measured in self._measured.values() for each in measured)
        mark = "" if others <= QUIET else f"; rounds above {QUIET:g} are left out of goals"
        title = f"{self.load} (other programs used up to {others:.1f} CPUs{mark})"
        return [title, *(self._line(name, ours) for name in self._measured)]

    def _line(self, name: str, ours: str) -> str:
        rates, measured = self.rates(name), self._measured[name]
        line = f"  {name:<15}{statistics.median(rates):6.0f} tok/s"
        if name == ours:
            gateway = statistics.median(each.gateway for each in measured)
            return f"{line}; gateways {gateway:.1f} ms CPU a request of {TOKENS} tokens"
        if self._one_stream is not None and name in self._bistable:
            line += f"; {distribution(rates, self.modes(name))}"
        if not (ratios := self.fast_ratios(ours, name)):
            return f"{line}; no quiet round in its fast mode"
        added = [
            1000 * (mine.timing.seconds - theirs.timing.seconds)
            for mine, theirs in self._fast_rounds(ours, name)
        ]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        return f"{line}; {ours} at {spread} of it, {statistics.median(added):+.0f} ms a request"
