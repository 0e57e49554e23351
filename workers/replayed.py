"""An engine that redraws recorded samples: experiments on policies without a model.

Reads the outcome log of an earlier run (one JSON object a line with `question` and `samples`).
Chains are drawn without replacement in the recorded order; a chain can be extended as far as its
record goes. Text is not recorded, only answers, counts, trial answers and confidence. A chain that
its policy had cut short is not drawn: nobody knows what it would have become. A cap gives the trial
answer that was recorded there.
"""

import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from policies.signals import Confidence, Probe, Probing
from workers.completion import CompletionEvent, CompletionRequest
from workers.engine import EngineEvent, EngineInfo, Load, Refused, SampleRequest
from workers.forcing.chain import UNANSWERED
from workers.sample import Accepted, Sample, lost

NOT_RECORDED = "not_recorded"
"""The code of what a recording lacks."""
CUT_SHORT = UNANSWERED | {"early_exit"}


class _Record(NamedTuple):
    """One recorded chain: its samples by the number of extensions, and its trial answers.

    `probes` is None where none were asked for.
    """

    greedy: bool
    rounds: dict[int, Sample]
    probes: list[Probe] | None


class ReplayedEngine:
    """Chains of one request count as run side by side at one speed: a cancelled one has cost as
    much as the longest that had finished, at most.
    """

    def __init__(self, outcomes: Iterable[dict[str, Any]], model: str = "replayed") -> None:
        self._model = model
        self._records: dict[str, list[_Record]] = {}
        for outcome in outcomes:
            found = _chains(outcome["samples"])
            self._records.setdefault(outcome["question"], []).extend(found)
        # Of a model that is never decoded greedily, single chains are sampled too.
        known = [record.greedy for records in self._records.values() for record in records]
        self._greedy = any(known) or not known
        self._drawn: dict[str, dict[int, _Record]] = {}
        self._ended_by: dict[tuple[str, int], str] = {}
        self._waiting: dict[str, set[int]] = {}

    def shuffled(self, seed: int) -> "ReplayedEngine":
        """A new engine over the same records, the chains of every question in a random order."""
        engine = ReplayedEngine((), model=self._model)
        engine._greedy = self._greedy
        engine._records = {
            question: Random(f"{seed}/{question}").sample(records, len(records))
            for question, records in self._records.items()
        }
        return engine

    @classmethod
    def read(cls, path: Path) -> "ReplayedEngine":
        lines = path.read_text(encoding="utf-8").splitlines()
        return cls((json.loads(line) for line in lines), model=f"replayed:{path.name}")

    async def info(self) -> EngineInfo:
        return EngineInfo(self._model, "s1", 1 << 20, 1.0, 1 << 10, greedy=self._greedy)

    async def load(self) -> Load:
        return Load(0, 0, 0.0)

    def stats(self) -> Mapping[str, int]:
        return {}

    async def cancel(self, query: str, chain: int | None = None) -> None:
        for number in self._waiting.get(query, set()):
            if chain in (None, number):
                self._ended_by[query, number] = "cancelled"

    async def conclude(self, query: str, chain: int) -> None:
        if chain in self._waiting.get(query, set()):
            self._ended_by.setdefault((query, chain), "concluded")

    async def check(self) -> None:
        """A recording is always able to serve."""

    async def close(self) -> None:
        self._drawn.clear()

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent]:
        raise Refused("prompt", "a recording completes no prompts", "unsupported_parameter")
        yield  # an iterator that never begins

    async def sample(self, request: SampleRequest) -> AsyncGenerator[EngineEvent]:
        yield Accepted(0)
        query, longest = request.query, 0
        self._waiting[query] = waiting = set(request.chains)
        try:
            for chain in request.chains:
                sample, trials = self._next(request, chain)
                probes: list[Probe] = []
                for trial in trials:
                    if (query, chain) in self._ended_by:
                        break
                    probes.append(trial)
                    yield trial
                ended_by = self._ended_by.pop((query, chain), None)
                waiting.discard(chain)
                sample = _ended(sample, probes, ended_by, longest)
                longest = max(longest, sample.generated_tokens)
                yield sample
        finally:
            del self._waiting[query]

    def _next(self, request: SampleRequest, chain: int) -> tuple[Sample, list[Probe]]:
        question, extensions = request.messages[-1][1], request.budget.extensions
        drawn, before = self._drawn.setdefault(request.query, {}), request.parent(chain)
        if request.budget.step_tokens is not None:
            raise Refused("step_tokens", "a recording has no steps of thinking", NOT_RECORDED)
        if before is None and chain not in drawn:  # else it was asked for before, and was lost
            drawn[chain] = self._draw(question, request, extensions)
        record = drawn[chain]
        if extensions not in record.rounds:
            kind = "greedy" if record.greedy else "sampled"
            why = f"this {kind} chain of {question!r} is not recorded with {extensions} extensions"
            raise Refused("extensions", why, NOT_RECORDED)
        sample = replace(record.rounds[extensions], chain=chain)
        sample = _allowed(sample, request, record.probes or [])
        trials = []
        if request.probing is not None:
            if record.probes is None:
                why = f"the recording has no trial answers of {question!r}"
                raise Refused("probing", why, NOT_RECORDED)
            begin = before.thinking_tokens if before else 0
            trials = [
                probe._replace(chain=chain)
                for probe in record.probes
                if begin < probe.thinking_tokens < sample.thinking_tokens
                and _is_asked(probe, request.probing)
            ][: request.probing.most]
        spent = record.rounds[before.extensions].generated_tokens if before else 0
        return replace(sample, generated_tokens=max(0, sample.generated_tokens - spent)), trials

    def _draw(self, question: str, request: SampleRequest, extensions: int) -> _Record:
        taken = self._drawn[request.query].values()
        greedy = request.sampling.temperature == 0
        fitting = [
            record
            for record in self._records.get(question, [])
            if record.greedy == greedy and extensions in record.rounds
        ]
        for record in fitting:
            if not any(record is other for other in taken):
                return record
        kind = "greedy" if greedy else "sampled"
        ways = f" with {extensions} extensions" if extensions else ""
        raise Refused(
            "samples",
            f"the recording has {len(fitting)} {kind} chains{ways} of {question!r}; "
            f"more of them are asked for",
            NOT_RECORDED,
        )


def _chains(lines: Iterable[dict[str, Any]]) -> list[_Record]:
    chains: dict[int, _Record] = {}
    trial_tokens: dict[int, int] = {}
    for line in lines:
        number = line["chain"]
        trial_tokens[number] = trial_tokens.get(number, 0) + line.get("probe_tokens", 0)
        if line["stop_cause"] in CUT_SHORT:
            continue
        asked = line.get("probes") is not None
        new = _Record(line["temperature"] == 0, {}, [] if asked else None)
        record = chains.setdefault(number, new)
        record.rounds[line["extensions"]] = _sample(
            line, line["chain_tokens"] - trial_tokens[number]
        )
        if record.probes is not None:
            record.probes.extend(_probe(trial) for trial in line.get("probes") or [])
    return list(chains.values())


def _sample(line: dict[str, Any], generated_tokens: int) -> Sample:
    """The record's counts are of the whole chain; a resumed call costs only what it adds."""
    confidence = line.get("confidence")
    return Sample(
        chain=line["chain"],
        thinking="",
        text=_text(line["answer"]),
        answer=line["answer"],
        stop_cause=line["stop_cause"],
        thinking_tokens=line["thinking_tokens"],
        extensions=line["extensions"],
        generated_tokens=generated_tokens,
        seconds=line["seconds"],
        replica="replayed",
        confidence=Confidence(**confidence) if confidence else None,
    )


def _probe(trial: dict[str, Any]) -> Probe:
    return Probe(
        chain=0,
        thinking_tokens=trial["thinking_tokens"],
        answer=trial["answer"],
        text=_text(trial["answer"]),
        probability=trial["probability"],
        tokens=trial["tokens"],
    )


def _text(answer: str | None) -> str:
    return "" if answer is None else f"Final Answer: {answer}"


def _is_asked(probe: Probe, probing: Probing) -> bool:
    """Where paragraphs ended is not recorded: every recorded trial may be at the end of one."""
    at = probe.thinking_tokens
    every = probing.every is not None and at % probing.every == 0
    return every or at in probing.at or probing.paragraphs or probing.extensions


def _allowed(sample: Sample, request: SampleRequest, trials: list[Probe]) -> Sample:
    """The sample under the request's cap and signals, as far as its record has them.

    `trials` are those of the whole chain. Where a chain first fell below `end_below` is not
    recorded: it is charged whole.
    """
    question, cap = request.messages[-1][1], request.budget.max_thinking_tokens
    signals, confidence = request.signals, sample.confidence
    beyond = sample.thinking_tokens - cap
    if signals is not None:
        if confidence is None:
            why = f"the recording has no confidence of {question!r}"
            raise Refused("signals", why, NOT_RECORDED)
        least, lowest = signals.end_below, confidence.lowest
        if least is not None and lowest is not None and lowest < least:
            return replace(sample, stop_cause="unsure", answer=None, text="", complete=False)
    if beyond <= 0:
        return sample
    if request.budget.answer_when_cut:
        there = [trial for trial in trials if trial.thinking_tokens == cap]
        if not there or sample.extensions:
            raise Refused(
                "max_thinking_tokens",
                f"no record of {question!r} answers after {cap} thinking tokens",
                NOT_RECORDED,
            )
        return replace(
            sample,
            stop_cause="max_thinking",
            answer=there[0].answer,
            text=there[0].text,
            thinking_tokens=cap,
            generated_tokens=cap + there[0].tokens,
        )
    return replace(
        sample,
        stop_cause="rejected",
        answer=None,
        text="",
        complete=False,
        thinking_tokens=cap,
        generated_tokens=max(0, sample.generated_tokens - beyond),
    )


def _ended(sample: Sample, probes: list[Probe], ended_by: str | None, longest: int) -> Sample:
    """The sample, or what is left of it after its chain was cancelled or concluded."""
    trial_tokens = sum(probe.tokens for probe in probes)
    saved = sample.thinking_tokens - probes[-1].thinking_tokens if probes else 0
    spent = max(0, sample.generated_tokens - saved)
    if ended_by == "cancelled":
        spent = min(spent, probes[-1].thinking_tokens if probes else longest)
        return replace(
            lost(sample.chain, "cancelled"), generated_tokens=spent, probe_tokens=trial_tokens
        )
    if ended_by == "concluded" and probes:
        last = probes[-1]
        return replace(
            sample,
            stop_cause="early_exit",
            answer=last.answer,
            text=last.text,
            thinking_tokens=last.thinking_tokens,
            generated_tokens=spent,
            probe_tokens=trial_tokens,
        )
    return replace(sample, probe_tokens=trial_tokens)
