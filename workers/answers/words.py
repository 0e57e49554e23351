"""Short text in a form in which case, articles, quotes and punctuation do not count."""

import re
import unicodedata

_PUNCTUATION = re.compile(r"[^\w\s+#%°$€£\ue000-\ue003-]|_", re.UNICODE)
_INNER = re.compile(r"(?<=\w)['’](?=\w)")
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
    "yes", "true", "correct", "ja", "oui", "sí", "si", "sì", "sim", "да", "是", "はい", "네", "예",
    "对", "正确", "vrai", "wahr", "verdadero",
})
_FALSE = frozenset({
    "no", "false", "incorrect", "nein", "non", "não", "nao", "нет", "否", "いいえ", "아니요",
    "아니오", "不是", "错误", "faux", "falsch", "falso",
})
# fmt: on


def words_of(text: str) -> str:
    """ "The  'Eiffel Tower'." is "eiffel tower". Empty only where there is no letter or digit."""
    text = unicodedata.normalize("NFKC", text).casefold()
    text = _INNER.sub("", text)
    text = _BETWEEN_DIGITS.sub(lambda found: found.group().translate(_HIDE), text)
    words = _PUNCTUATION.sub(" ", text.replace("-", " ") if text.strip(" -") else text)
    listed = words.translate(_SHOW).split()
    kept = [word for word in listed if word not in _ARTICLES] or listed
    if len(kept) > 1 and kept[0] in _FIRST:
        kept = kept[1:]
    return " ".join(kept)


def truth_of(text: str) -> bool | None:
    """Yes or no, true or false, also with a reason behind a comma: "No, it is not.\""""
    first = re.split(r"[,.;:!—]\s|[.!]$", text.strip(), maxsplit=1)[0].strip(" .!").casefold()
    return True if first in _TRUE else False if first in _FALSE else None
