"""What the results in a folder were made with; nothing else is ever added to them.

More seeds, engines, question sets or policies beside those that have run: all that is there stays
right. Any other setting, a changed file, model or policy, or other code, is another experiment.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scheduler.config import EngineConfig
from scheduler.experiments.cells import FOLDER, OUTCOMES
from scheduler.experiments.llm_judge import RECORD
from scheduler.experiments.off_policy.split_log import logs_of
from scheduler.experiments.prepare import Prepared
from scheduler.experiments.questions.question import fingerprint
from scheduler.experiments.recorded import recording_files
from scheduler.experiments.settings import ExperimentConfig
from scheduler.manifest import ResumeRefused, read_manifest, refuse_another
from scheduler.settings import from_table

NAME = "experiment.manifest.json"
LOCK = "experiment.lock"
_ROOT = Path(__file__).parents[2]
_CODE = (
    "policies/**/*.py",
    "workers/**/*.py",
    "scheduler/solving/*.py",
    "scheduler/curves/*.py",
    "scheduler/experiments/asking.py",
    "scheduler/experiments/cell_run.py",
    "scheduler/experiments/completions_core.py",
    "scheduler/experiments/completions_engine.py",
    "scheduler/experiments/grading.py",
    "scheduler/experiments/llm_judge.py",
    "scheduler/experiments/rows.py",
)
"""What results depend on; reports may change."""
_SPREAD = {"policies", "engine", "engines", "questions", "limit", "seeds", "outcomes"}
"""Settings that are told engine by engine, set by set and policy by policy."""
_HASHED_WHOLE = 64 << 20


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Raises ValueError while another run writes into the folder, or where nothing can be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("w")
    except OSError as error:
        raise ValueError(f"{folder} cannot be written: {error}") from None
    with file:
        try:
            # Not flock: an engine's process that outlives a killed run would go on holding it.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise ValueError(f"{folder} is being written by another run") from None
        yield


def claim(prepared: Prepared, folder: Path, *, force: bool = False) -> None:
    """Note in the folder what its results are made with.

    Raises ResumeRefused for a folder of another experiment, ValueError for one that has results of
    nobody knows what. With `force` such results are set aside in a folder of their own.
    """
    path, job = folder / NAME, identity(prepared)
    config: dict[str, Any] = dataclasses.asdict(prepared.config)
    if path.exists():
        begun = read_manifest(path).get("made with", {})
        try:
            # What only one of them has is no contradiction.
            refuse_another(
                folder,
                job | begun,
                dict.fromkeys(begun) | begun | job,
                way_out="or set its results aside with --force",
            )
        except ResumeRefused:
            if not force:
                raise
            _set_aside(folder)
        else:
            job = begun | job
    elif any((folder / FOLDER).glob("*.jsonl")) or any(folder.glob("*.jsonl")):
        if not force:
            raise ValueError(f"{folder} has *.jsonl files that no experiment wrote; choose another")
        _set_aside(folder)
    manifest = {"made with": job, "run in": os.getcwd(), "config": config}
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(manifest, indent=1, default=str), encoding="utf-8")
    partial.replace(path)


def config_of(folder: Path) -> tuple[ExperimentConfig, Path]:
    """The settings of a folder's experiment, and the folder that its paths are relative to."""
    path = folder / NAME
    if not path.is_file():
        raise ValueError(f"{folder}: no experiment has run in it")
    manifest = read_manifest(path)
    try:
        return from_table(ExperimentConfig, manifest["config"]), Path(manifest["run in"])
    except KeyError as error:
        raise ValueError(f"{path} is no manifest of an experiment: it has no {error}") from None


def identity(prepared: Prepared) -> dict[str, Any]:
    """All that results depend on, by name."""
    config = prepared.config
    settings = dataclasses.asdict(config)
    found = {name: value for name, value in settings.items() if name not in _SPREAD}
    found["code"] = {"version": version("thinkbudget"), "sha256": _hash_of_code()}
    for label, engine in config.named_engines.items():
        made = dataclasses.asdict(engine)
        if isinstance(engine, EngineConfig):
            if made.pop("recording") is not None:
                files = recording_files(Path(engine.recording or ""))
                made["recording_sha256"] = _hash(*files)
            if engine.kind == "vllm":
                made["model_sha256"] = _hash_of_model(engine.model)
        found[f"engines.{label}"] = made
    for label, log in config.decision_logs.items():
        hashes = {"sha256": _hash(*logs_of(Path(log.decisions)))}
        if log.curves:
            hashes["curves_sha256"] = _hash(Path(log.curves))
        found[f"engines.{label}"] = hashes
    for (engine_label, name), questions in prepared.questions.items():
        told: Any = fingerprint(questions)
        if (given := config.question_sets.get(name)) is not None and given.judge is not None:
            told = {"sha256": told, "judge": dataclasses.asdict(given.judge)}
        found[f"questions.{name} on {engine_label}"] = told
    for label, policy in config.named_policies.items():
        file = policy.name.rpartition(":")[0]
        code = {"sha256": _hash(Path(file))} if file else {}
        name = Path(policy.name).name if file else policy.name
        found[f"policies.{label}"] = {"policy": name, "options": policy.options, **code}
    whole: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return whole


def _set_aside(folder: Path) -> None:
    """Move the results of another experiment into `before-N`."""
    number = 1
    while (aside := folder / f"before-{number}").exists():
        number += 1
    aside.mkdir()
    for each in (FOLDER, OUTCOMES, NAME, RECORD, "results.jsonl", "results.parquet", "report"):
        if (folder / each).exists():
            (folder / each).rename(aside / each)
    for log in folder.glob("*.jsonl"):
        log.rename(aside / log.name)


def _hash_of_code() -> str:
    return _hash(*(path for name in _CODE for path in sorted(_ROOT.glob(name))))


def _hash_of_model(model: str) -> str:
    """Of a folder its files, large ones by their size only; of a name on the hub, the name."""
    from workers.models import locate

    folder = Path(locate(model))
    if not folder.is_dir():
        return hashlib.sha256(model.encode()).hexdigest()
    return _hash(*sorted(path for path in folder.iterdir() if path.is_file()))


def _hash(*files: Path) -> str:
    whole = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        whole.update(f"{file.name}\0{size}\0".encode())
        if size <= _HASHED_WHOLE:
            whole.update(file.read_bytes())
    return whole.hexdigest()
