"""The stages of a curation in order, and how one is run: only if it is not current.

    load -> decontaminate -> dedup -> traces -> quality -> classify -> difficulty -> select

A stage is a pure step: what it writes follows from its settings, its input files, and what models
answer. It writes into a folder of its own, which takes the place of the old one when it is whole.
Domains come before the difficulty filter because the set `diverse` needs them without it.
"""

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scheduler.progress import progress
from training.curate import asked_stages
from training.curate.asking import Asker, Connect, Cost, Journal
from training.curate.bulk import Mapper
from training.curate.decontaminate import decontaminate, index_of_tests
from training.curate.duplicates import drop_duplicates
from training.curate.manifest import RECIPE, Manifest, are_whole, plain, read_manifest
from training.curate.parts import PartWriter, count_rows, part_files
from training.curate.quality import Check, counting_tokenizer
from training.curate.reading import Found, found, questions_of
from training.curate.rows import typed
from training.curate.selection import SETS, select
from training.curate.settings import NOT_HASHED, Curation, Endpoint

STAGES = ("load", "decontaminate", "dedup", "traces", "quality", "classify", "difficulty", "select")
ASKING = ("traces", "classify", "difficulty")
LOAD_ROWS = 1000


class NotReady(ValueError):
    """A stage cannot run: its settings are missing, or an earlier stage is not current."""


def steps(settings: Curation, stage: str) -> list[str]:
    """The steps of a stage: itself, or one for each set. "all" are those that the sets need."""
    if stage == "all":
        last = max(STAGES.index(SETS[name]) for name in settings.select.sets)
        return [*STAGES[: last + 1], *steps(settings, "select")]
    return [f"select-{name}" for name in settings.select.sets] if stage == "select" else [stage]


def before(step: str) -> str | None:
    """The step whose rows a step takes."""
    if step.startswith("select-"):
        return SETS[step.removeprefix("select-")]
    at = STAGES.index(step)
    return STAGES[at - 1] if at else None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Runs the steps of one curation. `bulk` runs its pure steps, `connect` reaches its models."""

    settings: Curation
    bulk: Mapper
    connect: Connect

    def folder(self, step: str) -> Path:
        return self.settings.folder / step

    def is_current(self, step: str) -> bool:
        """Whether a step, and all before it, are made of the present settings and inputs."""
        earlier = before(step)
        if earlier is not None and not self.is_current(earlier):
            return False
        manifest = read_manifest(self.folder(step))
        if manifest is None or not manifest.matches(*self._made_of(step)):
            return False
        return are_whole(self.folder(step), manifest.outputs)

    def costs(self, step: str) -> dict[str, Cost]:
        """The most that a step can cost at each of its models; nothing for the others."""
        endpoints = endpoints_of(self.settings, step)
        judge = endpoints.pop("judge", None)
        if not endpoints:
            return {}
        table = self.settings.classify
        domains = table.domains if step == "classify" and table else None
        around = 0 if domains is None else len(asked_stages.domain_prompt("", 0, domains))
        return asked_stages.costs(self._files(step), endpoints, judge, around)

    def run(self, step: str) -> Manifest:
        """Run one step. Raises NotReady, ValueError for wrong input, and AskingEnded."""
        earlier = before(step)
        if earlier is not None and not self.is_current(earlier):
            raise NotReady(f"{step} needs {earlier}, which is not current; run {earlier} or all")
        settings, inputs = self._made_of(step)
        folder, partial = self.folder(step), self.settings.folder / f".{step}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        files = self._files(step)
        with PartWriter(partial) as out:
            self._fill(step, files, out)
        manifest = Manifest(
            stage=step,
            recipe=RECIPE,
            settings=plain(settings),
            inputs=inputs,
            rows_in=out.rows_in,
            rows_out=out.rows_out,
            dropped=dict(out.reasons),
            outputs=out.outputs,
            notes=out.notes,
        )
        manifest.write(partial)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(partial, folder)
        return manifest

    def _files(self, step: str) -> list[Path]:
        earlier = before(step)
        return [] if earlier is None else part_files(self.folder(earlier))

    def _made_of(self, step: str) -> tuple[Mapping[str, Any], dict[str, str]]:
        """The settings that a step's rows follow from, and the hashes of its inputs."""
        whole, earlier = self.settings, before(step)
        if step == "load":
            sources = [found(each, hub=whole.hub) for each in whole.sources]
            used = [{k: v for k, v in asdict(q).items() if k != "path"} for q in whole.sources]
            return {"sources": used}, _identities(sources)
        manifest = read_manifest(self.folder(str(earlier)))
        inputs = dict(manifest.outputs) if manifest else {}
        if step == "decontaminate":
            tests = [found(each, hub=whole.hub, is_test=True) for each in whole.decontaminate.tests]
            used = [{k: v for k, v in asdict(q).items() if k != "path"} for q in
                    whole.decontaminate.tests]  # fmt: skip
            return {"tests": used}, inputs | _identities(tests)
        if step.startswith("select-"):
            return asdict(whole.select) | {"sets": [step.removeprefix("select-")]}, inputs
        table = getattr(whole, step)
        return ({} if table is None else _hashed(asdict(table))), inputs

    def _fill(self, step: str, files: Sequence[Path], out: PartWriter) -> None:
        settings = self.settings
        match step:
            case "load":
                _load([found(each, hub=settings.hub) for each in settings.sources], out)
            case "decontaminate":
                tests = (
                    found(each, hub=settings.hub, is_test=True)
                    for each in settings.decontaminate.tests
                )
                index = index_of_tests(row["question"] for t in tests for row in questions_of(t))
                decontaminate(files, index, self.bulk, out)
            case "dedup":
                drop_duplicates(files, self.bulk, out, **asdict(settings.dedup))
            case "quality":
                tokenizer = counting_tokenizer(settings.quality.tokenizer)
                for batch in self.bulk(files, Check(self.bulk.share(tokenizer))):
                    out.write(batch)
            case "traces" | "classify" | "difficulty":
                asyncio.run(self._ask(step, files, out))
            case _:
                select(step.removeprefix("select-"), files, settings.select, out)

    async def _ask(self, step: str, files: Sequence[Path], out: PartWriter) -> None:
        async with AsyncExitStack() as stack:
            askers: dict[str, Asker] = {}
            for name, endpoint in endpoints_of(self.settings, step).items():
                path = self.settings.folder / "journal" / f"{step}-{name}.jsonl"
                journal = stack.enter_context(closing(Journal(path)))
                answer = await stack.enter_async_context(self.connect(endpoint))
                askers[name] = Asker(endpoint, answer, journal)
            bar = stack.enter_context(progress(step, count_rows(files)))
            judge = askers.pop("judge", None)
            if step == "traces":
                await asked_stages.traces(files, askers["teacher"], out, bar)
            elif step == "classify" and self.settings.classify:
                table = self.settings.classify
                classifier = askers["classifier"]
                await asked_stages.classify(
                    files, classifier, out, bar, table.attempts, table.domains
                )
            else:
                await asked_stages.difficulty(files, askers, judge, out, bar)


def endpoints_of(settings: Curation, step: str) -> dict[str, Endpoint]:
    """The models that a step asks, by name. Raises NotReady if its table is missing."""
    if step not in ASKING:
        return {}
    if step == "traces" and settings.traces:
        return {"teacher": settings.traces.teacher}
    if step == "classify" and settings.classify:
        return {"classifier": settings.classify.classifier}
    if step == "difficulty" and settings.difficulty:
        judge = settings.difficulty.judge
        return {**settings.difficulty.models, **({"judge": judge} if judge else {})}
    raise NotReady(f"{step} is missing: the settings have no table [{step}]")


def _load(sources: Sequence[Found], out: PartWriter) -> None:
    for source in sources:
        held: list[dict[str, Any]] = []
        for row in questions_of(source):
            held.append(row | {"dropped": None if row["question"] else "empty question"})
            if len(held) == LOAD_ROWS:
                out.write(typed(held))
                held = []
        if held:
            out.write(typed(held))
        out.end_part()


def _identities(sources: Sequence[Found]) -> dict[str, str]:
    return {name: what for source in sources for name, what in source.identity.items()}


def _hashed(table: dict[str, Any]) -> dict[str, Any]:
    """A table without what changes no row, and its inner tables likewise."""
    return {
        name: _hashed(value) if isinstance(value, dict) else value
        for name, value in table.items()
        if name not in NOT_HASHED
    }
