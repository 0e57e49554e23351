"""Short text in a form in which case, articles, quotes and punctuation do not count."""

import re
import unicodedata

_PUNCTUATION = re.compile(r"[^\w\s+#%°$€£\ue000-\ue003-]|_", re.UNICODE)
_INNER = re.compile(r"(?<=\w)['’](?=\w)")
_INITIALS = re.compile(r"\b[^\W\d_](?:\.[^\W\d_])+\b\.?")
# Brackets, operators and names as programs have them: all of it counts, case too.
_CODE = re.compile(r"[\[\]{}=<>|\\^_&@~`]|\w\(|::|;\S")
_SYNONYMS = {
    "dne": "does not exist", "limit does not exist": "does not exist",
    "no solutions": "no solution", "no real solutions": "no real solution",
}  # fmt: skip
_LAST_AND = re.compile(r",?\s+and\s+")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[.,:/](?=\d)")
_HIDDEN = "\ue000\ue001\ue002\ue003"
_HIDE, _SHOW = str.maketrans(".,:/", _HIDDEN), str.maketrans(_HIDDEN, ".,:/")
_ARTICLES = frozenset(["a", "an", "the"])
# At the beginning only: they are words of other languages elsewhere.
# fmt: off
_FIRST = frozenset({
    "der", "die", "das", "ein", "eine", "le", "la", "les", "un", "une", "el", "los", "las", "una",
    "il", "lo", "gli", "i", "uno", "os",
})
_TRUE = frozenset({
    "yes", "true", "correct", "ja", "oui", "sí", "sì", "sim", "да", "是", "はい", "네", "예",
    "对", "正确", "vrai", "wahr", "verdadero",
})
_FALSE = frozenset({
    "no", "false", "incorrect", "nein", "non", "não", "nao", "нет", "否", "いいえ", "아니요",
    "아니오", "不是", "错误", "faux", "falsch", "falso",
})
# fmt: on


def words_of(text: str) -> str:
    """ "The  'Eiffel Tower'." is "eiffel tower". Empty only where there is no letter or digit.

    Of code only spaces and the kind of quotes do not count.
    """
    if _CODE.search(text):
        return re.sub(r"(?<![\w,])\s+|\s+(?!\w)", "", text.strip()).replace('"', "'")
    text = unicodedata.normalize("NFKC", text).casefold()
    text = _INITIALS.sub(lambda found: found.group().replace(".", ""), _INNER.sub("", text))
    if ", " in text:
        text = _LAST_AND.sub(", ", text)
    text = _BETWEEN_DIGITS.sub(lambda found: found.group().translate(_HIDE), text)
    words = _PUNCTUATION.sub(" ", text.replace("-", " ") if text.strip(" -") else text)
    listed = words.translate(_SHOW).split()
    # "A, B" is no article and B.
    following = [*listed[1:], ""]
    pairs = zip(listed, following, strict=False)
    kept = [word for word, after in pairs if word not in _ARTICLES or len(after) < 2]
    if len(kept) > 1 and kept[0] in _FIRST:
        kept = kept[1:]
    said = " ".join(kept)
    return _SYNONYMS.get(said, said)


def truth_of(text: str) -> bool | None:
    """Yes or no, true or false, also with a reason behind a comma: "No, it is not.\""""
    first = re.split(r"[,.;:!—]\s(?!\d)|[.!]$", text.strip(), maxsplit=1)[0].strip(" .!").casefold()
    return True if first in _TRUE else False if first in _FALSE else None


_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar jänner janvier enero gennaio janeiro января",
            "february feb februar février febrero febbraio fevereiro февраля",
            "march mar märz mars marzo março марта",
            "april apr avril abril aprile апреля",
            "may mai mayo maggio maio мая",
            "june jun juni juin junio giugno junho июня",
            "july jul juli juillet julio luglio julho июля",
            "august aug août agosto августа",
            "september sept sep septembre septiembre settembre setembro сентября",
            "october oct oktober okt octobre octubre ottobre outubro октября",
            "november nov novembre noviembre novembro ноября",
            "december dec dezember dez décembre diciembre dicembre dezembro декабря",
        ),
        1,
    )
    for name in names.split()
}
_MONTH = r"(?P<month>[^\W\d_]{3,10})\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|er)?\.?"
_DATES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_MONTH}\s+{_DAY}(?:\s*,?\s*(?P<year>\d{{4}}))?",
        rf"(?:the\s+)?{_DAY}\s*(?:of\s+|de\s+)?{_MONTH}(?:\s*(?:,|de|del)?\s*(?P<year>\d{{4}})(?:\s*(?:года|г\.?))?)?",
        rf"{_MONTH},?\s+(?:de\s+)?(?P<year>\d{{4}})",
        r"(?P<year>\d{4})[-/](?P<month>\d{1,2})[-/](?P<day>\d{1,2})",
        r"(?:(?P<year>\d{4})\s?年\s?)?(?P<month>\d{1,2})\s?月\s?(?:(?P<day>\d{1,2})\s?[日号])?",
        r"(?:(?P<year>\d{4})\s?년\s?)?(?P<month>\d{1,2})\s?월\s?(?:(?P<day>\d{1,2})\s?일)?",
    )
)
_WEEKDAY = re.compile(r"^(?:mon|tues|wednes|thurs|fri|satur|sun)day,?\s+", re.IGNORECASE)
_CLOCK = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?\s*([ap])\.?\s?m\.?", re.IGNORECASE)
_VERBATIM = re.compile(
    r"\d+(?:\s*:\s*\d+)+|\d+(?:-\d+)+|\d{1,2}([/.])\d{1,2}\1\d{4}|(?!\d{1,3}(?:\.\d{3})+\Z)\d+(?:\.\d+){2,}"
)


def fixed_of(text: str) -> str | None:
    """A date, a time of day, a ratio or a range of numbers in one spelling; None for the rest.

    "July 4, 1776" and "4 July 1776" are "1776-07-04", "3:30 PM" is "15:30".
    """
    if len(text) > 40 or not any(letter.isdigit() for letter in text):
        return None
    if clock := _CLOCK.fullmatch(text):
        hour = int(clock[1]) % 12 + (12 if clock[3] in "pP" else 0)
        return f"{hour}:{clock[2] or '00'}" if 0 < int(clock[1]) < 13 else None
    bare = _WEEKDAY.sub("", text)
    for pattern in _DATES:
        if found := pattern.fullmatch(bare):
            parts = found.groupdict()
            name = parts["month"].casefold()
            month = int(name) if name.isdigit() else _MONTHS.get(name, 0)
            day = int(parts.get("day") or 0)
            if 0 < month < 13 and day < 32:
                return f"{parts['year'] or ''}-{month:02}-{day:02}"
    return re.sub(r"\s", "", text) if _VERBATIM.fullmatch(text) else None
