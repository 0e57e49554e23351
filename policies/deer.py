"""An early exit when the model is sure of a trial answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from policies.plan import Budget, check_int, check_number
from policies.probed import Probed
from policies.signals import Probe, Probing


@dataclass(frozen=True, slots=True, kw_only=True)
class Deer(Probed):
    """Probe where thoughts turn; answer when a trial's probability is above `threshold`.

    Yang et al., arXiv 2504.15895: 0.95, on the geometric mean of the answer's tokens. Their turns
    are the "Wait"s that the model writes itself. Here they are the ends of paragraphs, where such
    a word would stand, and what comes before every forced "Wait" of `extensions`.
    """

    threshold: float = 0.95
    extensions: int = 0
    max_probes: int = 64

    def __post_init__(self) -> None:
        Probed.__post_init__(self)
        check_number("threshold", self.threshold, above=0, below=1)
        check_int("max_probes", self.max_probes, at_least=1)

    @property
    def name(self) -> str:
        return "deer"

    def budget(self) -> Budget:
        return replace(Probed.budget(self), extensions=self.extensions)

    def probing(self, budget: Budget) -> Probing:
        return Probing(
            paragraphs=True,
            extensions=budget.extensions > 0,
            answer_tokens=self.probe_tokens,
            most=self.max_probes,
        )

    def will_do(self, probes: Sequence[Probe]) -> bool:
        return probes[-1].answer is not None and probes[-1].probability > self.threshold
