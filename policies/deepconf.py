"""Votes weighed by how sure the model was of each chain, and chains ended where it was not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random

import numpy as np

from policies.base import Decision, Draw, Policy, Situation, Stop
from policies.options import PolicyOptions
from policies.plan import Budget, check_int, check_number
from policies.signals import Measure, Signals
from policies.tally import Vote


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepConf(Policy):
    """The surest share `keep` of `samples` chains votes, each as heavily as it is sure.

    Fu et al., arXiv 2508.15260, section 3 (offline): `keep` is 0.9 or 0.1 there, with windows of
    2048 tokens and confidence from the 20 likeliest tokens. Chains without an answer or without a
    confidence do not vote; where none has a confidence, all votes count the same.
    """

    samples: int = 16
    keep: float = 0.9
    measure: Measure = "tail"
    window: int = 2048
    top: int = 20
    max_thinking_tokens: int | None = None
    answer_tokens: int = 128
    temperature: float | None = None

    def __post_init__(self) -> None:
        Budget.within(self.max_thinking_tokens, answer_tokens=self.answer_tokens)
        check_int("samples", self.samples, at_least=1, at_most=1024)
        check_number("keep", self.keep, above=0, at_most=1)
        check_int("window", self.window, at_least=1)
        # The likeliest token alone would be least "confident" where it is most certain.
        check_int("top", self.top, at_least=2)
        check_number("temperature", self.temperature, above=0, at_most=2, optional=True)

    @property
    def name(self) -> str:
        return "deepconf"

    @property
    def options(self) -> PolicyOptions:
        return PolicyOptions(self.max_thinking_tokens, answer_tokens=self.answer_tokens)

    @property
    def max_chains(self) -> int:
        return self.samples

    def decide(self, situation: Situation, rng: Random) -> Decision:
        votes = situation.tally.votes
        if (missing := self.samples - len(votes)) > 0:
            return self._draw(situation, missing)
        least = threshold(situation.tally.voting, self.measure, self.keep)
        return Stop("plan done", as_weights(vote_weights(votes, self.measure, least)))

    def _draw(self, situation: Situation, samples: int, end_below: float | None = None) -> Draw:
        budget = situation.budget(self.max_thinking_tokens, answer_tokens=self.answer_tokens)
        signals = Signals(self.top, self.window, end_below)
        return Draw(samples, budget, self.temperature, signals=signals)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepConfOnline(DeepConf):
    """The first `warmup` chains say what is sure; later ones end where they fall below that.

    The online form (arXiv 2508.15260, section 3.3, and the authors' code): the threshold is the
    percentile of the warm-up's lowest windows above which the share `keep` of them lies; warm-up
    chains below it do not vote either. Sampling stops at a `consensus` of the votes' weight.
    """

    samples: int = 32
    measure: Measure = "lowest"
    warmup: int = 16
    samples_per_round: int = 4
    consensus: float = 0.95

    def __post_init__(self) -> None:
        DeepConf.__post_init__(self)
        check_int("warmup", self.warmup, at_least=1, at_most=1024)
        check_int("samples_per_round", self.samples_per_round, at_least=1, at_most=1024)
        check_number("consensus", self.consensus, above=0, at_most=1)
        if self.warmup > self.samples:
            raise ValueError(f"warmup ({self.warmup}) is above samples ({self.samples})")
        if self.measure != "lowest":
            raise ValueError(f"measure must be 'lowest' while chains run, got {self.measure!r}")

    @property
    def name(self) -> str:
        return "deepconf_online"

    def decide(self, situation: Situation, rng: Random) -> Decision:
        tally, votes = situation.tally, situation.tally.votes
        if (missing := self.warmup - len(votes)) > 0:
            return self._draw(situation, missing)
        least = threshold(votes[: self.warmup], self.measure, self.keep)
        weights = vote_weights(votes, self.measure, least)
        weighed = tally if weights is None else tally.weighed(weights)
        if weighed.agreement >= self.consensus:
            return Stop("settled", as_weights(weights))
        if (left := self.samples - len(votes)) <= 0:
            return Stop("plan done", as_weights(weights))
        return self._draw(situation, min(self.samples_per_round, left), end_below=least)


def threshold(votes: Iterable[Vote], measure: Measure, keep: float) -> float | None:
    """What the surest share `keep` of the chains is at least; None where none has a confidence."""
    known = [sure for vote in votes if (sure := confidence(vote, measure)) is not None]
    return float(np.quantile(known, 1 - keep)) if known else None


def vote_weights(
    votes: Iterable[Vote], measure: Measure, least: float | None
) -> dict[int, float] | None:
    """Weights of the chains that are sure enough; None, all the same, without a threshold."""
    if least is None:
        return None
    known = {vote.chain: confidence(vote, measure) for vote in votes}
    return {chain: sure for chain, sure in known.items() if sure is not None and sure >= least}


def as_weights(weights: Mapping[int, float] | None) -> tuple[tuple[int, float], ...] | None:
    return None if weights is None else tuple(weights.items())


def confidence(vote: Vote, measure: Measure) -> float | None:
    return vote.confidence.of(measure) if vote.confidence else None
