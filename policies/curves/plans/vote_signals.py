"""What may tell how hard a question is before more chains are drawn, and whether it does.

Signals are of the first chain, or the caller's own. Each is cut into bins, and a class's votes are
counted by the bins of each. The one that tells most about its votes is used; none, where none does.
"""

import math
from typing import Literal

from policies.curves.vote_counts import VoteCounts, length_bin
from policies.tally import Vote

SignalName = Literal["length", "answer", "tail", "difficulty"]
SIGNALS: tuple[SignalName, ...] = ("answer", "tail", "difficulty", "length")
"""Confidence of the answer, tail confidence of the thinking (DeepConf, arXiv 2508.15260, section
2), what the caller says, and thinking tokens, which all queries have."""
MEASURED: tuple[SignalName, ...] = ("answer", "tail")
"""Those for which an engine is asked for `Confidence`."""
UNKNOWN = 99
"""The bin of queries without a signal."""
LEAST_GAIN = 3.0
"""Of log-likelihood: what a signal must tell before it is used."""
_PRIOR = 8.0


def bin_of(signal: SignalName, first: Vote, difficulty: float | None) -> int:
    """Of the first chain's signal, or of the caller's number in [0, 1]."""
    if signal == "length":
        return length_bin(first.thinking_tokens)
    if signal == "difficulty":
        return UNKNOWN if difficulty is None else round(8 * difficulty)
    confidence = first.confidence
    known = confidence and (confidence.answer if signal == "answer" else confidence.tail)
    if known is None:
        return UNKNOWN
    if signal == "answer":  # half octaves of what is missing to certainty
        return int(-2 * math.log2(max(1e-6, 1 - min(1.0, known))))
    return int(4 * min(15.0, max(0.0, known)))


def bins_of(first: Vote, difficulty: float | None) -> dict[SignalName, int]:
    """Of all signals that the query has."""
    bins: dict[SignalName, int] = {"length": bin_of("length", first, difficulty)}
    if first.confidence is not None or difficulty is not None:
        bins |= {signal: bin_of(signal, first, difficulty) for signal in SIGNALS}
        return {signal: place for signal, place in bins.items() if place != UNKNOWN}
    return bins


def best_signal(counts: dict[SignalName, VoteCounts]) -> SignalName | None:
    """The one that tells most; None where none tells enough."""
    gains = {signal: told(votes) for signal, votes in counts.items()}
    best = max(gains, key=gains.__getitem__, default=None)
    return best if best is not None and gains[best] > LEAST_GAIN else None


def told(votes: VoteCounts) -> float:
    """Log-likelihood that the bins add, each query foretold from all others.

    Foretold are whether the leader is right, and whether several votes agree.
    """
    right: dict[int, tuple[float, float]] = {}
    agreed: dict[int, tuple[float, float]] = {}
    for (place, standing), cell in votes.cells.items():
        if place == UNKNOWN:
            continue
        yes, no = right.get(place, (0.0, 0.0))
        right[place] = yes + cell.right, no + cell.wrong
        if sum(standing) > 1:
            yes, no = agreed.get(place, (0.0, 0.0))
            if standing.runner_up:
                no += cell.queries
            else:
                yes += cell.queries
            agreed[place] = yes, no
    return _gain(right) + _gain(agreed)


def _gain(bins: dict[int, tuple[float, float]]) -> float:
    all_yes = sum(yes for yes, _ in bins.values())
    all_no = sum(no for _, no in bins.values())
    if not all_yes or not all_no:
        return 0.0
    usual = all_yes / (all_yes + all_no)
    gain = 0.0
    for yes, no in bins.values():
        seen = yes + no - 1 + _PRIOR
        for count, prior in (yes, usual), (no, 1 - usual):
            if count:
                foretold = (max(0.0, count - 1) + _PRIOR * prior) / seen
                gain += count * math.log(foretold / prior)
    return gain
