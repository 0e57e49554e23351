"""LaTeX and Markdown round an answer are removed, and its commands brought to one spelling."""

import re
import unicodedata

from workers.answers.boxes import unboxed

MAX_ANSWER = 4000
"""Characters of an answer that are looked at."""

_PAIRS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("__", "__"),
          ("```", "```"), ("`", "`"), ('"', '"'), ("'", "'"), ("*", "*"), ("_", "_"))  # fmt: skip
_WORDS = re.compile(
    r"\\(?:text|textbf|textit|textrm|texttt|textsf|mathrm|mathbf|mathit|mathsf|mathtt|mbox|hbox|"
    r"operatorname\*?|bm|boldsymbol|emph|underline|textnormal|mathnormal)\s*"
    r"\{((?:[^{}]|\{[^{}]*\})*)\}"
)
_DROPPED = re.compile(
    r"\\(?:left|right|middle|bigl?|bigr|Bigl?|Bigr|biggl?|biggr|Biggl?|Biggr|displaystyle|"
    r"textstyle|limits|nolimits|rm|bf|it|tt|boldmath|mathstrut|strut|phantom\{[^{}]*\})(?![a-zA-Z])"
    r"\.?"
)
_SPACE = re.compile(
    r"(?<!\\)\\[,!;:> ]|\\(?:quad|qquad|enspace|thinspace|medspace|hspace\{[^{}]*\}|hfill|newline)"
    r"(?![a-zA-Z])|(?<!\\)~"
)
_FRACTION = re.compile(r"\\[dtc]frac(?![a-zA-Z])")
_SHORT_FRACTION = re.compile(r"\\frac\s*(\d|\{[^{}]*\})\s*(\d|\{[^{}]*\}|[a-zA-Z](?![a-zA-Z]))")
_SHORT_ROOT = re.compile(r"\\sqrt\s*(\[\d+\])?\s*(\d+|[a-zA-Z](?![a-zA-Z]))")
_DEGREE = re.compile(r"\^\s*\{?\s*\\(?:circ|degree)(?![a-zA-Z])\s*\}?|\\degree(?![a-zA-Z])")
_SCALE_LETTER = re.compile(r"°\s+(?=[CF]\b)")
_BEFORE_POWER = re.compile(r"(?:\s|\{\})+(?=\^|_[\d{])")
_SYNONYMS = tuple(
    (re.compile(rf"\\(?:{old})(?![a-zA-Z])"), new)
    for old, new in {
        "leq|leqslant|leqq": r"\\le", "geq|geqslant|geqq": r"\\ge", "neq": r"\\ne",
        "lbrace": r"\\{", "rbrace": r"\\}", "div": "/", "ast": "*", "percent": "%",
        "varnothing": r"\\emptyset", "land": r"\\land", "colon": ":", "lvert|rvert|vert": "|",
        "langle": "(", "rangle": ")",
        "dots|cdots|ldots|dotsc": r"\\ldots", "lparen": "(", "rparen": ")", "lbrack": "[",
        "rbrack": "]", "minus": "-", "lt": "<", "gt": ">", "mid": "|", "infin": r"\\infty",
        "textdollar": "$", "pounds": "£", "euro": "€",
    }.items()
)  # fmt: skip
_SPACES = re.compile(r"\s+")
# "- 5" is a number, "- five" an item of a list.
_LIST_MARK = re.compile(r"^\s*(?:#{1,6}\s+|>\s*(?=\S)|[-*+•]\s+(?=[^\s\d.$\\(]))")
# Verbs that stand behind an answer in Japanese, Korean and Chinese.
_ENDING = re.compile(
    r"(?<=.)\s*(?:です|である|だ|でした|となります|になります|となる|になる|选项|選項|입니다|이에요|예요|이다|됩니다)[.!\s]*$"
)


def tidy(answer: str) -> str:
    """An answer without what is only round it: delimiters, emphasis, spacing, a final full stop.

    `$\\left(\\dfrac12,\\,3\\right)$` is `(\\frac{1}{2}, 3)`. Formulas keep LaTeX's commands, in
    one spelling; words lose `\\text`.
    """
    text = _SPACES.sub(" ", plain_characters(answer[:MAX_ANSWER])).strip()
    if "\\" in text or "{,}" in text:
        text = commands(unboxed(text))
    if not text.isascii():
        text = _ENDING.sub("", text)
    for _ in range(6):
        bare = peeled(text)
        if bare == text:
            break
        text = bare
    return text


def commands(text: str) -> str:
    """One spelling of LaTeX's commands."""
    text = (
        text.replace("{,}", ",")
        .replace("{:}", ":")
        .replace(r"\%", "%")
        .replace(r"\$", "$")
        .replace(r"\&", "&")
    )
    text = text.replace(r"\#", "#").replace(r"\_", "_")
    text = _SPACE.sub(" ", _DROPPED.sub(" ", text)).replace(r"\cdotp", r"\cdot")
    for _ in range(4):
        words = _WORDS.sub(r" \1 ", text)
        if words == text:
            break
        text = words
    text = _SCALE_LETTER.sub("°", _BEFORE_POWER.sub("", _DEGREE.sub("°", text)))
    text = _FRACTION.sub(r"\\frac", text)
    text = _SHORT_FRACTION.sub(
        lambda found: rf"\frac{{{_inner(found[1])}}}{{{_inner(found[2])}}}", text
    )
    text = _SHORT_ROOT.sub(r"\\sqrt\1{\2}", text)
    for old, new in _SYNONYMS:
        text = old.sub(new, text)
    return _SPACES.sub(" ", text).strip()


def peeled(text: str) -> str:
    """One layer less of delimiters, emphasis and punctuation."""
    text = _LIST_MARK.sub("", text).strip() if len(text) > 1 else text.strip()
    for opening, closing in _PAIRS:
        if (
            len(text) >= len(opening) + len(closing)
            and text.startswith(opening)
            and text.endswith(closing)
        ):
            inner = text[len(opening) : -len(closing)]
            # "$5$ and $6$" is no single formula.
            if opening not in inner and closing not in inner:
                return inner.strip()
    if not text.strip("*_$`\"' .,;:#"):
        return ""
    if text[-1] in ".,;:":
        # "10^5." ends a sentence, "1..." is no number.
        return text[:-1].rstrip()
    for mark in ("**", "__", "```", "`", "$$"):
        if text.count(mark) == 1:
            # Half of a pair: the other one was cut off with the text round the answer.
            if text.startswith(mark) and not text[len(mark) :].startswith(mark):
                return text[len(mark) :].strip()
            if text.endswith(mark):
                return text[: -len(mark)].strip()
    if text.endswith("$") and text.count("$") == 1:
        return text[:-1].strip()
    if text[0] in "\"'" and text.count(text[0]) == 1:
        return text[1:].strip()
    if text[-1] == '"' and text.count('"') == 1:
        return text[:-1].strip()
    return text


def _inner(group: str) -> str:
    return group[1:-1] if group[0] == "{" else group


# Removed: soft hyphen, zero-width characters, direction marks, byte order mark.
_INVISIBLE = dict.fromkeys(
    [0xAD, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF, *range(0x202A, 0x202F)]
)
_SIMPLE = str.maketrans(
    {
        **dict.fromkeys("−‐‑‒–﹣－", "-"),
        **dict.fromkeys("‘’‚‛′´", "'"),
        **dict.fromkeys("“”„‟«»「」『』", '"'),
        **dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
                        "\u2009\u200a\u202f\u205f\u3000\t", " "),
        "⁄": "/", "∕": "/", "％": "%", "。": ". ", "．": ".", "、": ", ", "﹪": "%",
    }
)  # fmt: skip
_SUPERSCRIPT = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ", "0123456789+-()n", strict=True))
_SUBSCRIPT = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-", strict=True))
_RAISED = re.compile(f"[{''.join(_SUPERSCRIPT)}]+")
_LOWERED = re.compile(f"[{''.join(_SUBSCRIPT)}]+")
_PICTURE = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf\ufe0f]")
_VULGAR = re.compile("[¼-¾⅐-⅞↉]")

_SIGNS = {
    "×": r"\times", "⋅": r"\cdot", "·": r"\cdot", "∙": r"\cdot", "÷": "/", "∞": r"\infty",
    "≤": r"\le", "⩽": r"\le", "≥": r"\ge", "⩾": r"\ge", "≠": r"\ne", "≈": r"\approx", "±": r"\pm",
    "∪": r"\cup", "∩": r"\cap", "∈": r"\in", "∅": r"\emptyset", "√": r"\sqrt", "∛": r"\sqrt[3]",
    "⟨": "(", "⟩": ")", "→": r"\to",
    "∖": r"\setminus", "∧": r"\land", "∨": r"\lor", "¬": r"\neg", "ℝ": r"\mathbb{R}",
    "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}",
}  # fmt: skip
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "θ": "theta",
    "λ": "lambda", "μ": "mu", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi",
    "ω": "omega", "Δ": "Delta", "Σ": "Sigma", "Ω": "Omega",
}  # fmt: skip
_SIGN = re.compile(f"[{''.join(_SIGNS)}]")
# A letter of a Greek word is left alone.
_GREEK_LETTER = re.compile(f"(?<![\u0370-\u03ff])[{''.join(_GREEK)}](?![\u0370-\u03ff])")


def plain_characters(text: str) -> str:
    """The same text with plain digits, signs, quotes and spaces; ASCII text stays as it is."""
    if text.isascii():
        return text.replace("\t", " ") if "\t" in text else text
    text = _PICTURE.sub("", text.translate(_INVISIBLE)).translate(_SIMPLE)
    text = _VULGAR.sub(_fraction, text)
    text = _RAISED.sub(lambda run: f"^{{{_spelt(run.group(), _SUPERSCRIPT)}}}", text)
    text = _LOWERED.sub(lambda run: f"_{{{_spelt(run.group(), _SUBSCRIPT)}}}", text)
    # Signs that a compatibility form would lose, such as the double-struck R.
    text = _SIGN.sub(lambda sign: _SIGNS[sign.group()] + " ", text)
    text = unicodedata.normalize("NFKC", text).replace("\u2044", "/").translate(_SIMPLE)
    if not text.isascii():
        text = "".join(_digit(letter) if letter.isdecimal() else letter for letter in text)
        text = _GREEK_LETTER.sub(lambda letter: f"\\{_GREEK[letter.group()]} ", text)
    return text


def _digit(letter: str) -> str:
    return letter if letter.isascii() else str(unicodedata.decimal(letter))


def _spelt(run: str, letters: dict[str, str]) -> str:
    return "".join(letters[letter] for letter in run)


def _fraction(found: re.Match[str]) -> str:
    """¾ as 3/4, with a space before it, so that 1¾ is a mixed number."""
    letters = unicodedata.normalize("NFKC", found.group()).replace("\u2044", "/")
    before = found.string[: found.start()][-1:]
    return f" {letters}" if before.isdigit() else letters
