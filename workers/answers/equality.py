"""Whether two answers are the same: at once where both are plain, else by mathematics."""

import asyncio
from collections import Counter, OrderedDict
from typing import Literal, NamedTuple

from policies.answer_spec import AnswerSpec
from workers.answers.compare import same, squeezed
from workers.answers.forms import Choice, Form, Json, Listing, Truth, Words, form_of
from workers.answers.formulas import distinct, is_hostile, to_latex
from workers.answers.math_pool import Failure, MathPool, Undecided
from workers.answers.numbers import Number
from workers.answers.words import words_of

Method = Literal["fast", "math", "text", "json", "none"]
AUTO = AnswerSpec()
MAX_ROUNDS = 40


class Verdict(NamedTuple):
    """`method` "fast" compared plain values, "math" formulas, "text" spelling.

    `why` says why spelling had to do, such as "slow" or "down"; empty otherwise.
    """

    same: bool
    method: Method
    why: str = ""


class Equality:
    """Compares answers. Formulas go to `pool`; without one they are compared by spelling.

    Results of formulas are kept, the `kept` latest. `counts` has one entry for each method that
    decided, "cached" for kept results, and "hostile", "slow", "killed", "down", "busy" or
    "unreadable" for each pair of formulas that mathematics did not decide.
    """

    def __init__(self, pool: MathPool | None = None, *, kept: int = 50_000) -> None:
        self._pool = pool
        self._kept = kept
        self._results: OrderedDict[tuple[str, str], bool | Failure] = OrderedDict()
        self._asked: dict[tuple[str, str], asyncio.Task[None]] = {}
        self.counts: Counter[str] = Counter()

    def at_once(self, one: str, other: str, spec: AnswerSpec = AUTO) -> Verdict | None:
        """Without waiting; None where formulas must be compared that were not before."""
        if one == other:
            return self._counted(Verdict(spec.kind != "none", "fast"))
        if spec.kind == "none":
            return self._counted(Verdict(False, "none"))
        verdict = self._verdict(one, other, spec, [])
        return None if verdict is None else self._counted(verdict)

    async def same(self, one: str, other: str, spec: AnswerSpec = AUTO) -> Verdict:
        """Symmetric and reflexive. Never raises because of what the answers hold."""
        if (verdict := self.at_once(one, other, spec)) is not None:
            return verdict
        for _ in range(MAX_ROUNDS):
            missing: list[tuple[str, str]] = []
            verdict = self._verdict(one, other, spec, missing)
            if verdict is not None:
                return self._counted(verdict)
            await asyncio.gather(*(self._ask(pair) for pair in missing[:4]))
        return self._counted(Verdict(spelt_alike(one, other), "text", "busy"))

    def _verdict(
        self, one: str, other: str, spec: AnswerSpec, missing: list[tuple[str, str]]
    ) -> Verdict | None:
        kind = "choice" if spec.is_choice else spec.kind
        used_math, why = False, ""

        def leaf(first: str, second: str) -> bool | None:
            nonlocal used_math, why
            pair = (first, second) if first <= second else (second, first)
            result = self._result(pair)
            if result is None:
                missing.append(pair)
                return None
            if isinstance(result, bool):
                used_math = True
                return result
            why = result
            return squeezed(first) == squeezed(second)

        forms = form_of(one, kind), form_of(other, kind)
        if spec.is_choice:
            forms = _choice(forms[0], spec), _choice(forms[1], spec)
        found = same(*forms, leaf)
        if found is None:
            return None
        if not found and not isinstance(forms[0], Number) and spelt_alike(one, other):
            found = True
        if why and not used_math:
            return Verdict(found, "text", why)
        if used_math:
            return Verdict(found, "math")
        return Verdict(found, _plain_method(*forms))

    def _result(self, pair: tuple[str, str]) -> "bool | str | None":
        """What is known of two formulas: whether they are equal, or why they are not compared."""
        if is_hostile(pair[0]) or is_hostile(pair[1]):
            self.counts["hostile"] += 1
            return "hostile"
        if self._pool is None or self._pool.is_down:
            kept = self._results.get(pair)
            if isinstance(kept, bool):
                return kept
            self.counts["down"] += 1
            return "down"
        if (result := self._results.get(pair)) is not None:
            self._results.move_to_end(pair)
            self.counts["cached"] += 1
        return result

    async def _ask(self, pair: tuple[str, str]) -> None:
        """Ask the pool once, whoever else waits for the same pair."""
        task = self._asked.get(pair)
        if task is None:
            task = self._asked[pair] = asyncio.create_task(self._compare(pair))
            task.add_done_callback(lambda _: self._asked.pop(pair, None))
        # A caller that is cancelled does not take the result from the others.
        await asyncio.shield(task)

    async def _compare(self, pair: tuple[str, str]) -> None:
        assert self._pool is not None
        result: bool | Failure
        try:
            result = await self._pool.same(*distinct(to_latex(pair[0]), to_latex(pair[1])))
        except Undecided as undecided:
            result = undecided.failure
            self.counts[result] += 1
        self._results[pair] = result
        while len(self._results) > self._kept:
            self._results.popitem(last=False)

    def _counted(self, verdict: Verdict) -> Verdict:
        self.counts[verdict.method] += 1
        return verdict


def spelt_alike(one: str, other: str) -> bool:
    """Whether two answers are the same text, but for case, spaces, quotes and punctuation.

    Signs count: "-3" is not "3".
    """
    if len(one) > 4000 or len(other) > 4000:
        return " ".join(one.split()) == " ".join(other.split())
    first, second = form_of(one, "text"), form_of(other, "text")
    if not (isinstance(first, Words) and isinstance(second, Words)):
        return False
    if any(letter in "\\^_{}()[]<>=*/|+-!" for letter in first.raw + second.raw):
        return squeezed(first.raw) == squeezed(second.raw)
    return first.words == second.words and bool(first.words)


def _choice(form: Form, spec: AnswerSpec) -> Form:
    """An answer as the letter of a choice, whether its letter or its text was given."""
    if not spec.choices:
        return form
    letters = [spec.letter(at) for at in range(len(spec.choices))]
    named = ""
    if isinstance(form, Choice):
        if form.letter.lower() in letters:
            return Choice(form.letter.lower())
        named = form.text or form.letter.lower()
    for letter, text in zip(letters, spec.choices, strict=True):
        is_text = bool(named) and words_of(text) == named
        if is_text or same(form, form_of(text), lambda _one, _other: None) is True:
            return Choice(letter)
    # The letters of several choices: "AC", "A, C".
    match form:
        case Words(raw=raw) if raw.isalpha() and set(raw.lower()) <= set(letters):
            return Listing("set", tuple(Choice(letter) for letter in sorted(raw.lower())), "", raw)
        case Listing(kind="bare", items=items):
            return Listing("set", tuple(_choice(item, spec) for item in items), "", form.latex)
    return form


def _plain_method(one: Form, other: Form) -> Method:
    if isinstance(one, Json) and isinstance(other, Json):
        return "json"
    plain = (Number, Choice, Truth)
    return "fast" if isinstance(one, plain) or isinstance(other, plain) else "text"
