"""The runs of the s1 study: the results of `experiments/s1/*.toml`, policy by policy."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from scheduler.experiments.cells import FOLDER
from scheduler.experiments.metrics.accuracy import summaries
from scheduler.experiments.metrics.bootstrap import Estimate
from scheduler.experiments.metrics.table import score_table
from scheduler.experiments.report import family
from scheduler.experiments.results import ResultRow, load_results

PARTS = (
    "forcing",
    "extension_texts",
    "token_conditional",
    "step_conditional",
    "class_conditional",
    "rejection",
    "parallel",
)


class StudyRun(NamedTuple):
    """One policy on some questions. Accuracy is in percent, tokens are means of a question.

    `setting` is the policy's place in its grid; `thinking` is that of the chain whose words are the
    reply, where there is one; `tokens` are all.
    """

    policy: str
    family: str
    setting: str
    accuracy: Estimate
    thinking: float
    answer: float
    tokens: float

    @property
    def number(self) -> float:
        """The setting as a number."""
        return float(self.setting)


def read_study(folder: Path) -> dict[str, list[ResultRow]]:
    """The rows of every part that has complete cells. Raises ValueError where none has."""
    begun = [part for part in PARTS if any((folder / part / FOLDER).glob("*.jsonl"))]
    found = {part: load_results(folder / part) for part in begun}
    if not found:
        raise ValueError(f"{folder}: no part of the study in it; there are {', '.join(PARTS)}")
    return found


def groups(rows: Sequence[ResultRow]) -> dict[str, list[ResultRow]]:
    """By question set; of a single set by class. The ones that took least tokens come first."""
    column = "questions" if len({row["questions"] for row in rows}) > 1 else "class"
    found: dict[str, list[ResultRow]] = {}
    for row in rows:
        found.setdefault(str(row[column]), []).append(row)
    return dict(sorted(found.items(), key=lambda group: _mean(row["tokens"] for row in group[1])))


def runs_of(rows: Iterable[ResultRow]) -> list[StudyRun]:
    """One a policy; those of a family are next to each other, by their settings."""
    rows = list(rows)
    scores = {each.policy: each for each in summaries(score_table(rows))}
    found = []
    for policy in dict.fromkeys(str(row["policy"]) for row in rows):
        if policy not in scores:
            continue
        took = [row for row in rows if row["policy"] == policy and row["correct"] is not None]
        accuracy = Estimate(*(100 * bound for bound in scores[policy].accuracy))
        name = family(policy)
        found.append(
            StudyRun(
                policy,
                name,
                policy.removeprefix(name).rpartition("=")[2],
                accuracy,
                _mean(map(_thinking, took)),
                _mean(row.get("final_tokens") for row in took),
                scores[policy].tokens.value,
            )
        )
    return sorted(found, key=_place)


def of_family(runs: Iterable[StudyRun], *names: str) -> list[StudyRun]:
    return [run for run in runs if run.family in names]


def _place(run: StudyRun) -> tuple[str, float, str]:
    is_number = run.setting.replace(".", "", 1).isdigit()
    return run.family, run.number if is_number else 0.0, run.setting


def _thinking(row: ResultRow) -> float | None:
    """Of the chosen chain; an endpoint tells only of all chains, which may be one."""
    if (chosen := row.get("chosen_tokens")) is not None or row.get("chains") != 1:
        return chosen
    return row.get("thinking_tokens")


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else float("nan")
