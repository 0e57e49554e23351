"""Records all that a replay may ask for: a policy that spends, and never stops early."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from policies.base import Decision, Draw, Extend, Policy, Situation, Stop
from policies.options import PolicyOptions
from policies.plan import Budget, check_int, check_number
from policies.signals import Probing, Signals
from policies.tally import Vote

_MOST_POWER = 16
_LEAST_POWER = 4
_MOST_SAMPLES = 1024


@dataclass(frozen=True, slots=True)
class Collect(Policy):
    """One chain that stands alone, extended `extensions` times one by one; then `samples` chains.

    The first is greedy where the model's thinking format means single chains so; without `greedy`
    there is none. The first sampled chain is extended likewise: policies extend such chains, too.
    With `probes` every chain has trial answers after 16, 32, 64, ... thinking tokens. The
    confidence of every chain is measured if `confidence` is set. `temperature` is of the sampled
    chains.
    """

    samples: int = 16
    extensions: int = 5
    greedy: bool = True
    probes: bool = True
    confidence: bool = True
    max_thinking_tokens: int | None = None
    answer_tokens: int = 128
    temperature: float | None = None

    def __post_init__(self) -> None:
        check_int("samples", self.samples, at_most=_MOST_SAMPLES)
        check_int("extensions", self.extensions, at_most=1000)
        check_number("temperature", self.temperature, at_least=0, at_most=2, optional=True)
        if not self.samples and not self.greedy:
            raise ValueError("samples must be at least 1 where nothing is decoded greedily, got 0")
        Budget.within(self.max_thinking_tokens, answer_tokens=self.answer_tokens)

    @property
    def name(self) -> str:
        return "collect"

    @property
    def options(self) -> PolicyOptions:
        return PolicyOptions(self.max_thinking_tokens, 0, self.extensions, self.answer_tokens)

    @property
    def max_chains(self) -> int:
        return self.samples + self.greedy

    def decide(self, situation: Situation, rng: Random) -> Decision:
        history, alone = situation.tally.history, situation.chain_temperature(None)
        if self.greedy and not history:
            return self._draw(situation, 1, alone)
        chains = sorted({vote.chain for vote in history})
        if len(chains) == 1 and self.greedy and self._is_extended(history, chains[0]):
            return self._extend(situation, chains[0], alone)
        if len(chains) < self.max_chains:
            return self._draw(situation, self.max_chains - len(chains), self.temperature)
        # A model whose single chains are sampled has one of them already.
        sampled = chains[1:2] if self.greedy and alone == 0 else chains[:1]
        for chain in sampled:
            if self._is_extended(history, chain):
                return self._extend(situation, chain, self.temperature)
        return Stop("plan done")

    def _is_extended(self, history: Sequence[Vote], chain: int) -> bool:
        ends = [vote for vote in history if vote.chain == chain]
        return len(ends) <= self.extensions and ends[-1].ended_by_itself

    def _extend(self, situation: Situation, chain: int, temperature: float | None) -> Extend:
        return Extend(
            chain,
            1,
            self._budget(situation),
            temperature,
            probing=self._probing(),
            signals=self._signals(),
        )

    def _draw(self, situation: Situation, samples: int, temperature: float | None) -> Draw:
        return Draw(
            samples,
            self._budget(situation),
            temperature,
            probing=self._probing(),
            signals=self._signals(),
        )

    def _budget(self, situation: Situation) -> Budget:
        return situation.budget(self.max_thinking_tokens, answer_tokens=self.answer_tokens)

    def _probing(self) -> Probing | None:
        powers = tuple(2**power for power in range(_LEAST_POWER, _MOST_POWER + 1))
        return Probing(at=powers, waits=True) if self.probes else None

    def _signals(self) -> Signals | None:
        return Signals() if self.confidence else None
