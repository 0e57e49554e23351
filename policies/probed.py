"""One chain that is asked for trial answers, and may answer as soon as they will do."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from policies.base import Conclude, Decision, Draw, Policy, Situation, Stop
from policies.options import PolicyOptions
from policies.plan import Budget, check_int, check_number
from policies.signals import Probe, Probing


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed(Policy):
    """A rule says where to probe, and which trial answers will do; sampled as `fixed` is.

    Every trial costs tokens, at most `probe_tokens` and the delimiters: on short chains the trials
    can cost more than the early end saves.
    """

    probe_tokens: int = 20
    max_thinking_tokens: int | None = None
    answer_tokens: int = 128
    temperature: float | None = None

    def __post_init__(self) -> None:
        check_int("probe_tokens", self.probe_tokens, at_least=1)
        check_number("temperature", self.temperature, at_least=0, at_most=2, optional=True)
        self.budget()

    @property
    def name(self) -> str:
        raise NotImplementedError

    @property
    def options(self) -> PolicyOptions:
        return PolicyOptions(self.max_thinking_tokens, answer_tokens=self.answer_tokens)

    @property
    def max_chains(self) -> int:
        return 1

    def probing(self, budget: Budget) -> Probing:
        raise NotImplementedError

    def will_do(self, probes: Sequence[Probe]) -> bool:
        """Whether a chain may answer now; asked only after a first trial."""
        raise NotImplementedError

    def budget(self) -> Budget:
        return Budget.within(self.max_thinking_tokens, answer_tokens=self.answer_tokens)

    def decide(self, situation: Situation, rng: Random) -> Decision:
        if situation.tally.history:
            exited = situation.tally.history[-1].stop_cause == "early_exit"
            return Stop("settled" if exited else "plan done")
        if situation.probes and self.will_do(situation.probes):
            return Conclude(situation.probes[-1].chain)
        budget = self.budget().capped(situation.max_thinking_tokens)
        temperature = situation.chain_temperature(self.temperature)
        return Draw(1, budget, temperature, final=True, probing=self.probing(budget))
