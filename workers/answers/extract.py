"""The short answer inside a model's reply, in a form in which equal answers are equal strings."""

import re

# Bounded and without nested repetition: replies are untrusted, and may be long.
# Looks ahead, so that an "Answer:" inside what follows another one is found too.
_MARKED = re.compile(r"answer\s*(?:is\s*)?[:=]\s*(?=([^\n]{1,200}))", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{([^{}]{1,200})\}")
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
_WRAPPING = re.compile(r"^[\s*$\"'`]+|[\s*$\"'`.]+$")


def extract(reply: str) -> str | None:
    """The last boxed value, else what follows the last "Answer:", else the last line that is text.

    Numbers lose their thousands commas, leading zeros and trailing ".0"; other answers are
    compared without case, outer quotes, dollar signs or a final full stop. None when the reply
    has no text.
    """
    text = reply[-20_000:]
    if boxed := _BOXED.findall(text):
        return normalise(boxed[-1])
    if marked := _MARKED.findall(text):
        return normalise(marked[-1])
    lines = [line for line in text.splitlines() if line.strip()]
    return normalise(lines[-1][:200]) if lines else None


def normalise(answer: str) -> str | None:
    plain = _WRAPPING.sub("", answer)
    if _NUMBER.fullmatch(plain):
        whole, _, fraction = plain.replace(",", "").lstrip("+").partition(".")
        negative, whole = whole.startswith("-"), whole.lstrip("-").lstrip("0") or "0"
        fraction = fraction.rstrip("0")
        sign = "-" if negative and (whole != "0" or fraction) else ""
        return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"
    return " ".join(plain.lower().split()) or None


def is_right(answer: str | None, reference: str) -> bool:
    return answer is not None and answer == normalise(reference)
