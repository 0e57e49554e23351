"""What an experiment will take, before it runs: tokens of every policy on every set."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scheduler.config import EngineConfig
from scheduler.experiments.cells import SERVER, ExperimentCell, built
from scheduler.experiments.prepare import VIRTUAL, Prepared
from scheduler.experiments.questions.question import spread
from scheduler.experiments.results import read_cell
from scheduler.experiments.runner import CellBases, asked_path, run_alone
from scheduler.solving.token_limits import worst_query

TRIED = 20
"""Questions that an engine which costs nothing is asked to see what a policy takes."""


class TokenForecast(NamedTuple):
    """Of one engine, set and policy, all seeds. `tokens` and `most` are of all questions; None:
    not known.
    """

    engine: str
    questions: str
    policy: str
    asked: int
    tokens: float | None
    most: float | None
    from_: str


def forecasts(
    prepared: Prepared, todo: list[ExperimentCell], folder: Path
) -> Iterator[TokenForecast]:
    """Of the cells that are to do: measured on a few questions, or on what has run already."""
    groups: dict[tuple[str, str, str], list[ExperimentCell]] = {}
    for cell in todo:
        groups.setdefault(cell[:3], []).append(cell)
    for (engine, questions, policy), cells in groups.items():
        asked = sum(len(prepared.asked(cell)) for cell in cells)
        mean, source = _measured(prepared, cells[0], folder)
        most = _most(prepared, cells[0])
        yield TokenForecast(
            engine,
            questions,
            policy,
            asked,
            None if mean is None else mean * asked,
            None if most is None else float(most) * asked,
            source,
        )


def _measured(prepared: Prepared, cell: ExperimentCell, folder: Path) -> tuple[float | None, str]:
    engine = prepared.config.named_engines[cell.engine]
    if engine.kind in VIRTUAL:
        few = Prepared(
            prepared.config,
            [cell],
            {(cell.engine, cell.questions): spread(prepared.asked(cell), TRIED)},
            prepared.recorded,
            prepared.known,
        )
        with tempfile.TemporaryDirectory() as place:
            run_alone(CellBases(few), cell, Path(place))
            rows = read_cell(asked_path(few, cell, Path(place)))
        source = f"{TRIED} questions"
    else:
        done = Path(folder) / "cells"
        prefix = f"{cell.engine}~{cell.questions}~{cell.policy}~"
        paths = [path for path in done.glob("*.jsonl") if path.name.startswith(prefix)]
        rows = [row for path in paths for row in read_cell(path)]
        source = "other seeds"
    tokens = [row["tokens"] for row in rows if row["correct"] is not None]
    return (float(np.mean(tokens)), source) if tokens else (None, "")


def _most(prepared: Prepared, cell: ExperimentCell) -> int | None:
    """Tokens of a question at worst, where the room of a chain is known."""
    config = prepared.config
    engine = config.named_engines[cell.engine]
    if config.max_total_tokens is not None:
        return config.max_total_tokens
    if config.named_policies[cell.policy].name == SERVER:
        return None
    policy = built(config, cell.policy)
    room = policy.options.max_thinking_tokens
    if isinstance(engine, EngineConfig) and engine.max_model_len is not None:
        room = min(engine.max_model_len, room or engine.max_model_len)
    return None if room is None else worst_query(policy, config.limits, room)


def table(found: list[TokenForecast]) -> str:
    """As it is shown."""
    width = max(len(each.policy) for each in found)
    lines = [f"{'policy':<{width}}  questions  predicted tokens  at most         from"]
    for each in found:
        tokens = "?" if each.tokens is None else f"{each.tokens:,.0f}"
        most = "?" if each.most is None else f"{each.most:,.0f}"
        lines.append(f"{each.policy:<{width}}  {each.asked:9d}  {tokens:>16}  {most:>14}  "
                     f"{each.from_}".rstrip())  # fmt: skip
    known = [each.tokens for each in found if each.tokens is not None]
    if known:
        missing = len(found) - len(known)
        rest = f", and {missing} policies of which nothing is known" if missing else ""
        lines.append(f"in all {sum(known):,.0f} tokens{rest}")
    return "\n".join(lines)
