"""Where a reply states its answer: "Answer: 5", "the answer is", "Antwort", "答案", <answer>."""

import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_LINE = 400
"""Characters of what is stated that are looked at."""


class Statement(NamedTuple):
    """`text` from offset `start` is what is stated.

    `strength` is 2 with a colon or a tag, 1 with a verb, 0 where only a result is stated.
    """

    start: int
    text: str
    strength: int


# Nouns of an answer, with the adjectives round them, and the verbs behind them.
_NOUNS = (
    r"(?:final|correct|right|best|overall|our|my|the)?\s*\b(?:answers?|ans\.?(?=[\s:]))(?:\s+(?:choice|option|"
    r"to\s+(?:the|this)\s+(?:question|problem)))?|"
    r"(?:correct|right|best)\s+(?:option|choice)|final\s+(?:result|solution|value)|"
    r"(?:end|schluss)?antwort|endergebnis|endgültige\s+antwort|"
    r"r[ée]ponse(?:\s+(?:finale|correcte))?|résultat\s+final|"
    r"respuesta(?:\s+(?:final|correcta))?|resultado\s+final|"
    r"risposta(?:\s+(?:finale|corretta|esatta))?|risultato\s+finale|"
    r"resposta(?:\s+(?:final|correta|certa))?|"
    r"antwoord|odpowiedź|cevap|svar|vastaus|räspuns|răspuns|odpověď|jawaban(?:nya)?|đáp\s*(?:án|số)|"
    r"câu\s+trả\s+lời|(?:окончательный\s+|правильный\s+)?ответ(?:ом)?|відповідь|απάντηση|"
    r"الإجابة|الجواب|उत्तर"
)
_VERBS = (
    r"is|are|would\s+be|will\s+be|must\s+be|equals|comes\s+out\s+to\s+be|ist|lautet|est|es|è|é|sera|"
    r"será|sarà|is\s+dus|to|là|adalah|равен|равна|является|будет|—|–|είναι|هي|هو|है"
)
_MARK = r"[\"'*_`\])}]{0,4}"
_LATIN = re.compile(
    rf"(?<![\w\\])(?:{_NOUNS}){_MARK}\s{{0,3}}"
    rf"(?:(?P<verb>(?:\s(?:therefore|thus|then|hence|also|donc|also))?\s?(?:{_VERBS})(?![\w])){_MARK}"
    rf"\s{{0,3}}(?P<colon>[:=](?!=))?|(?P<sign>[:=](?!=)|-(?=\s)|\\to\b))",
    re.IGNORECASE,
)
_EAST = re.compile(
    r"(?:(?:最终|最終|正确|正確|最终的|最終的な)?(?:答案|答え|解答|回答|答|正解)|(?:최종\s*)?(?:정답|답))"
    r"(?P<sign2>】)?[\"'*_`\])}]{0,4}\s{0,3}(?:选项)?(?P<verb>应该是|應該是|应为|應為|是|为|為|选择|选|選|は|은|는)?\s{0,3}[\"'*_`]{0,4}"
    r"\s{0,3}(?P<sign>[:=])?"
)
_CHOSEN = re.compile(
    r"(?:故|因此|所以|本题|应|应该|因而|綜上|综上)[，,]?\s?(?:选择|選擇|选|選)\s?[:：]?\s?(?=[(（]?[A-Za-zＡ-Ｚ])"
)
_GERMAN = re.compile(
    r"\b(?:ist|lautet|beträgt)\s+(?:die|das)\s+(?:\w+\s+)?(?:antwort|ergebnis|lösung)\s*:?\s+(?=\S)",
    re.IGNORECASE,
)
_HEADING = re.compile(
    rf"^[ \t]*(?:#{{1,6}}[ \t]*|\*\*|__)(?:(?:{_NOUNS})|答案|答え|정답)"
    r"[ \t]*(?:\*\*|__)?[ \t]*:?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_RESULT = re.compile(
    r"(?:^|(?<=[.!?;]\s))[ \t>*_#-]*(?:(?:the|das|die|le|la|el|il|o|a)\s+)?(?:results?|solutions?|"
    r"roots|output|conclusion|ergebnis|lösung|résultat|resultado|solución|risultato|soluzione|"
    rf"solução|результат|решение){_MARK}\s{{0,3}}(?:[:=](?!=)|(?:{_VERBS})(?!\w)\s?:?)|"
    r"(?:^|(?<=[。，,]))\s*(?:因此|所以)?(?:结果|結果|结论)(?:是|为|は|：|:)",
    re.IGNORECASE | re.MULTILINE,
)
# "B is the correct answer", "option (C) is correct".
_REVERSED = re.compile(
    r"(?:^|(?<=[\s,:*(]))(?P<value>(?:(?:option|choice)\s+)?[(\[]?[A-Z][)\]]?|[-+$€£\d][^\s,;!?]{0,30}|\$[^$\n]{1,60}\$)"
    r"[*_`]{0,2}\s+(?:is|ist|est|es)\s+(?:(?:the|our|my|die|la)\s+)?(?:(?:correct|right|best|final|richtige|bonne)\s*)+"
    r"(?:answer|choice|option|one|antwort|réponse)?(?=[\s.!*]*(?:$|\n|because|since|\())",
    re.IGNORECASE | re.MULTILINE,
)
_TAGGED = re.compile(r"<\s*(?:final_?)?answer\s*>", re.IGNORECASE)
_END_TAG = re.compile(r"<\s*/\s*(?:final_?)?answer\s*>", re.IGNORECASE)
# GSM8K ends its solutions so; a heading of Markdown begins with words.
_HASHES = re.compile(r"^####[ \t]*(?=[-+$€£(\\.]*\d)([^\n]{1,400})", re.MULTILINE)
_LAST_WORDS = re.compile(
    rf"(?:^|[\s*_#])(?:{_NOUNS}|答案|答え|解答|정답|답)(?:\s+(?:{_VERBS})|[은는是为は])?[\s*_`:=$#\"]*\Z",
    re.IGNORECASE,
)
_NOT_STATED = re.compile(
    r"\s*(?:correct|right|wrong|incorrect|not\b|found|given|obtained|the\s+same|as\s+follows|"
    r"unique|clear|obvious|known|determined|based\b|below|above)",
    re.IGNORECASE,
)


def statements(text: str) -> Iterator[Statement]:
    """Every statement of an answer, in no order; none without anything behind it."""
    for tag in _TAGGED.finditer(text):
        end = _END_TAG.search(text, tag.end())
        if end is not None:
            yield Statement(tag.end(), text[tag.end() : end.start()], 2)
        elif stated := behind(text, tag.end()):
            yield Statement(tag.end(), stated, 2)
    for found in _HASHES.finditer(text):
        yield Statement(found.start(1), found[1], 2)
    for found in _REVERSED.finditer(text):
        yield Statement(found.start(), found["value"], 1)
    for found in _RESULT.finditer(text):
        if stated := behind(text, found.end()):
            yield Statement(found.end(), stated, 0)
    for found in _HEADING.finditer(text):
        if stated := behind(text, found.end()):
            yield Statement(found.end(), stated, 2)
    for pattern in (_CHOSEN, _GERMAN):
        for found in pattern.finditer(text):
            yield Statement(found.end(), behind(text, found.end(), next_line=False), 1)
    for pattern in (_LATIN, _EAST):
        for found in pattern.finditer(text):
            groups = found.groupdict()
            colon = groups.get("colon") or groups.get("sign2") or found["sign"]
            if not colon and not found["verb"]:
                continue
            stated = behind(text, found.end(), next_line=bool(colon))
            if not stated or is_unfinished(stated[:40]):
                continue
            if colon or not _NOT_STATED.match(stated):
                yield Statement(found.end(), stated, 2 if colon else 1)


_BULLET = re.compile(r"^\s*[-*+•]\s+")


def is_unfinished(text: str) -> bool:
    """Whether a reply ends where it was about to state its answer: "Final Answer:"."""
    return _LAST_WORDS.search(text[-100:]) is not None


_MATH = re.compile(r"\s*(?:\$\$(.+?)\$\$|\\\[(.+?)\\\]|```\w*\n(.+?)\n```)", re.DOTALL)
_ONLY_MARKS = re.compile(r"[\s*_`$#>:.=\"'-]*")


def behind(text: str, at: int, *, next_line: bool = True) -> str:
    """What stands behind an offset: the rest of its line, else the next line that says something.

    A display formula may take several lines.
    """
    window = _END_TAG.split(text[at : at + MAX_LINE * 3], maxsplit=1)[0]
    lead = _ONLY_MARKS.match(window)
    if lead is not None and next_line and (block := _MATH.match(window, _to_marks(window))):
        return next(part for part in block.groups() if part is not None)
    for number, line in enumerate(window.split("\n")[: 6 if next_line else 1]):
        if not _ONLY_MARKS.fullmatch(line):
            return (_BULLET.sub("", line) if number else line)[:MAX_LINE]
    return ""


def _to_marks(window: str) -> int:
    """Where space, emphasis and a colon end, but no delimiter of a formula or of code."""
    found = re.match(r"[\s*_#>:]*", window)
    return found.end() if found else 0
