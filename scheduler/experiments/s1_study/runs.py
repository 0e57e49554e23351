"""The runs of the s1 study: the results of `experiments/s1/*.toml`, policy by policy."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

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
    """The rows of every part that has run. Raises ValueError for a folder without any."""
    found = {part: load_results(folder / part) for part in PARTS if (folder / part).is_dir()}
    if not found:
        raise ValueError(f"{folder}: no part of the study in it; there are {', '.join(PARTS)}")
    return found


def groups(rows: Sequence[ResultRow]) -> dict[str, list[ResultRow]]:
    """By question set; of a single set by class."""
    column = "questions" if len({row["questions"] for row in rows}) > 1 else "class"
    found: dict[str, list[ResultRow]] = {}
    for row in rows:
        found.setdefault(str(row[column]), []).append(row)
    return found


def runs_of(rows: Iterable[ResultRow]) -> list[StudyRun]:
    """One a policy, in the order of the experiment file."""
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
                _mean(row.get("chosen_tokens") for row in took),
                _mean(row.get("final_tokens") for row in took),
                scores[policy].tokens.value,
            )
        )
    return found


def of_family(runs: Iterable[StudyRun], *names: str) -> list[StudyRun]:
    return [run for run in runs if run.family in names]


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else float("nan")
