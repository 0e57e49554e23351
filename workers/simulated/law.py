"""How simulated chains turn out, so that what a policy or a curve finds can be held against truth.

The right answer to a question is a digit derived from its text (`reference`). A chain thinks in
passes, one and then one a "Wait", and somewhere in each, uniformly, it makes up its mind. Before
that point of its first pass an answer would be a guess; before that of a later one, the answer of
the pass before. A trial answer, an early exit and a cap all meet the chain where it stands.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from policies.signals import Confidence

ANSWER_TOKENS = 6
PARAGRAPH_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Law:
    """How chains turn out on one class of questions.

    Greedy chains: right with `accuracy` after one pass; every Wait repairs a wrong chain with
    chance `repair` and breaks a right one with chance `corruption`. Sampled chains: a share
    `solvable` of the questions has the right answer as its mode; a chain gives the mode with chance
    `mode_mass`, else any other digit.
    """

    accuracy: float
    repair: float
    corruption: float
    solvable: float
    mode_mass: float
    thinking_tokens: int
    extension_tokens: int

    def accuracy_after(self, extensions: int) -> float:
        """Of a greedy chain with this many Waits and no cut."""
        accuracy = self.accuracy
        for _ in range(extensions):
            accuracy += (1 - accuracy) * self.repair - accuracy * self.corruption
        return accuracy

    def accuracy_at(self, share: float) -> float:
        """Of a greedy chain that must answer after this share of its first pass."""
        return share * self.accuracy + (1 - share) / 10


LAWS: Mapping[str, Law] = {
    "easy": Law(0.96, 0.70, 0.00, 1.00, 0.95, 30, 40),
    "medium": Law(0.55, 0.65, 0.00, 0.95, 0.70, 60, 60),
    "hard": Law(0.30, 0.35, 0.02, 0.70, 0.40, 90, 80),
    "hopeless": Law(0.10, 0.02, 0.02, 0.12, 0.20, 150, 100),
}


def reference(question: str) -> str:
    """The right answer: one digit."""
    return str(_hash(question, "answer") % 10)


def law_of(question: str, laws: Mapping[str, Law] | None = None) -> str:
    """The class that the question names, else one drawn by its text. Default: of `LAWS`."""
    laws = LAWS if laws is None else laws
    named = [name for name in laws if name in question]
    # One name may be part of another one.
    return max(named, key=len) if named else list(laws)[_hash(question, "law") % len(laws)]


def questions(
    count: int, seed: int = 0, laws: Mapping[str, Law] | None = None
) -> list[dict[str, str]]:
    """A question set of mixed classes for this engine, by default those of `LAWS`."""
    rng, known = Random(seed), list(LAWS if laws is None else laws)
    names = [rng.choice(known) for _ in range(count)]
    texts = [f"{name} question {seed}-{number}" for number, name in enumerate(names)]
    return [
        {"id": text, "class": name, "question": text, "answer": reference(text)}
        for name, text in zip(names, texts, strict=True)
    ]


class Pass(NamedTuple):
    """Thinking up to `end` tokens; from `settled` on the chain has made up its mind."""

    end: int
    settled: float
    answer: str


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one chain that nothing stops; `path` sets it apart from others."""

    question: str
    path: str
    passes: tuple[Pass, ...]

    @property
    def end(self) -> int:
        return self.passes[-1].end

    def answer_at(self, tokens: int) -> str:
        """What the chain answers after so much thinking."""
        answer = str(Random(_hash(self.question, self.path, "guess", str(tokens))).randrange(10))
        for run in self.passes:
            if tokens < run.settled:
                break
            answer = run.answer
        return answer

    def probability_at(self, tokens: int) -> float:
        """That of a trial's tokens: 0.9 to 1 once the chain has made up its mind, else any."""
        chance = Random(_hash(self.question, self.path, "sure", str(tokens))).random()
        return 0.9 + 0.1 * chance if self._is_settled(tokens) else chance

    def confidence_at(self, tokens: int) -> Confidence:
        """Surer when right: two nats on average, where both kinds spread over four."""
        rng = Random(_hash(self.question, self.path, "confidence"))
        right = self.answer_at(tokens) == reference(self.question)
        tail = 10.0 + 2.0 * right + 4.0 * rng.random()
        answer = rng.uniform(0.8, 1.0) if right else rng.uniform(0.4, 1.0)
        return Confidence(tail + 1.0, tail - 2.0, tail, answer)

    def lowest_at(self) -> int:
        """Where the least sure window ends."""
        share = Random(_hash(self.question, self.path, "lowest")).random()
        return max(1, round(share * self.end))

    def _is_settled(self, tokens: int) -> bool:
        run = next((run for run in self.passes if tokens <= run.end), self.passes[-1])
        return tokens >= run.settled

    def mind_at(self, tokens: int) -> str | None:
        """The answer it has come to; None until it has made up its mind."""
        minds = [run.answer for run in self.passes if run.settled <= tokens]
        return minds[-1] if minds else None

    def branched(self, at: int, mind: str | None) -> "Fate":
        """Of a chain that went on after `at` tokens from one with this mind: it ends later, and
        keeps a mind that was made up; else it makes it up in what is left, uniformly.
        """
        first, end = self.passes[0], max(self.end, at + 1)
        if mind is None:
            settled, mind = at + (end - at) * first.settled / first.end, first.answer
        else:
            settled = min(at, first.settled)
        return Fate(self.question, self.path, (Pass(end, settled, mind),))


def fate(
    question: str,
    path: str,
    *,
    extensions: int,
    min_tokens: int,
    greedy: bool,
    laws: Mapping[str, Law] | None = None,
) -> Fate:
    """Drawn pass by pass, so that more extensions only add to it. `laws` of None are `LAWS`."""
    laws = LAWS if laws is None else laws
    law, truth = laws[law_of(question, laws)], reference(question)
    rng, minds = Random(_hash(question, path)), Random(_hash(question, path, "mind"))
    answer = _first_answer(law, truth, question, rng, greedy)
    passes: list[Pass] = []
    end = 0
    for wait in range(extensions + 1):
        typical = law.extension_tokens if wait else law.thinking_tokens
        length = max(1, round(typical * rng.uniform(0.7, 1.3)))
        if wait:
            answer = _after_wait(law, truth, answer, rng)
        passes.append(Pass(end + length, end + minds.random() * length, answer))
        end += length
    passes[-1] = passes[-1]._replace(end=max(end, min_tokens))
    return Fate(question, path, tuple(passes))


def _first_answer(law: Law, truth: str, question: str, rng: Random, greedy: bool) -> str:
    if greedy:
        return truth if rng.random() < law.accuracy else _other(truth, rng)
    per_question = Random(_hash(question, "mode"))
    solvable = per_question.random() < law.solvable
    mode = truth if solvable else _other(truth, per_question)
    return mode if rng.random() < law.mode_mass else _other(mode, rng)


def _after_wait(law: Law, truth: str, answer: str, rng: Random) -> str:
    if answer == truth:
        return _other(truth, rng) if rng.random() < law.corruption else truth
    return truth if rng.random() < law.repair else answer


def _other(digit: str, rng: Random) -> str:
    return str((int(digit) + rng.randint(1, 9)) % 10)


def _hash(*parts: str) -> int:
    return int.from_bytes(hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest())
