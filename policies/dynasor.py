"""An early exit when trial answers agree."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from policies.plan import Budget, check_int
from policies.probed import Probed
from policies.signals import Probe, Probing

HESITATION = re.compile(r"\b(wait|hold|but|okay|no|hmm)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dynasor(Probed):
    """Probe every `probe_every` tokens; answer when the last `agree` trials agree.

    Fu et al., arXiv 2412.20993; defaults are the "mid" level of the authors' code, whose others are
    (8, 64), (5, 64), (2, 64) and (2, 32). As there, trials without an answer and trials that
    hesitate in words do not count as agreement.
    """

    probe_every: int = 64
    agree: int = 3

    def __post_init__(self) -> None:
        Probed.__post_init__(self)
        check_int("probe_every", self.probe_every, at_least=1)
        check_int("agree", self.agree, at_least=1)

    @property
    def name(self) -> str:
        return "dynasor"

    def probing(self, budget: Budget) -> Probing:
        most = max(1, budget.max_thinking_tokens // self.probe_every)
        return Probing(every=self.probe_every, answer_tokens=self.probe_tokens, most=most)

    def will_do(self, probes: Sequence[Probe]) -> bool:
        last = probes[-self.agree :]
        if len(last) < self.agree or any(HESITATION.search(probe.text) for probe in last):
            return False
        return last[0].answer is not None and len({probe.answer for probe in last}) == 1
