"""Units behind a number: what they measure, and how many of the base unit they are."""

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple


class Unit(NamedTuple):
    """`size` of the base unit of `kind`; a kind such as "length/time" is a quotient of two.

    `kind` of a unit that is not in the table is its words, and `known` is False.
    """

    kind: str
    size: Fraction = Fraction(1)
    known: bool = True


NONE = Unit("")
PERCENT = Unit("percent", Fraction(1, 100))

_TABLE: dict[str, dict[str, str]] = {
    "length": {
        "m": "1", "meter": "1", "metre": "1", "km": "1000", "kilometer": "1000",
        "kilometre": "1000", "cm": "0.01", "centimeter": "0.01", "centimetre": "0.01",
        "mm": "0.001", "millimeter": "0.001", "millimetre": "0.001", "nm": "1e-9", "dm": "0.1",
        "in": "0.0254", "inch": "0.0254", "inche": "0.0254", "ft": "0.3048", "foot": "0.3048",
        "feet": "0.3048", "yd": "0.9144", "yard": "0.9144", "mi": "1609.344", "mile": "1609.344",
        "metro": "1", "mètre": "1", "метр": "1", "км": "1000", "см": "0.01", "м": "1", "米": "1",
        "厘米": "0.01", "公里": "1000", "センチ": "0.01", "メートル": "1", "미터": "1",
    },
    "mass": {
        "g": "1", "gram": "1", "gramme": "1", "kg": "1000", "kilogram": "1000", "mg": "0.001",
        "milligram": "0.001", "lb": "453.59237", "pound": "453.59237", "oz": "28.349523125",
        "ounce": "28.349523125", "ton": "1000000", "tonne": "1000000", "кг": "1000", "г": "1",
    },
    "time": {
        "s": "1", "sec": "1", "second": "1", "ms": "0.001", "min": "60", "minute": "60",
        "h": "3600", "hr": "3600", "hour": "3600", "day": "86400", "week": "604800",
        "stunde": "3600", "stunden": "3600", "minuten": "60", "heure": "3600", "hora": "3600",
        "час": "3600", "小时": "3600", "時間": "3600", "시간": "3600", "秒": "1", "分钟": "60",
    },
    "volume": {
        "l": "1", "L": "1", "liter": "1", "litre": "1", "ml": "0.001", "mL": "0.001",
        "milliliter": "0.001", "cl": "0.01", "dl": "0.1",
    },
    "angle": {"°": "1", "degree": "1", "deg": "1"},
    "radians": {"rad": "1", "radian": "1"},
    "years": {"year": "12", "yr": "12", "month": "1"},
    "energy": {"J": "1", "kJ": "1000", "MJ": "1000000", "joule": "1", "kilojoule": "1000"},
    "force": {"N": "1", "kN": "1000", "newton": "1"},
    "power": {"W": "1", "kW": "1000", "MW": "1000000", "watt": "1", "kilowatt": "1000"},
    "voltage": {"V": "1", "kV": "1000", "mV": "0.001", "volt": "1"},
    "current": {"A": "1", "mA": "0.001", "ampere": "1", "amp": "1"},
    "frequency": {"Hz": "1", "kHz": "1000", "MHz": "1000000", "GHz": "1000000000", "hertz": "1"},
    "pressure": {"Pa": "1", "kPa": "1000", "MPa": "1000000", "bar": "100000", "atm": "101325"},
    "amount": {"mol": "1", "mole": "1", "mmol": "0.001"},
    "data": {"byte": "1", "B": "1", "kB": "1000", "MB": "1000000", "GB": "1000000000"},
    "kelvin": {"K": "1", "kelvin": "1"},
    "celsius": {"°C": "1", "celsius": "1"},
    "fahrenheit": {"°F": "1", "fahrenheit": "1"},
    "USD": {"$": "1", "USD": "1", "US$": "1", "dollar": "1", "cent": "0.01", "¢": "0.01"},
    "EUR": {"€": "1", "EUR": "1", "euro": "1"},
    "GBP": {"£": "1", "GBP": "1"},
    "JPY": {"¥": "1", "JPY": "1", "yen": "1", "円": "1"},
    "CNY": {"元": "1", "CNY": "1", "yuan": "1", "RMB": "1"},
    "INR": {"₹": "1", "INR": "1", "rupee": "1"},
    "KRW": {"₩": "1", "원": "1", "won": "1"},
    "RUB": {"₽": "1", "RUB": "1", "рублей": "1", "руб": "1"},
    "percent": dict.fromkeys(
        ("%", "percent", "percentage", "prozent", "pourcent", "pct", "процентов", "процент",
         "per cent", "por ciento", "per cento", "por cento", "pour cent", "パーセント", "퍼센트"),
        "0.01",
    ),
}  # fmt: skip
_UNITS = {
    name: Unit(kind, Fraction(size))
    for kind, names in _TABLE.items()
    for name, size in names.items()
}
CURRENCY_SIGNS = "$€£¥₹₩₽"
_AREA = re.compile(r"^(?:square|sq\.?)\s+(\S+)$|^(\S+)\s+squared$")
_VOLUME = re.compile(r"^(?:cubic|cu\.?)\s+(\S+)$|^(\S+)\s+cubed$")
_POWER = re.compile(r"^(.+?)\s*\^\s*\{?\s*(-?[1-4])\s*\}?$|^([a-z]{1,2})([23])$")


@lru_cache(4096)
def unit_of(words: str) -> Unit:
    """The unit that stands behind a number; "" is NONE, and words of no unit are a kind of theirs.

    Singular and plural are one, and so are "m/s" and "meters per second".
    """
    words = words.strip().rstrip(".").strip()
    if not words:
        return NONE
    parts = [part for part in re.split(r"\s*/\s*|\s+per\s+(?!cent)", words) if part]
    units = [_single(part) for part in parts[:3]]
    if len(units) != len(parts) or not all(unit.known for unit in units):
        return Unit(" ".join(_singular(word) for word in words.lower().split()), known=False)
    size = units[0].size
    for unit in units[1:]:
        size /= unit.size
    return Unit("/".join(unit.kind for unit in units), size)


def _single(words: str) -> Unit:
    for pattern, power in ((_AREA, 2), (_VOLUME, 3)):
        if found := pattern.match(words.lower()):
            return _raised(_named(found[1] or found[2]), power)
    if found := _POWER.match(words):
        return _raised(_named(found[1] or found[3]), int(found[2] or found[4]))
    return _named(words)


def _named(word: str) -> Unit:
    for spelt in (word, word.lower(), _singular(word.lower())):
        if spelt in _UNITS:
            return _UNITS[spelt]
    return Unit(word, known=False)


def _raised(unit: Unit, power: int) -> Unit:
    if unit.kind == "length" and power == 3:
        return Unit("volume", 1000 * unit.size**3)
    return Unit(f"{unit.kind}^{power}", unit.size**power, unit.known)


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and word[-2] != "s" else word
