"""An engine that redraws recorded samples: experiments on policies without a model.

Reads the outcome log of an earlier run (one JSON object a line with `question` and `samples`).
Chains are drawn without replacement in the recorded order; a chain can be extended as far as its
record goes. Text is not recorded, only answers and counts.
"""

import json
from collections.abc import AsyncGenerator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from workers.engine import EngineInfo, Event, Load, Refused, SampleRequest
from workers.sample import Accepted, Sample


class _Record(NamedTuple):
    """One recorded chain: its samples by the number of extensions."""

    greedy: bool
    rounds: dict[int, Sample]


class ReplayedEngine:
    def __init__(self, outcomes: Iterable[dict[str, Any]], model: str = "replayed") -> None:
        self._model = model
        self._records: dict[str, list[_Record]] = {}
        for outcome in outcomes:
            chains: dict[int, _Record] = {}
            for line in outcome["samples"]:
                if line["stop_cause"] in ("lost", "cancelled"):
                    continue
                chain = chains.setdefault(line["chain"], _Record(line["temperature"] == 0, {}))
                chain.rounds[line["extensions"]] = _sample(line)
            self._records.setdefault(outcome["question"], []).extend(chains.values())
        self._drawn: dict[tuple[str, int], _Record] = {}

    @classmethod
    def read(cls, path: Path) -> "ReplayedEngine":
        lines = path.read_text(encoding="utf-8").splitlines()
        return cls((json.loads(line) for line in lines), model=f"replayed:{path.name}")

    async def info(self) -> EngineInfo:
        return EngineInfo(self._model, "s1", 1 << 20, 1.0, 1 << 10)

    async def load(self) -> Load:
        return Load(0, 0, 0.0)

    async def cancel(self, query: str) -> None:
        """Nothing runs: every sample is there at once."""

    async def check(self) -> None:
        """A recording is always able to serve."""

    async def close(self) -> None:
        self._drawn.clear()

    async def sample(self, request: SampleRequest) -> AsyncGenerator[Event]:
        yield Accepted(0)
        for chain in request.chains:
            yield self._next(request, chain)

    def _next(self, request: SampleRequest, chain: int) -> Sample:
        question, extensions = request.messages[-1][1], request.forcing.extensions
        key = (request.query, chain)
        if request.resume is None:
            self._drawn[key] = self._draw(question, request, extensions)
        rounds = self._drawn[key].rounds
        if extensions not in rounds:
            raise Refused("extensions", f"no record of {question!r} goes to {extensions} Waits")
        sample = rounds[extensions]
        before = rounds[request.resume.extensions].generated_tokens if request.resume else 0
        return _renumbered(sample, chain, before)

    def _draw(self, question: str, request: SampleRequest, extensions: int) -> _Record:
        taken = [r for (query, _), r in self._drawn.items() if query == request.query]
        for record in self._records.get(question, []):
            fits = record.greedy == (request.temperature == 0) and extensions in record.rounds
            if fits and not any(record is other for other in taken):
                return record
        raise Refused("samples", f"the recording has no further fitting sample of {question!r}")


def _sample(line: dict[str, Any]) -> Sample:
    return Sample(
        chain=line["chain"],
        thinking="",
        text=f"Final Answer: {line['answer']}" if line["answer"] is not None else "",
        answer=line["answer"],
        stop_cause=line["stop_cause"],
        thinking_tokens=line["thinking_tokens"],
        extensions=line["extensions"],
        generated_tokens=line["chain_tokens"],
        seconds=line["seconds"],
        replica="replayed",
    )


def _renumbered(sample: Sample, chain: int, before: int) -> Sample:
    """The record's counts are of the whole chain; a resumed call costs only what it adds."""
    return replace(sample, chain=chain, generated_tokens=max(0, sample.generated_tokens - before))
