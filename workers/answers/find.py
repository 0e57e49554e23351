"""The answer inside a model's reply, and inside a reference as data sets write it."""

import re

from policies.answer_spec import AnswerSpec
from workers.answers.boxes import boxes, last_box
from workers.answers.forms import Words, form_of
from workers.answers.json_answer import json_value, last_json, tagged_json
from workers.answers.numbers import number_of
from workers.answers.prose import clipped, last_choice, last_number, last_said
from workers.answers.statements import is_unfinished, statements
from workers.answers.tidy import plain_characters, tidy
from workers.answers.words import words_of

MAX_REPLY = 20_000
"""Characters at the end of a reply that are read."""
AUTO = AnswerSpec()
MAX_NESTED = 3
_THOUGHTS = re.compile(r"</think(?:ing)?>|<\|im_start\|>answer\n")
_REFERENCE_LINE = re.compile(r"^####[ \t]*(\S[^\n]*)\s*\Z", re.MULTILINE)


def find_answer(reply: str, spec: AnswerSpec = AUTO, forced: str = "") -> str | None:
    """The answer that a reply settles on, tidy; None where it has none.

    In order: the last box, tag, "Answer:" or "the answer is" with a value; a vaguer statement;
    what the last line says. `forced` are words that were put at the head of the reply, such as
    "Final Answer:": they state what follows them, and nothing where nothing does. A `pattern` of
    the spec is not looked at here. Never raises.
    """
    if spec.kind == "none":
        return None
    text = reply[-MAX_REPLY:]
    if len(reply) > MAX_REPLY:
        forced = ""
    if ended := list(_THOUGHTS.finditer(text)):
        text = text[ended[-1].end() :]
    text = text.strip()
    if forced.strip() and text.startswith(forced.strip()):
        text = text[len(forced.strip()) :]
        if not _says_something(text):
            return None
        # As any other statement, in whatever words it was forced.
        text = f"Answer: {text.lstrip(' :*')}"
    if spec.kind in ("auto", "json") and "<tool_call>" in text and (calls := tagged_json(text)):
        return calls
    if spec.kind == "json":
        return last_json(text)
    if spec.kind == "auto" and text[:1] in "{[`" and json_value(text) is not None:
        return last_json(text)
    return _found(_plain_reply(text), spec)


def find_reference(reference: str, spec: AnswerSpec = AUTO) -> str | None:
    """The answer in a reference: "#### 10", a solution with boxes, "Answer: 10", or all of it."""
    text = reference.strip()
    if spec.kind == "json":
        return last_json(text) or text
    if found := _REFERENCE_LINE.search(text):
        return tidy(found[1]) or None
    return find_answer(text, spec) or (tidy(text) if _says_something(text) else None)


def _found(text: str, spec: AnswerSpec) -> str | None:
    # A box inside of a statement is that statement's; the later of two counts.
    candidates = [(box.start, True, box.content) for box in [last_box(text)] if box]
    weak: list[tuple[int, int, str]] = []
    inside = range(candidates[0][0], last.end) if candidates and (last := last_box(text)) else ()
    for statement in statements(text):
        if statement.start in inside:
            continue
        value = clipped(_innermost(statement.text))
        if not _says_something(value):
            continue
        if statement.strength == 2 or (statement.strength == 1 and _is_value(value, spec)):
            candidates.append((statement.start, False, value))
        elif statement.strength == 1 or _is_value(value, spec):
            weak.append((statement.strength, statement.start, value))
    if candidates:
        return _settled(max(candidates)[2], spec)
    if weak:
        return _settled(max(weak)[2], spec)
    _, unclosed = boxes(text)
    if unclosed is not None:
        # It was cut short: its beginning is no answer.
        text = text[:unclosed]
        return _settled(_last_said(text, spec), spec) if "\n" in text.strip() else None
    if is_unfinished(text.rstrip(" .")):
        return None
    return _settled(_last_said(text, spec), spec)


def _last_said(text: str, spec: AnswerSpec) -> str:
    return last_said(text, sentence=spec.kind == "text")


def _settled(value: str, spec: AnswerSpec) -> str | None:
    """A tidy answer, for numbers and choices without the words round it."""
    if not _says_something(value):
        return None
    answer = tidy(value)
    if stated := [each for each in statements(answer) if _is_value(each.text, spec)]:
        # A sentence in a box.
        answer = tidy(clipped(stated[-1].text))
    if spec.kind == "number" and number_of(answer) is None:
        return last_number(value) or answer or None
    if spec.is_choice and isinstance(form_of(answer), Words):
        return _named_choice(answer, spec) or last_choice(value) or answer or None
    return answer or None


def _innermost(text: str) -> str:
    """Of "Final Answer: the answer is Paris" what the last of the two states."""
    for _ in range(MAX_NESTED):
        if not (inside := [each for each in statements(text) if each.strength]):
            break
        text = inside[-1].text
    return text


def _named_choice(answer: str, spec: AnswerSpec) -> str | None:
    """The one choice whose text is in the answer; None where there are several, or none."""
    said = f" {words_of(answer)} "
    named = [choice for choice in spec.choices if f" {words_of(choice)} " in said]
    # "blue" is in "light blue", which is the choice that was meant.
    longest = [
        one
        for one in named
        if not any(one != other and words_of(one) in words_of(other) for other in named)
    ]
    return longest[0] if len(longest) == 1 else None


def _is_value(text: str, spec: AnswerSpec) -> bool:
    """Whether it is more than prose: a number, a letter, a formula."""
    answer = tidy(text)
    return not isinstance(form_of(answer, "auto"), Words) or (spec.kind == "text" and bool(answer))


_BOLD = re.compile(r"(?<![\w)\]}^])\*\*|\*\*(?![\w(\[{\\.-])|(?<![\w])__(?=\S)|(?<=\S)__(?!\w)")
_EMPTY_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*\{[\s{}$]*\}")
_TAGS = re.compile(r"<\|?(?:im_end|im_start|endoftext|eot_id|end_of_turn|/s)\|?>")


def _plain_reply(text: str) -> str:
    """The reply with plain characters, without bold marks, empty boxes and control tokens."""
    text = plain_characters(_TAGS.sub("", text))
    if r"\{" in text:
        text = re.sub(r"\\\{\s*\\\}", r"\\emptyset ", text)
    return _BOLD.sub("", _EMPTY_BOX.sub("", text))


_SAYING = re.compile(r"[^\W_]|[°%$€£∅∞+\-]\S|\\[a-zA-Z]")
_NOTHING = re.compile(r"\\(?:boxed|fbox|framebox|text|mathrm|left|right)\b|\$|[{}()\[\]\\]")


def _says_something(text: str) -> bool:
    if _SAYING.search(text) is None:
        return False
    return _SAYING.search(_NOTHING.sub(" ", text)) is not None
