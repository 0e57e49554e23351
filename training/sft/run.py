"""A fine-tuning from beginning to end: checks, examples, workers, the model."""

import json
import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scheduler.manifest import read_manifest, refuse_another
from scheduler.progress import progress
from training.curate.manifest import plain
from training.sft.checkpoints import last_whole
from training.sft.deepspeed_config import refuse_contradictions
from training.sft.examples import Prepared, prepare
from training.sft.settings import FineTuning
from workers.format import bind

MANIFEST = "manifest.json"
LOOK_SECONDS = 0.5


def check(settings: FineTuning) -> Prepared:
    """Everything that can be wrong before the first step is found here. Raises ValueError."""
    from transformers import AutoConfig, AutoTokenizer

    refuse_contradictions(settings.parallel.deepspeed)
    try:
        tokenizer = AutoTokenizer.from_pretrained(**settings.model.place)
        config = AutoConfig.from_pretrained(**settings.model.place)
    except OSError as error:
        raise ValueError(f"model.name {settings.model.name!r}: {error}".splitlines()[0]) from None
    if tokenizer.chat_template is None:
        raise ValueError(f"model.name {settings.model.name!r}: its tokenizer has no chat template")
    bind(settings.model.thinking_format, tokenizer)
    room = getattr(config, "max_position_embeddings", None)
    last_whole(settings.checkpoints)
    prepared = prepare(settings, tokenizer)
    longest = min(prepared.cuts.longest, settings.data.max_length)
    if room is not None and longest > room:
        raise ValueError(
            f"a row has {longest} tokens, and model {settings.model.name!r} takes {room}; "
            f"set data.max_length to {room} or less"
        )
    return prepared


def fine_tune(
    settings: FineTuning, run: Callable[[FineTuning], None], *, force: bool = False
) -> Path:
    """Train, going on from what is in `out`; the folder of the model.

    `run` is `run_on_ray` or `run_in_process`. Raises ValueError for wrong input, ResumeRefused if
    `out` was begun with other settings, TrainingFailed if the workers cannot go on.
    """
    settings.folder.mkdir(parents=True, exist_ok=True)
    identity = _begin(settings, force=force)
    prepared = check(settings)
    identity["examples"] = prepared.hash
    _begin(settings, force=force, identity=identity)
    with _progress(settings, prepared):
        run(settings)
    return settings.trained


def _begin(
    settings: FineTuning, *, force: bool, identity: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Refuse an output of another training; with the whole identity, note it there."""
    file = settings.folder / MANIFEST
    wanted: dict[str, Any] = plain(identity or settings.identity)
    if file.exists() and not force:
        refuse_another(settings.folder, read_manifest(file), wanted)
    if identity is not None:
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(wanted, indent=2) + "\n")
        os.replace(partial, file)
    return wanted


@contextmanager
def _progress(settings: FineTuning, prepared: Prepared) -> Iterator[None]:
    """Steps, loss and speed as the first worker writes them, until the block ends."""
    file, over = settings.metrics, threading.Event()
    per_epoch = math.ceil(prepared.rows / settings.training.batch_size)
    total = math.ceil(per_epoch * settings.training.epochs)

    def follow() -> None:
        done, is_over = 0, False
        with progress("training", total) as bar:
            while not is_over:
                is_over = over.wait(LOOK_SECONDS)
                step, note = _last(file)
                for _ in range(step - done):
                    bar.advance(note)
                done = max(done, step)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=2 * LOOK_SECONDS)


def _last(file: Path) -> tuple[int, str]:
    """The last step in the metrics, and how it went."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        last = json.loads(lines[-1])
    except (OSError, ValueError, IndexError):
        return 0, ""
    return last["step"], f"loss {last['loss']:.4f}, {last['tokens_per_second']:.0f} tokens/s"
