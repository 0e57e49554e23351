"""Changes of answers tell how many are right, labels whether they tell it well."""

from random import Random

import numpy as np
import pytest

from policies.curves.extension_counts import MOVES, PATTERNS, ExtensionCounts, pattern
from policies.curves.hmm import DEFAULT_PARAMETERS, HmmParameters, fit_hmm, forward_pass
from policies.tally import Vote

TRUE = HmmParameters(
    0.3, np.full(6, 0.05), np.full(6, 0.6), np.array([0.1, 0.5, 0.3, 0.2, 0.2, 0.2])
)


def walk(rng: Random, parameters: HmmParameters, extensions: int) -> list[str]:
    """Answers of one chain; "a" is right, and no wrong answer is given twice."""
    answers, wrong = ["a" if rng.random() < parameters.start else "wrong"], iter(range(100))
    for wait in range(extensions):
        if answers[-1] == "a":
            changes, mends = rng.random() < parameters.spoilt[wait], False
        else:
            changes = rng.random() < parameters.changed[wait]
            mends = rng.random() < parameters.repaired[wait]
        answers.append(answers[-1] if not changes else "a" if mends else str(next(wrong)))
    return answers


def observe(counts: ExtensionCounts, answers: list[str], labelled: bool) -> None:
    votes = [Vote(0, said, 10 * (w + 1), 10 * (w + 1), w) for w, said in enumerate(answers)]
    counts.observe(votes, [said == "a" if labelled else None for said in answers])


def test_patterns_are_numbered_once_and_in_reach() -> None:
    numbers = [
        pattern([bool(bits >> place & 1) for place in range(extensions)])
        for extensions in range(7)
        for bits in range(1 << extensions)
    ]
    assert sorted(numbers) == list(range(PATTERNS))


def test_a_checked_chain_is_counted_by_its_moves_and_another_by_its_pattern() -> None:
    counts = ExtensionCounts()
    observe(counts, ["b", "a", "a", "c"], labelled=True)
    assert sum(counts.moves) == 3 and sum(counts.patterns) == 0
    assert [
        counts.moves[wait * len(MOVES) : (wait + 1) * len(MOVES)].index(1) for wait in (0, 1, 2)
    ] == [4, 0, 1]
    observe(counts, ["b", "a"], labelled=False)
    assert sum(counts.moves) == 3 and counts.patterns[pattern([True])] == 1


@pytest.mark.parametrize("seed", range(3))
def test_a_tenth_of_labels_finds_the_parameters(seed: int) -> None:
    rng, counts = Random(seed), ExtensionCounts()
    for _ in range(1500):
        observe(counts, walk(rng, TRUE, 5), labelled=rng.random() < 0.1)
    found = fit_hmm(counts, DEFAULT_PARAMETERS)
    assert found.start == pytest.approx(TRUE.start, abs=0.05)
    assert found.changed[:5] == pytest.approx(TRUE.changed[:5], abs=0.12)
    assert found.repaired[:5] == pytest.approx(TRUE.repaired[:5], abs=0.15)


def test_which_waits_were_forced_does_not_bias_the_parameters() -> None:
    """Chains stop as soon as an answer has stood twice, or they do not."""
    rng, stopped, full = Random(3), ExtensionCounts(), ExtensionCounts()
    for _ in range(4000):
        answers = walk(rng, TRUE, 5)
        until = next((w for w in range(2, 6) if len({*answers[w - 2 : w + 1]}) == 1), 5)
        labelled = rng.random() < 0.2
        observe(full, answers, labelled)
        observe(stopped, answers[: until + 1], labelled)
    early, late = fit_hmm(stopped, DEFAULT_PARAMETERS), fit_hmm(full, DEFAULT_PARAMETERS)
    assert early.start == pytest.approx(late.start, abs=0.03)
    assert early.repaired[:3] == pytest.approx(late.repaired[:3], abs=0.08)


def test_shares_by_state_are_those_of_the_chains() -> None:
    rng, changed, right = Random(4), [0.0, 0.0], 0
    for _ in range(4000):
        answers = walk(rng, TRUE, 2)
        if answers[0] == answers[1]:
            changed[answers[1] != answers[2]] += 1
            right += answers[1] == "a"
    forward = forward_pass(TRUE)
    assert forward.right[2] == pytest.approx(right / sum(changed), abs=0.03)
    assert forward.stays[2] == pytest.approx(changed[0] / sum(changed), abs=0.03)
