"""Units behind a number: what they measure, and how many of the base unit they are."""

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple


class Unit(NamedTuple):
    """`size` of the base unit of `kind`, such as "length/time" or "length^2".

    `kind` of a unit that is not in the table is its words, and `known` is False.
    """

    kind: str
    size: Fraction = Fraction(1)
    known: bool = True


NONE = Unit("")
PERCENT = Unit("percent", Fraction(1, 100))
CURRENCY_SIGNS = "$€£¥₹₩₽₺₫₪₦₱฿"

# A kind of small letters is a quantity, one of capitals a currency. `a b/c^2` is a product.
_TABLE = {
    "length": "1 m meter metre metro mètre метр метра метров м 米 メートル 미터, 1000 km kilometer "
    "kilometre kilómetro kilomètre км 公里 千米 キロメートル, 0.01 cm centimeter centimetre "
    "centímetro centimètre zentimeter см 厘米 センチ センチメートル, "
    "0.001 mm millimeter millimetre, 1e-9 nm nanometer, 1e-6 µm μm micrometer, 0.1 dm, "
    "0.0254 in inch inche, 0.3048 ft foot feet, 0.9144 yd yard, 1609.344 mi mile",
    "mass": "1 g gram gramme г, 1000 kg kilogram kilo кг 公斤 千克 キログラム, 0.001 mg milligram, "
    "453.59237 lb lbs pound, 28.349523125 oz ounce, 1000000 tonne ton",
    "time": "1 s sec second segundo seconde sekunde sekunden 秒 초, 0.001 ms millisecond, 60 min "
    "minute minuto minuten минут 分钟 分 분, 3600 h hr hour stunde stunden heure hora "
    "час часа часов 小时 時間 시간, "
    "86400 day tag tage jour día дней день дня 天 日, 604800 week woche wochen",
    "years": "12 year yr jahr jahre año лет год года 年, 1 month",
    "current": "1 A ampere amp, 0.001 mA",
    "amount": "1 mol mole, 0.001 mmol",
    "kelvin": "1 K kelvin",
    "celsius": "1 °C ℃ celsius °Celsius °celsius °c",
    "fahrenheit": "1 °F ℉ fahrenheit °Fahrenheit °fahrenheit °f",
    "angle": "1 ° degree deg grad градусов 度 도",
    "radians": "1 rad radian",
    "data": "1 byte B, 1000 kB KB, 1000000 MB, 1000000000 GB, 1000000000000 TB",
    "length^3": "0.001 l L liter litre litro литр литров 升 リットル, 0.000001 ml mL milliliter "
    "millilitre cc, 0.00001 cl, 0.0001 dl",
    "frequency": "1 Hz hertz, 1000 kHz, 1000000 MHz, 1000000000 GHz",
    "length mass/time^2": "1000 N newton, 1000000 kN kilonewton",
    "length^2 mass/time^2": "1000 J joule, 1000000 kJ kilojoule, 1000000000 MJ, 3600000000 kWh, "
    "4184 cal calorie, 4184000 kcal",
    "length^2 mass/time^3": "1000 W watt, 1000000 kW kilowatt, 1000000000 MW",
    "mass/length time^2": "1000 Pa pascal, 1000000 kPa, 1000000000 MPa, 100000000 bar, "
    "101325000 atm",
    "length^2 mass/current time^3": "1000 V volt, 1000000 kV, 1 mV",
    "electronvolt": "1 eV, 1000 keV, 1000000 MeV, 1000000000 GeV",
    "ohm": "1 Ω ohm \\Omega, 1000 kΩ",
    "charge": "1 C coulomb, 0.001 mC, 0.000001 µC",
    "tesla": "1 T tesla",
    "length/time": "0.44704 mph",
    "DOLLAR": "1 $ USD US$ dollar dólar доллар долларов ドル 美元 달러, 0.01 cent ¢",
    "EUR": "1 € EUR euro евро ユーロ 欧元",
    "GBP": "1 £ GBP",
    "JPY": "1 JPY yen 円",
    "CNY": "1 CNY RMB yuan 元 人民币",
    "YEN OR YUAN": "1 ¥",
    "INR": "1 ₹ INR Rs Rs. rupee",
    "KRW": "1 ₩ KRW won 원",
    "RUB": "1 ₽ RUB руб рубль рубля рублей ruble",
    "CHF": "1 CHF",
    "CAD": "1 CAD C$",
    "AUD": "1 AUD A$",
    "BRL": "1 R$ BRL reais real",
    "MXN": "1 MXN",
    "SEK": "1 SEK",
    "PLN": "1 PLN zł",
    "TRY": "1 ₺ TRY",
    "percent": "0.01 % percent percentage prozent pourcent pct процентов процент процента "
    "パーセント 퍼센트",
}
_UNITS = {
    name: Unit(kind, Fraction(row.split()[0]))
    for kind, rows in _TABLE.items()
    for row in rows.split(", ")
    for name in row.split()[1:]
}
_SPELT = (
    (re.compile(r"^(?:°|deg(?:ree)?s?)\s*(C|F|Celsius|Fahrenheit)$", re.I), r"°\1"),
    (re.compile(r"\b(?:square|sq\.?)\s+(\w+)", re.I), r"\1^2"),
    (re.compile(r"\b(?:cubic|cu\.?)\s+(\w+)", re.I), r"\1^3"),
    (re.compile(r"(\w+)\s+squared\b", re.I), r"\1^2"),
    (re.compile(r"(\w+)\s+cubed\b", re.I), r"\1^3"),
    (re.compile(r"^(?:per cent|por ciento|per cento|por cento|pour cent)$", re.I), "%"),
    (re.compile(r"\\(?:cdot|times)|[·*⋅]|(?<=\w)-(?=[A-Za-z])"), " "),
    (re.compile(r"^平方(\w+)$"), r"\1^2"),
    (re.compile(r"^立方(\w+)$"), r"\1^3"),
)
_POWER = re.compile(r"(.+?)\s*\^\s*\{?\s*(-?[1-4])\s*\}?|([a-z]{1,2})([23])")


@lru_cache(4096)
def unit_of(words: str) -> Unit:
    """The unit that stands behind a number; "" is NONE, and words of no unit are a kind of theirs.

    Singular and plural are one, and so are "m/s", "m s^{-1}" and "meters per second".
    """
    words = words.strip().rstrip(".").strip()
    if not words:
        return NONE
    if words in _UNITS:
        return _UNITS[words]
    spelt = words
    for pattern, new in _SPELT:
        spelt = pattern.sub(new, spelt)
    found = _product(spelt) if len(spelt) <= 60 else None
    return found or Unit(" ".join(_singular(word) for word in words.lower().split()), known=False)


def _product(words: str) -> Unit | None:
    """Units divided and multiplied, None where one is not known."""
    powers: dict[str, int] = {}
    size = Fraction(1)
    for at, part in enumerate(re.split(r"\s*/\s*|\s+per\s+", words)):
        part = re.sub(r"\s*\^\s*", "^", part.strip("() "))
        for factor in [part] if _named(part) else part.split():
            found = _POWER.fullmatch(factor)
            unit = _named(factor if found is None else found[1] or found[3])
            if unit is None:
                return None
            power = (1 if found is None else int(found[2] or found[4])) * (-1 if at else 1)
            size *= unit.size**power
            for kind, count in _dimensions(unit.kind):
                powers[kind] = powers.get(kind, 0) + count * power
        if not part:
            return None
    above = [_raised(kind, power) for kind, power in sorted(powers.items()) if power > 0]
    below = [_raised(kind, -power) for kind, power in sorted(powers.items()) if power < 0]
    return Unit(" ".join(above) + ("/" + " ".join(below) if below else ""), size)


def _dimensions(kind: str) -> list[tuple[str, int]]:
    if kind.isupper():
        return [(kind, 1)]
    above, _, below = kind.partition("/")
    sides = [(word, 1) for word in above.split()] + [(word, -1) for word in below.split()]
    return [
        (name, sign * int(power or 1))
        for word, sign in sides
        for name, _, power in [word.partition("^")]
    ]


def _raised(kind: str, power: int) -> str:
    return kind if power == 1 else f"{kind}^{power}"


def _named(word: str) -> Unit | None:
    codes = [word.upper()] if len(word) == 3 else []
    for spelt in (word, word.lower(), _singular(word.lower()), *codes):
        if spelt in _UNITS:
            return _UNITS[spelt]
    return None


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and word[-2] != "s" else word
