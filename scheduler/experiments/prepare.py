"""All that an experiment needs, loaded and checked before anything is asked."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from scheduler.config import EngineConfig
from scheduler.engines.factory import check
from scheduler.experiments.cells import ExperimentCell, all_cells
from scheduler.experiments.fitted_population import fitted
from scheduler.experiments.grading import Known, graded
from scheduler.experiments.questions.load import RECORDED, load_questions
from scheduler.experiments.questions.question import Question, spread
from scheduler.experiments.recorded import Recorded, read_recording, recorded_questions
from scheduler.experiments.settings import AskedEngine, ExperimentConfig, JudgeConfig
from workers.simulated.law import LAWS, Law, reference

VIRTUAL = ("simulated", "replayed")
"""Engines that cost nothing: they run on virtual time, and the same seed gives the same files."""


@dataclass(slots=True)
class Prepared:
    """Questions by engine and set; recordings, the grades of their answers, and fitted laws, by
    engine.
    """

    config: ExperimentConfig
    cells: list[ExperimentCell]
    questions: dict[tuple[str, str], list[Question]] = field(default_factory=dict)
    recorded: dict[str, Recorded] = field(default_factory=dict)
    known: dict[str, Known] = field(default_factory=dict)
    laws: dict[str, Mapping[str, Law]] = field(default_factory=dict)

    def asked(self, cell: ExperimentCell) -> list[Question]:
        return self.questions[cell.engine, cell.questions]

    def judge_of(self, cell: ExperimentCell) -> JudgeConfig | None:
        found = self.config.question_sets.get(cell.questions)
        return None if found is None else found.judge

    @property
    def total(self) -> int:
        """Questions of all cells."""
        return sum(len(self.asked(cell)) for cell in self.cells)


def prepare(config: ExperimentConfig) -> Prepared:
    """Raises ValueError that names what is wrong, before anything runs."""
    prepared = Prepared(config, all_cells(config))
    for label, engine in config.named_engines.items():
        recorded: Recorded = []
        if isinstance(engine, EngineConfig):
            if engine.kind == "replayed":
                assert engine.recording is not None
                recorded = prepared.recorded[label] = read_recording(Path(engine.recording))
            elif engine.kind == "simulated" and engine.recording is not None:
                prepared.laws[label] = _fitted(engine.recording)
            else:
                check(engine)
        for name, given in config.sets_of(engine).items():
            wanted = replace(given, limit=given.limit or config.limit)
            if wanted.name == RECORDED:
                if not isinstance(engine, EngineConfig) or engine.recording is None:
                    raise ValueError(f"questions {RECORDED!r} go with a replayed engine")
                found = recorded_questions(recorded, engine.recording)
            else:
                found = load_questions(wanted, prepared.laws.get(label))
            if given.judge is not None:
                from scheduler.client.http_client import check_endpoint

                check_endpoint(given.judge.url, None)
            asked = spread(found, wanted.limit) if wanted.limit else found
            _refuse_unknown(engine, label, asked, recorded, prepared.laws.get(label, LAWS))
            prepared.questions[label, name] = asked
        if recorded:
            of_engine = [
                question
                for (at, _), questions in prepared.questions.items()
                if at == label
                for question in questions
            ]
            prepared.known[label] = asyncio.run(graded(recorded, of_engine))
    return prepared


def _fitted(path: str) -> Mapping[str, Law]:
    recorded = read_recording(Path(path))
    known = asyncio.run(graded(recorded, recorded_questions(recorded, path)))
    try:
        return fitted(recorded, known)
    except ValueError as error:
        raise ValueError(f"recording {path!r}: {error}") from None


def _refuse_unknown(
    engine: AskedEngine,
    label: str,
    questions: list[Question],
    recorded: Recorded,
    laws: Mapping[str, Law],
) -> None:
    """An engine that does not know a question would answer it at chance, or not at all."""
    if not isinstance(engine, EngineConfig) or engine.kind not in VIRTUAL:
        return
    if engine.kind == "simulated":
        known = {
            question.id
            for question in questions
            if question.answer == reference(question.question)
            and any(name in question.question for name in laws)
        }
        own = "leave `questions` out, or name the set `simulated`"
    else:
        texts = {outcome["question"] for outcome in recorded}
        known = {question.id for question in questions if question.question in texts}
        own = "leave `questions` out, or name the set `recorded`"
    if missing := [question for question in questions if question.id not in known]:
        raise ValueError(
            f"engine {label!r} ({engine.kind}) does not know {len(missing)} of "
            f"{len(questions)} questions, the first {missing[0].id!r}; {own}"
        )
