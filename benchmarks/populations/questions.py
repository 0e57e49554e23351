"""Questions of a simulated population: five classes whose curves differ.

The first four are shaped like a small model's measured curves for forced "Wait"s at temperature 0
and votes at temperature 1; in "sum" the extensions hardly help and votes do.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from policies.base import Message, Query
from policies.tally import Vote

ANSWERS = 10
ANSWER_TOKENS = 4


class Shape(NamedTuple):
    """`repaired[w]` is the accuracy after w extensions, `lengths[w]` the mean thinking tokens by
    then.

    A sampled chain is right with a chance from Beta(*sampled); `scatter` spreads its errors.
    """

    repaired: tuple[float, ...]
    lengths: tuple[int, ...]
    sampled: tuple[float, float]
    scatter: float
    rewrites: float = 0.55
    relapse: float = 0.0


SHAPES: Mapping[str, Shape] = {
    "easy": Shape(
        (0.97, 0.997, 1.0, 1.0, 1.0, 1.0, 1.0),
        (23, 65, 101, 140, 180, 220, 260),
        (12, 0.9),
        3.0,
    ),
    "medium": Shape(
        (0.56, 0.82, 0.97, 1.0, 1.0, 1.0, 1.0),
        (40, 102, 147, 202, 253, 304, 355),
        (2.9, 1.0),
        2.0,
    ),
    "hard": Shape(
        (0.30, 0.43, 0.79, 0.94, 0.97, 0.985, 0.99),
        (65, 150, 210, 269, 325, 380, 435),
        (1.3, 2.2),
        4.0,
    ),
    "extreme": Shape(
        (0.21, 0.23, 0.26, 0.37, 0.56, 0.61, 0.65),
        (90, 206, 303, 383, 455, 527, 599),
        (0.7, 2.5),
        3.0,
        relapse=0.05,
    ),
    "sum": Shape(
        (0.45, 0.45, 0.46, 0.46, 0.47, 0.47, 0.47),
        (40, 85, 130, 175, 220, 265, 310),
        (9.0, 6.0),
        9.0,
        rewrites=0.15,
    ),
}


@dataclass(frozen=True, slots=True)
class SimulatedQuestion:
    """All that chains would say: greedily by Wait, sampled in the order drawn, cut too early."""

    query: Query
    shape: str
    greedy: tuple[Vote, ...]
    sampled: tuple[Vote, ...]
    guess: str

    def right(self, answer: str | None) -> bool:
        return answer == self.query.reference

    def forced(self, first: Vote, extensions: int) -> Vote:
        """A sampled chain with so many extensions in one go: it answers once."""
        last = first
        for _ in range(extensions):
            longer = self.extended(last, is_greedy=False)
            last = replace(longer, tokens=longer.tokens - ANSWER_TOKENS)
        return last

    def extended(self, last: Vote, *, is_greedy: bool) -> Vote:
        """The next end of a chain; each end costs an answer.

        A sampled chain is repaired, and relapses, as often as greedy ones of its class.
        """
        extensions = last.extensions + 1
        end = self.greedy[extensions]
        if is_greedy:
            tokens = end.thinking_tokens + (extensions + 1) * ANSWER_TOKENS
            return replace(end, tokens=tokens)
        shape, rng = SHAPES[self.shape], Random(f"{self.query.id} {last.chain} {extensions}")
        before, after = shape.repaired[extensions - 1 : extensions + 1]
        answer = last.answer
        if not self.right(answer):
            answer = (
                self.query.reference if rng.random() < (after - before) / (1 - before) else answer
            )
        elif rng.random() < shape.relapse:
            answer = self.guess
        longer = end.thinking_tokens - self.greedy[extensions - 1].thinking_tokens
        return replace(
            last,
            answer=answer,
            tokens=last.tokens + longer + ANSWER_TOKENS,
            thinking_tokens=last.thinking_tokens + longer,
            extensions=extensions,
            stop_cause="extensions",
        )


def question(query_class: str, number: int, rng: Random, *, samples: int = 40) -> SimulatedQuestion:
    shape = SHAPES[query_class]
    truth = rng.randrange(ANSWERS)
    wrong = [answer for answer in range(ANSWERS) if answer != truth]
    query = Query(
        f"{query_class}-{number}",
        (Message("user", f"{query_class} {number}"),),
        query_class,
        reference=str(truth),
    )
    return SimulatedQuestion(
        query,
        query_class,
        tuple(_greedy(shape, truth, wrong, rng)),
        tuple(_sampled(shape, truth, wrong, rng, samples)),
        str(rng.randrange(ANSWERS)),
    )


def _greedy(shape: Shape, truth: int, wrong: Sequence[int], rng: Random) -> Iterator[Vote]:
    """A chain is right from some Wait on, but for relapses; until then extensions may rewrite
    errors.
    """
    solved, stretch = rng.random(), max(0.5, rng.gauss(1.0, 0.12))
    answer = rng.choice(wrong)
    for extensions, share in enumerate(shape.repaired):
        right = solved < share and not (extensions and rng.random() < shape.relapse)
        if right:
            answer = truth
        elif answer == truth or (extensions and rng.random() < shape.rewrites):
            answer = rng.choice(wrong)
        thinking = round(shape.lengths[extensions] * stretch)
        yield Vote(0, str(answer), thinking + ANSWER_TOKENS, thinking, extensions)


def _sampled(
    shape: Shape, truth: int, wrong: Sequence[int], rng: Random, samples: int
) -> Iterator[Vote]:
    share = rng.betavariate(*shape.sampled)
    weights = [rng.gammavariate(shape.scatter / len(wrong), 1.0) + 1e-9 for _ in wrong]
    for number in range(samples):
        answer = truth if rng.random() < share else rng.choices(wrong, weights)[0]
        thinking = round(shape.lengths[0] * max(0.5, rng.gauss(1.0, 0.15)))
        yield Vote(number, str(answer), thinking + ANSWER_TOKENS, thinking)
