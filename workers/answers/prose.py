"""The value within a sentence: "72 because it is even", "so x = 5.", "therefore $x = 3$"."""

import re

from workers.answers.boxes import unboxed
from workers.answers.forms import is_formula
from workers.answers.json_answer import call_value
from workers.answers.lists import parts_of
from workers.answers.numbers import number_of
from workers.answers.tidy import tidy
from workers.answers.units import unit_of
from workers.answers.words import fixed_of

MAX_LINE = 200
_SPAN = re.compile(
    r"(?<!\\)\$\$(.+?)\$\$|(?<![\\\w])\$(?!\s)([^$\n]+?)(?<![\\\s])\$(?!\d)|"
    r"\\\((.+?)\\\)|\\\[(.+?)\\\]",
    re.DOTALL,
)
_SENTENCE = re.compile(r"[.!?](?=\s+[^\s\d]|\s*$)|\.(?=\s+\d)|;\s")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"])(?:[A-Za-z]|dr|mr|mrs|ms|prof|st|mt|vs|no|approx|e\.g|i\.e|jr|sr|u\.s|ph|rs)$",
    re.IGNORECASE,
)
_REASON = re.compile(
    r",\s+not\s|,?\s+(?:because|since|as\s|which|where|so\s+that|when|given|due|after|weil|denn|car\s|parce|"
    r"porque|perch[ée]|poiché|потому|так\s+как)\b|(?<![,;])(?<!\band)(?<!\bor)(?<!\\cup)\s+\((?!mod\b)|\s+—\s|"
    r",\s+(?:so|but|and\s+(?:so|it|this|that|we|he|she|they|is|has|not))\s",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"^[\s,:]*(?:indeed|simply|just|therefore|thus|hence|clearly|exactly|precisely|that|then|also|donc|ainsi|quindi|"
    r"portanto|por\s+(?:lo\s+)?tanto|entonces|daher|somit|folglich|dus|"
    r"(?:equal|equals)\s+to|given\s+by|(?:the\s+)?(?:option|choice)(?=\s+[(\[]?[A-Za-z]\b[)\].]?))\s*:?\s+",
    re.IGNORECASE,
)
_CONCLUSION = re.compile(
    r"^(?:so|thus|therefore|hence|altogether|in\s+total|finally|consequently|we\s+(?:get|have|find|"
    r"obtain)|this\s+(?:gives|means|is)|it\s+(?:is|equals)|that\s+(?:is|gives|makes)|the\s+(?:total|"
    r"result|solution|value)|also|daher|somit|folglich|insgesamt|donc|ainsi|por\s+(?:lo\s+)?tanto|"
    r"así|entonces|quindi|dunque|perciò|portanto|logo|assim|所以|因此|故|よって|したがって|따라서|그러므로|"
    r"итак|следовательно|значит|таким\s+образом|поэтому)(?!\w)|^(?:所以|因此|故|よって|したがって|따라서)",
    re.IGNORECASE,
)
# A sentence about somebody or something, with one number in it.
_STATED = re.compile(
    r"^(?:there|she|he|they|it|we|you|i|es|er|sie|il|elle|hay|ella|он|она|они)\b", re.IGNORECASE
)
_IS_VALUE = re.compile(
    r".*\s(?:is|are|was|were|equals|be|ist|sind|beträgt|est|es|è|é|равно|равен|составляет)\s*:?\s+([^.]*\S.*)|"
    r".*(?:是|为|は|은|는)\s*(.+)",
    re.DOTALL | re.IGNORECASE,
)
_EASTERN = re.compile("[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]{2}")
_MEASURE = re.compile(r"^[A-Z][a-z]+ [^\d]*\s([-+]?\d[\d,.]*)\s+([^\d\s]+(?: [^\d\s]+){0,3})[.!]?$")
_EQUALS = re.compile(r"(?:.*[^<>!=])?=\s*([^=]+)$", re.DOTALL)
_NUMBER = re.compile(
    r"(?<![\w.^{/])(?:[-+](?=[\d.$€£]))?[$€£]?(?:\\frac\{-?\d+\}\{-?\d+\}|\d+(?:\s+\d+/\d+|/\d+)|"
    r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+,\d{1,2}(?![\d,])|\d*\.?\d+)(?:e[-+]?\d+)?(?:\s?%|\s+percent)?(?![\w^/{])"
)
_CHOICE = re.compile(
    r"(?<![\w'\\])(?:[(\[]([A-Za-z])[)\]]|([B-HJ-Z])(?=[\s.,:;)*]|$)|A(?=[.,:;)*]|\s*$))(?!\w)"
)
_BULLET = re.compile(r"^\s*[-*+•]\s+(?!\d+\s*$)")
_FENCE = re.compile(r"^\s*(?:```\w*|~~~|---+|\*\*\*+|===+|</?\w+>|\$\$|\\\[|\\\]|[*_#>\s]+)\s*$")


def clipped(stated: str) -> str:
    """What is stated, without the sentences and reasons behind it."""
    text = stated.strip()
    for _ in range(3):
        text = _LEAD.sub("", text).strip()
    text = text.strip("* ") if text.startswith("*") else text
    if (span := _SPAN.match(text)) is not None:
        return _with_unit(text, span)
    sentence = _first_sentence(text)
    short = _REASON.split(sentence, maxsplit=1)[0].strip()
    if short and short != sentence:
        answer = tidy(short)
        # "Paris, which is in France" too; but "f(x) (mod 7)" is one formula.
        if number_of(answer) is not None or len(answer) <= 2 or not _is_formula_like(sentence):
            return short
    return sentence


def last_said(text: str, *, sentence: bool = False) -> str:
    """What the last line of a reply says, where it states no answer: its value.

    `sentence`: the whole line.
    """
    lines = [line for line in text.splitlines() if not _FENCE.match(line) and line.strip()]
    if not lines:
        return ""
    line = _BULLET.sub("", lines[-1]).strip()
    if len(line) > MAX_LINE:
        line = line[-MAX_LINE:]
    return line if sentence else _value_of(line)


def _value_of(line: str) -> str:
    bare = line.replace("$", "").strip(" .*")
    if (
        (parts := parts_of(tidy(bare))) is not None
        and "=" in bare
        and all("=" in p for p in parts.items)
    ):
        return bare
    spans = list(_SPAN.finditer(line))
    if spans and (span := spans[-1]).end() >= len(line) - 40:
        if not line[: span.start()].strip(" *\"'"):
            return _with_unit(line, span)
        if _CONCLUSION.match(line) or not line[span.end() :].strip(" .*!\"'"):
            return _right_side(_with_unit(line, span))
    if call_value(tidy(line)) is not None or (
        "=" in line and is_formula(tidy(line)) and not _CONCLUSION.match(line)
    ):
        return line
    if _CONCLUSION.match(line) or (line.count("=") and " " in line and line[:1].isalpha()):
        return _concluded(line)
    if (value := _IS_VALUE.fullmatch(line.rstrip(" .!*"))) is not None:
        stated = value[1] or value[2]
        if _is_stated(tidy(stated)) or stated[0] in '`"' == stated[-1]:
            return stated
    if (measure := _MEASURE.search(line)) is not None and unit_of(measure[2]).known:
        return f"{measure[1]} {measure[2]}"
    stated = _STATED.match(line) or not (line.isascii() or _EASTERN.search(line) is None)
    if stated and len(_NUMBER.findall(line)) == 1:
        return last_number(line) or line
    return line


def last_number(text: str) -> str | None:
    """The last number in a text, with its percent or currency sign."""
    found = [match.group() for match in _NUMBER.finditer(text[-MAX_LINE * 4 :])]
    return tidy(found[-1]) if found else None


def last_choice(text: str) -> str | None:
    """The last letter that stands alone, brackets round it or not."""
    found = [match for match in _CHOICE.finditer(text[-MAX_LINE * 4 :])]
    return (found[-1][1] or found[-1][2] or "A") if found else None


def _concluded(line: str) -> str:
    """Of a concluding sentence: what is behind the last "=", else its last number."""
    sentence = line.rstrip(" .!*")
    if (equal := _EQUALS.match(sentence)) is not None:
        right = _REASON.split(equal[1], maxsplit=1)[0].strip()
        if number_of(tidy(right)) is not None or parts_of(tidy(right)) or len(right.split()) <= 3:
            return right
    if _CONCLUSION.match(line) and (number := last_number(sentence)) is not None:
        return number
    return line


def _is_stated(value: str) -> bool:
    """Whether what stands behind "is" is a value: a number, a letter, a name, not an adjective."""
    if re.match(r"(?:not|only|also|very)\b", value, re.IGNORECASE):
        return False
    if number_of(value) is not None or fixed_of(value) or re.fullmatch(r"[(\[]?[A-J][)\]]?", value):
        return True
    words = value.split()
    if parts_of(value) is not None and any(letter.isdigit() for letter in value):
        return len(words) < 8
    return (
        len(words) <= 4
        and all(w[:1].isupper() or w in _SMALL_WORDS for w in words)
        or value in (r"\infty", r"-\infty", r"+\infty")
    )


_SMALL_WORDS = frozenset(["of", "the", "de", "la", "von", "van", "and", "der"])


def _right_side(formula: str) -> str:
    """The value of "x = 5"; of "x = 1, y = 2" both equations."""
    if "," not in formula and (equal := _EQUALS.match(formula)) is not None:
        return equal[1].strip()
    return formula


def _with_unit(text: str, span: re.Match[str]) -> str:
    """A formula between delimiters, with a unit or further formulas behind it."""
    first = next(part for part in span.groups() if part is not None)
    rest = text[span.end() :]
    more = re.match(r"(\s*,?\s*(?:and|or|und|oder|et|ou|y|o|и|или)\s+|\s*,\s*)", rest)
    if more and (following := _SPAN.match(rest, more.end())) is not None:
        return f"{first}, {_with_unit(rest, following)}"
    tail = _first_sentence(rest.split("\n")[0]).strip()
    if tail and len(tail) < 30 and unit_of(tail).known:
        return f"{unboxed(first)} {tail}"
    return first


def _first_sentence(text: str) -> str:
    for end in _SENTENCE.finditer(text):
        before = text[: end.start()]
        if not _ABBREVIATION.search(before) and before.strip() and before.count("$") % 2 == 0:
            return before
    return text


def _is_formula_like(text: str) -> bool:
    return "\\" in text or "=" in text
