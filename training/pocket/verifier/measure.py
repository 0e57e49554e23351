"""Measures a verifier on held-out questions: its rewards, and what votes gain by them.

    python -m training.pocket.verifier.measure [FOLDER] -o verifier.md

The chains are those of the real s1-pocket on vLLM at temperature 1, 16 a question. Rewards: area
under the ROC curve (AUC) and calibration, of steps. Votes: majorities, majorities weighted by the
reward of the whole chain, and the answer of the chain with the highest reward (best-of-n). All
three take the same chains, so they are compared at equal tokens.
"""

import argparse
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple, get_args

from policies.rewards import Aggregation, chain_reward
from training.pocket.comparison import Estimate, estimate, paired, table
from training.pocket.forcer import Forcer, Question, load_engine, read_questions
from training.pocket.problems import read_problem
from training.pocket.verifier.labels import labels
from training.pocket.verifier.samples import TEMPERATURE
from workers.models import POCKET_FOLDER
from workers.verifier.pocket import POCKET_VERIFIER_FOLDER, PocketVerifier

SAMPLES = 16
VOTES = (4, 8, 16)
RESAMPLES = 32
BINS = 10


class Judged(NamedTuple):
    """Answer and thinking tokens of a chain; rewards of its steps, and which are right."""

    answer: str
    tokens: int
    rewards: list[float]
    right: list[bool]


class Asked(NamedTuple):
    """A question of a class, and its chains."""

    name: str
    answer: str
    chains: list[Judged]


def sample(questions: int, verifier: PocketVerifier) -> list[Asked]:
    """SAMPLES chains of each of the first `questions` held-out questions of every class."""
    classes = read_questions(POCKET_FOLDER / "questions.jsonl", questions)
    names = [name for name, asked in classes.items() for _ in asked]
    asked = [question for each in classes.values() for question in each]
    repeated = [question for question in asked for _ in range(SAMPLES)]
    forcer = Forcer(load_engine(POCKET_FOLDER), TEMPERATURE)
    thoughts = forcer.think(repeated)
    answers = forcer.answers(repeated, thoughts)
    texts = [forcer.tokenizer.decode(list(each.tokens)).strip() for each in thoughts]
    lengths = [len(each.tokens) for each in thoughts]
    return judge(verifier, names, asked, texts, answers, lengths)


def judge(
    verifier: PocketVerifier,
    names: Sequence[str],
    asked: Sequence[Question],
    texts: Sequence[str],
    answers: Sequence[str],
    lengths: Sequence[int],
) -> list[Asked]:
    """Texts, answers and lengths in tokens: of the chains, SAMPLES for each question in turn."""
    pairs = [(asked[number // SAMPLES].text, text) for number, text in enumerate(texts)]
    chains = [
        Judged(answer, length, rewards, labels(read_problem(question), text))
        for (question, text), answer, length, rewards in zip(
            pairs, answers, lengths, verifier.score_pairs(pairs), strict=True
        )
    ]
    return [
        Asked(name, question.answer, chains[at : at + SAMPLES])
        for name, question, at in zip(names, asked, range(0, len(chains), SAMPLES), strict=True)
    ]


def auc(scores: Sequence[float], right: Sequence[bool]) -> float:
    """The chance that what is right scores higher than what is not; ties count half."""
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    positives = sum(right)
    total = sum(rank for rank, is_right in zip(ranks, right, strict=True) if is_right)
    pairs = positives * (len(right) - positives)
    return float((total - positives * (positives + 1) / 2) / pairs) if pairs else float("nan")


def calibration(scores: Sequence[float], right: Sequence[bool]) -> list[tuple[int, float, float]]:
    """For each tenth of [0, 1]: how many scores, their mean, and the share that is right."""
    bins: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for score, is_right in zip(scores, right, strict=True):
        bins[min(int(score * BINS), BINS - 1)].append((score, is_right))
    return [
        (len(pairs), fmean(s for s, _ in pairs), fmean(r for _, r in pairs))
        for _, pairs in sorted(bins.items())
    ]


def calibration_error(bins: Sequence[tuple[int, float, float]]) -> float:
    """The expected calibration error: mean distance of score and share, weighted by count."""
    total = sum(count for count, _, _ in bins)
    return sum(count * abs(mean - share) for count, mean, share in bins) / total


Vote = Callable[[Sequence[Judged], random.Random], str]


def majority(chains: Sequence[Judged], rng: random.Random) -> str:
    return _heaviest(chains, [1.0] * len(chains), rng)


def weighted(chains: Sequence[Judged], rng: random.Random) -> str:
    return _heaviest(chains, [chain_reward(chain.rewards) for chain in chains], rng)


def best(chains: Sequence[Judged], rng: random.Random) -> str:
    return max(chains, key=lambda chain: (chain_reward(chain.rewards), rng.random())).answer


def _heaviest(chains: Sequence[Judged], weights: Sequence[float], rng: random.Random) -> str:
    """The answer with most weight; a tie is broken by lot."""
    held: dict[str, float] = defaultdict(float)
    for chain, weight in zip(chains, weights, strict=True):
        held[chain.answer] += weight
    return max(held, key=lambda answer: (held[answer], rng.random()))


RULES: dict[str, Vote] = {"majority": majority, "weighted": weighted, "best-of-n": best}


def scores(asked: Sequence[Asked], votes: int) -> dict[str, list[float]]:
    """For every rule and question the share of resampled pools whose answer is right."""
    found: dict[str, list[float]] = {name: [] for name in RULES}
    for number, question in enumerate(asked):
        rng = random.Random(f"votes {number} {votes}")
        pools = [rng.sample(question.chains, votes) for _ in range(RESAMPLES)]
        for name, rule in RULES.items():
            found[name].append(fmean(rule(pool, rng) == question.answer for pool in pools))
    return found


def report(asked: Sequence[Asked]) -> str:
    names = list(dict.fromkeys(question.name for question in asked))
    by_class = {name: [each for each in asked if each.name == name] for name in names}
    groups = {**by_class, "all": list(asked)}
    return "\n\n".join((rewards_table(groups), bins_table(asked), votes_table(groups))) + "\n"


def rewards_table(groups: dict[str, list[Asked]]) -> str:
    hows: tuple[Aggregation, ...] = get_args(Aggregation)
    rows = [["class", "steps right", "AUC of steps", "calibration error",
             *(f"AUC of chains, {how}" for how in hows)]]  # fmt: skip
    for name, asked in groups.items():
        values, right = steps(asked)
        chains = [chain for question in asked for chain in question.chains]
        is_right = [c.answer == q.answer for q in asked for c in q.chains]
        rows.append([
            name, f"{fmean(right):.3f}", f"{auc(values, right):.3f}",
            f"{calibration_error(calibration(values, right)):.3f}",
            *(f"{auc([chain_reward(c.rewards, how) for c in chains], is_right):.3f}"
              for how in hows),
        ])  # fmt: skip
    return table(rows)


def steps(asked: Sequence[Asked]) -> tuple[list[float], list[bool]]:
    """Rewards and labels of all steps but the first of each chain, which repeats the question."""
    chains = [chain for question in asked for chain in question.chains]
    values = [reward for chain in chains for reward in chain.rewards[1:]]
    return values, [right for chain in chains for right in chain.right[1:]]


def bins_table(asked: Sequence[Asked]) -> str:
    rows = [["steps", "mean reward", "share right"]]
    for count, mean, share in calibration(*steps(asked)):
        rows.append([str(count), f"{mean:.3f}", f"{share:.3f}"])
    return table(rows)


def votes_table(groups: dict[str, list[Asked]]) -> str:
    rows = [["class", "n", "tokens", *RULES, "weighted - majority", "best-of-n - majority"]]
    for name, asked in groups.items():
        tokens = fmean(chain.tokens for question in asked for chain in question.chains)
        for votes in VOTES:
            found = scores(asked, votes)
            plain = found["majority"]
            rows.append([
                name, str(votes), f"{votes * tokens:.0f}",
                *(_percent(estimate(values)) for values in found.values()),
                *(_signed(paired(found[rule], plain)) for rule in ("weighted", "best-of-n")),
            ])  # fmt: skip
    return table(rows)


def _percent(found: Estimate) -> str:
    return f"{100 * found.mean:.1f} ± {100 * found.half:.1f}"


def _signed(found: Estimate) -> str:
    return f"{100 * found.mean:+.1f} {found.bounds}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.pocket.verifier.measure")
    parser.add_argument("verifier", type=Path, nargs="?", default=POCKET_VERIFIER_FOLDER)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=300, help="of each class")
    arguments = parser.parse_args()
    text = report(sample(arguments.questions, PocketVerifier(arguments.verifier)))
    arguments.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
