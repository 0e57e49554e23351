"""The chains of one served query, as an engine: it gives what was served, or refuses.

What it gives is exact: the same chain, as another policy would have had it. A chain that ended by
itself is the same under any cap that it stays below; one that was cut is known under that cap only.
A smaller cap is known where a trial answer was forced there. Chains are dealt in the order in which
they were drawn, as the first to finish are the short ones, and finish in the order in which they
did.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from policies.plan import Budget
from policies.signals import Probe, Probing
from scheduler.solving.rounds import DecisionStep, SampleRecord, steers
from workers.completion import CompletionEvent, CompletionRequest
from workers.engine import EngineEvent, EngineInfo, Load, Refused, SampleRequest
from workers.sample import Sample, lost

NOT_SERVED = "not_served"
"""The code of what the served chains do not tell."""
_ENDED_ITSELF = ("natural", "extensions")
_CUT = ("max_thinking", "context")


class _Served(NamedTuple):
    """A sample, the budget that it was drawn by, and when it came back."""

    record: SampleRecord
    budget: Budget
    came: int


@dataclass(slots=True)
class ServedChains:
    """`steered` runs tell nothing: how long their chains thought was their policy's doing."""

    records: Sequence[SampleRecord]
    steps: Sequence[DecisionStep]
    steered: bool = False
    #: What was asked for, in order.
    requests: list[SampleRequest] = field(default_factory=list)
    #: By the number of a request's chain, that of the served one.
    dealt: dict[int, int] = field(default_factory=dict)
    _ended_by: dict[int, str] = field(default_factory=dict)

    @property
    def gave_all(self) -> bool:
        """Whether every chain that was served was asked for."""
        return set(self.dealt.values()) == {record.sample.chain for record in self.records}

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        self.requests.append(request)
        self._ended_by.clear()
        if self.steered or steers(request):
            raise _refused("chains were steered")
        chains = self._chains()
        came = {}
        for number in request.chains:
            parent = request.parent(number)
            if parent is None:
                self.dealt[number] = self._deal(chains, request)
            elif parent.chain != number:
                raise _refused("no chain has branched off another")
            came[number] = self._round(chains, self.dealt[number], request)
        longest = 0
        for number, served in sorted(came.items(), key=lambda item: item[1].came):
            if self._ended_by.get(number) == "cancelled":
                yield replace(_cancelled(served.record.sample, longest), chain=number)
                continue
            parent = request.parent(number)
            done = parent.thinking_tokens if parent else 0
            sample, trials = _under(served, request, done)
            shown: list[Probe] = []
            for trial in trials:
                if number in self._ended_by:
                    break
                shown.append(trial._replace(chain=number))
                yield shown[-1]
            ended = _ended(sample, shown, self._ended_by.get(number), longest)
            longest = max(longest, ended.generated_tokens)
            yield replace(ended, chain=number)

    async def cancel(self, query: str, chain: int | None = None) -> None:
        for number in self.requests[-1].chains if chain is None else (chain,):
            self._ended_by[number] = "cancelled"

    async def conclude(self, query: str, chain: int) -> None:
        self._ended_by.setdefault(chain, "concluded")

    def _chains(self) -> dict[int, dict[int, _Served]]:
        """By chain, and by the extensions that it was asked for."""
        asked: dict[int, list[Budget]] = {}
        for step in self.steps:
            for number in step.chains if step.budget else ():
                asked.setdefault(number, []).append(step.budget or Budget(0))
        found: dict[int, dict[int, _Served]] = {}
        for came, record in enumerate(self.records):
            number = record.sample.chain
            if budgets := asked.get(number):
                budget = budgets.pop(0)
                served = _Served(record, budget, came)
                found.setdefault(number, {})[budget.extensions] = served
        return dict(sorted(found.items()))

    def _deal(self, chains: Mapping[int, Mapping[int, _Served]], request: SampleRequest) -> int:
        temperature, extensions = request.sampling.temperature, request.budget.extensions
        for number, rounds in chains.items():
            first = rounds.get(extensions)
            fits = first is not None and first.record.temperature == temperature
            if fits and number not in self.dealt.values():
                return number
        wanted = len(self.dealt.keys() | set(request.chains))
        raise _refused(
            f"the served chains are fewer than the {wanted} of temperature {temperature} and "
            f"{extensions} extensions that it draws"
        )

    def _round(
        self,
        chains: Mapping[int, Mapping[int, _Served]],
        number: int,
        request: SampleRequest,
    ) -> _Served:
        extensions = request.budget.extensions
        if (served := chains[number].get(extensions)) is None:
            raise _refused(f"no chain was extended {extensions} times")
        return served

    # The rest of the protocol; no policy reaches it.

    async def info(self) -> EngineInfo:
        return EngineInfo("served", "s1", 1 << 20, 1.0, 1 << 10)

    async def load(self) -> Load:
        return Load(0, 0, 0.0)

    def stats(self) -> Mapping[str, int]:
        return {}

    async def check(self) -> None:
        """What was served stays served."""

    async def close(self) -> None:
        """There is nothing to end."""

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent]:
        raise Refused("prompt", "served chains complete no prompts", "unsupported_parameter")
        yield  # an iterator that never begins


def _refused(why: str) -> Refused:
    return Refused("samples", why, NOT_SERVED)


def _under(served: _Served, request: SampleRequest, done: int) -> tuple[Sample, list[Probe]]:
    """The chain under the request's budget, and the trial answers on its way after `done` tokens.

    Raises Refused.
    """
    budget, sample = request.budget, served.record.sample
    if request.signals is not None and sample.confidence is None:
        raise _refused("the confidence of the chains was not measured")
    if budget.min_thinking_tokens != served.budget.min_thinking_tokens:
        raise _refused(f"no chain has thought for {budget.min_thinking_tokens} tokens at least")
    if not _answers_alike(sample, served.budget, budget):
        raise _refused(f"no answer has had {budget.answer_tokens} tokens")
    trials = _trials(served, request.probing, done)
    cap = budget.max_thinking_tokens
    if sample.stop_cause in _ENDED_ITSELF and sample.thinking_tokens <= cap:
        return sample, trials
    if sample.stop_cause == "max_thinking" and cap == served.budget.max_thinking_tokens:
        return sample, trials
    if sample.stop_cause == "context" and sample.thinking_tokens <= cap:
        return sample, trials
    if cap < sample.thinking_tokens and sample.stop_cause in (*_ENDED_ITSELF, *_CUT):
        for trial in served.record.probes or ():
            if trial.thinking_tokens == cap:
                return _cut(sample, trial), [t for t in trials if t.thinking_tokens < cap]
    raise _refused(f"no chain has answered under a cap of {cap} thinking tokens")


def _answers_alike(sample: Sample, served: Budget, asked: Budget) -> bool:
    """Whether the answer is the same under another reserve."""
    if (served.answer_tokens, served.max_tokens) == (asked.answer_tokens, asked.max_tokens):
        return True
    whole = sample.thinking_tokens + sample.answer_tokens
    fits = asked.max_tokens is None or whole <= asked.max_tokens
    return sample.complete and fits and sample.answer_tokens <= asked.answer_tokens


def _cut(sample: Sample, trial: Probe) -> Sample:
    """What the chain is where it must answer at a trial's place."""
    saved = sample.thinking_tokens - trial.thinking_tokens + sample.answer_tokens
    return replace(
        sample,
        stop_cause="max_thinking",
        answer=trial.answer,
        text=trial.text,
        thinking_tokens=trial.thinking_tokens,
        generated_tokens=max(0, sample.generated_tokens - saved) + trial.tokens,
        answer_tokens=trial.tokens,
    )


def _trials(served: _Served, probing: Probing | None, done: int) -> list[Probe]:
    """The trial answers that are asked for, in order. Raises Refused if one of them is missing."""
    if probing is None:
        return []
    if probing.paragraphs or probing.extensions:
        raise _refused("where trial answers would have been asked for is not known")
    end = served.record.sample.thinking_tokens
    every = range(probing.every, end, probing.every) if probing.every else ()
    wanted = sorted(at for at in {*probing.at, *every} if done < at < end)[: probing.most]
    known = {trial.thinking_tokens: trial for trial in served.record.probes or ()}
    if missing := [at for at in wanted if at not in known]:
        raise _refused(f"no trial answer was asked for after {missing[0]} thinking tokens")
    return [known[at] for at in wanted]


def _cancelled(sample: Sample, longest: int) -> Sample:
    """A chain that was not let finish: it has cost as much as one beside it, at most."""
    if sample.stop_cause == "cancelled":
        return sample
    spent = min(sample.generated_tokens, longest)
    return replace(lost(sample.chain, "cancelled"), generated_tokens=spent)


def _ended(sample: Sample, shown: list[Probe], ended_by: str | None, longest: int) -> Sample:
    """The sample with the cost of its trials, or what is left where its chain was ended."""
    trials = sum(trial.tokens for trial in shown)
    if ended_by == "cancelled":
        spent = shown[-1].thinking_tokens if shown else longest
        return replace(_cancelled(sample, spent), probe_tokens=trials)
    if ended_by == "concluded" and shown:
        early = replace(_cut(sample, shown[-1]), stop_cause="early_exit")
        return replace(early, probe_tokens=trials)
    return replace(sample, probe_tokens=trials)
