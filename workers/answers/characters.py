"""Characters that mean the same become one: full-width digits, typographic minus, superscripts."""

import re
import unicodedata

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
_VULGAR = re.compile("[¼-¾⅐-⅞↉]")

_SIGNS = {
    "×": r"\times", "⋅": r"\cdot", "·": r"\cdot", "∙": r"\cdot", "÷": "/", "∞": r"\infty",
    "≤": r"\le", "⩽": r"\le", "≥": r"\ge", "⩾": r"\ge", "≠": r"\ne", "≈": r"\approx", "±": r"\pm",
    "∪": r"\cup", "∩": r"\cap", "∈": r"\in", "∅": r"\emptyset", "√": r"\sqrt", "→": r"\to",
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
    text = text.translate(_INVISIBLE).translate(_SIMPLE)
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
