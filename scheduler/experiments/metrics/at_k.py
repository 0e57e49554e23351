"""What k chains out of n would have given: pass@k and maj@k, both without bias.

Both are means over all subsets of k of the n chains that were drawn, computed exactly: no subset is
drawn at random, and the order of the chains does not count (s1's harness takes the first k).
"""

from collections import Counter
from collections.abc import Sequence
from math import comb

import numpy as np

from policies.curves.arrays import Floats


def pass_at_k(right: int, chains: int, k: int) -> float:
    """Chance that at least one of k chains is right (Chen et al. 2021, arXiv:2107.03374).

    Raises ValueError where there are fewer than k chains.
    """
    _check(chains, k)
    return 1.0 - comb(chains - right, k) / comb(chains, k)


def majority_at_k(answers: Sequence[str | None], right: Sequence[bool], k: int) -> float:
    """Chance that the most frequent answer of k chains is right.

    `right` tells it of every chain. A chain without an answer casts no vote. Ties go to the answer
    that came first: in a random order each of them is as likely to.
    """
    _check(len(answers), k)
    votes = Counter(answer for answer in answers if answer is not None)
    silent = len(answers) - sum(votes.values())
    correct = {
        answer for answer, is_right in zip(answers, right, strict=True) if answer and is_right
    }
    ways = 0.0
    for answer in correct:
        others = [count for other, count in votes.items() if other != answer]
        for leading in range(1, min(k, votes[answer]) + 1):
            rest = _below(others, silent, leading, k - leading)
            ways += comb(votes[answer], leading) * rest
    return ways / comb(len(answers), k)


def _below(others: Sequence[int], silent: int, leading: int, chosen: int) -> float:
    """Ways to choose so many chains of the others, none of which has more than `leading` votes.

    A way in which t others tie with the leader counts 1/(t+1).
    """
    most_ties = chosen // leading
    ways: Floats = np.zeros((most_ties + 1, chosen + 1))
    ways[0] = [comb(silent, number) for number in range(chosen + 1)]
    for count in others:
        new = np.zeros_like(ways)
        for taken in range(min(count, leading, chosen) + 1):
            part = comb(count, taken) * ways[:, : chosen + 1 - taken]
            if taken == leading:
                new[1:, taken:] += part[:-1]
            else:
                new[:, taken:] += part
        ways = new
    return float(sum(ways[ties, chosen] / (ties + 1) for ties in range(most_ties + 1)))


def _check(chains: int, k: int) -> None:
    if not 1 <= k <= chains:
        raise ValueError(f"k must be from 1 to the {chains} chains that there are, got {k!r}")
