r"""Numbers and quantities as people write them: "2.5 million", "$1,000.50", "64 square feet", "5'6\"".

All is exact, and read without evaluating anything: a number is a fraction, a unit a product of powers of base
units with the factor between them ("km/h": meter 1, second -1, 5/18).
"""

from __future__ import annotations

import re
from collections import Counter
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

# Numbers ---------------------------------------------------------------------------------------------------


class Number(NamedTuple):
    """An exact rational number. `digits` is how it was written if that was a plain decimal."""

    value: Fraction
    digits: str = ""

    def times(self, factor: Fraction) -> Number:
        """So many times the number."""
        return self if factor == 1 else Number(self.value * factor)


_D = r"(?:\d+\.?\d*|\.\d+)"
_DECIMAL = re.compile(rf"({_D})(?:[eE]([+-]?\d{{1,3}}))?")
_POWER_OF_TEN = re.compile(rf"({_D})\s*(?:\\cdot|x)\s*10\s*\^\{{([+-]?\d{{1,3}})\}}")
_RATIO = re.compile(
    rf"\\frac\{{\s*([+-]?{_D})\s*\}}\{{\s*([+-]?{_D})\s*\}}|({_D})\s*/\s*(?:\(\s*([+-]?{_D})\s*\)|({_D}))"
)
_MIXED = re.compile(r"(\d+)(?:\s*\\frac\{(\d+)\}\{(\d+)\}|\s+(?:and\s+)?(\d+)\s*/\s*(\d+))")
_REPEATING = re.compile(r"(\d*)\.(\d*)(?:\\(?:overline|bar|dot)\{(\d+)\}|\((\d+)\)|(\d+?)\5{2,}\d*\.{2,4})")
_ONES = "zero one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
_TEENS = [f"{word}teen" for word in ("thir", "four", "fif", "six", "seven", "eigh", "nine")]
_TENS = [f"{word}ty" for word in ("twen", "thir", "for", "fif", "six", "seven", "eigh", "nine")]
_WORDS = [*_ONES, *_TEENS, *(f"{ten}-{one}".removesuffix("-zero") for ten in _TENS for one in _ONES[:10])]
_MAX_DIGITS = 400
_MIN_FLOAT_DIGITS = 10


def read_number(text: str) -> Number | None:
    """The number that settled text spells out."""
    text = text.strip()
    if (word := text.lower().replace(" ", "-")) in _WORDS:
        return Number(Fraction(_WORDS.index(word)))
    if len(text) > _MAX_DIGITS or not any(map(str.isdigit, text[:20])):
        return None
    sign, text = (-1, text[1:].strip()) if text[0] == "-" else (1, text.removeprefix("+").strip())
    if decimal := _DECIMAL.fullmatch(text) or _POWER_OF_TEN.fullmatch(text):
        value = Fraction(decimal[1].rstrip(".")) * Fraction(10) ** int(decimal[2] or 0)
        return Number(sign * value, "" if decimal[2] else decimal[1])
    if ratio := _RATIO.fullmatch(text):
        above, below = [Fraction(digits.rstrip(".")) for digits in ratio.groups() if digits]
        return Number(sign * above / below) if below else None
    if mixed := _MIXED.fullmatch(text):
        whole, above, below = (Fraction(digits) for digits in mixed.groups() if digits)
        return Number(sign * (whole + above / below)) if 0 < above < below else None
    if repeating := _REPEATING.fullmatch(text):
        before, fixed, *periods = repeating.groups()
        period, scale = next(filter(None, periods)), 10 ** len(fixed)
        endless = Fraction(int(period), scale * (10 ** len(period) - 1))
        return Number(sign * (Fraction(int((before or "0") + fixed), scale) + endless))
    return None


def begins_expansion(decimal: Number, value: Fraction) -> bool:
    """Whether `decimal` is how a calculator shows `value`: ten or more digits of an endless expansion.

    0.3333333333 is 1/3, and 0.333 is not. Numbers with an end (1/8) have to be given exactly.
    """
    places = len(decimal.digits.partition(".")[2])
    if not places or len(decimal.digits.replace(".", "").lstrip("0")) < _MIN_FLOAT_DIGITS:
        return False
    ends = 10**_MAX_DIGITS % value.denominator == 0
    return not ends and abs(decimal.value - value) < Fraction(1, 10**places)


# Units -----------------------------------------------------------------------------------------------------


class Unit(NamedTuple):
    """Powers of base units ("km/h": meter 1, second -1, factor 5/18). Counted things are bases, too."""

    bases: tuple[tuple[str, int], ...] = ()
    factor: Fraction = Fraction(1)

    @property
    def measures(self) -> tuple[tuple[str, int], ...]:
        """The powers of known bases; the others are words for what is counted."""
        return tuple(power for power in self.bases if power[0] in _BASES)


NONE = Unit()
_CURRENCY = "$€£¥₹₩₽₱฿₪"
_TABLE = """
meter: 1 m meter metre, 1/100 cm centimeter centimetre, 1/1000 mm millimeter millimetre, 1/10 dm decimeter,
 1/1000000 um micrometer micron, 1000 km kilometer kilometre, 254/10000 in inch inche,
 3048/10000 ft foot feet, 9144/10000 yd yard, 1609344/1000 mi mile
gram: 1 g gram gramme gm, 1/1000 mg milligram, 1/1000000 ug microgram, 1000 kg kilogram kilo,
 1000000 ton tonne
ounce: 1 oz ounce, 16 lb pound £ gbp
liter: 1 L l liter litre, 1/1000 mL ml milliliter millilitre
cup: 1 cup, 2 pint pt, 4 quart qt, 16 gallon gal
second: 1 s sec second, 60 min minute, 3600 h hr hour, 86400 day, 604800 week wk, 1/1000 ms millisecond,
 1/1000000 us microsecond
month: 1 month mo, 12 year yr
dollar: 1 dollar $ usd buck, 1/100 cent ¢
euro: 1 euro € eur
yen: 1 yen ¥ jpy
yuan: 1 yuan cny rmb
won: 1 won ₩ krw
ruble: 1 ruble rouble ₽ rub
peso: 1 peso ₱ php mxn
baht: 1 baht ฿ thb
shekel: 1 shekel ₪ ils
canadian: 1 cad
australian: 1 aud
franc: 1 franc chf
rupee: 1 rupee ₹ rs inr
degree: 1 degree deg °, 1/60 arcminute, 1/3600 arcsecond
radian: 1 radian rad
percent: 1 percent percentage pct %
newton: 1 N newton, 1000 kN
joule: 1 J joule, 1000 kJ kilojoule
watt: 1 W watt, 1000 kW kilowatt
volt: 1 V volt
ohm: 1 ohm, 1000 kohm kiloohm, 1000000 Mohm megaohm
ampere: 1 A amp ampere
hertz: 1 Hz hertz, 1000 kHz
kelvin: 1 K kelvin
mole: 1 mol mole
celsius: 1 celsius
fahrenheit: 1 fahrenheit
"""
"""Each base with its units: factor and names. Of symbols such as mL and N the case counts."""
_UNITS = {
    name: (base, Fraction(factor))
    for base, _, sizes in (line.partition(":") for line in _TABLE.replace("\n ", " ").strip().splitlines())
    for factor, *names in (size.split() for size in sizes.split(","))
    for name in names
}
_BASES = frozenset(base for base, _ in _UNITS.values())
_LETTERS = frozenset("mgslLhNJWV")
"""The symbols of one letter that are units without being set apart as words: "5 m"."""
_FILLERS = frozenset("a an the of total each about unit units st nd rd th more altogether in".split())  # noqa: SIM905
_POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
_NO_UNIT = re.compile(
    r"\b(?:mod|base|and|or|times|plus|minus|choose|over|if|for|where|when|is|are|not|to|by|with|on|x|pi)\b"
    r"|[\\()=<>,]"
)
_MARKED = re.compile(r"\\text\{([^{}]*)\}|\^\{\\circ\}")
_PRODUCT = re.compile(r"(?<=[A-Z}])\s*\\cdot\s*|(?<=[A-Za-z]{2})\s*\\cdot\s*")
"""Between the factors of a unit: N·m, kW·h. Single small letters are variables."""
_TEMPERATURE = re.compile(r"(?:\bdegrees?|°)\s*(?:(C\b|[Cc]elsius)|F\b|[Ff]ahrenheit)")
_SHORT = {"mph": "mile/hour", "kph": "km/h", "kmh": "km/h", "cc": "cm^3", "per cent": "percent"}
_TOKEN = re.compile(rf"[A-Za-z{_CURRENCY}¢%°]+\.?|\^-?\d|[^\s.'-]")


@lru_cache(maxsize=4_096)
def read_unit(text: str, *, marked: bool) -> Unit | None:
    r"""The unit that settled text names, None if it names none.

    Args:
        marked: the words are set apart, such as `\text{boys}`. Otherwise short ones are variables.
    """
    text = re.sub(r"\\frac\{(.*)\}\{(.*)\}", r"\1/\2", text)
    text = _PRODUCT.sub(" ", text)
    text = _MARKED.sub(lambda m: " ° " if m[1] is None else f" {m[1]} ", text)
    text = _TEMPERATURE.sub(lambda m: " celsius " if m[1] else " fahrenheit ", text)
    text = re.sub(r"(?<=[a-z])([23])\b", r"^\1", re.sub(r"[{}]", "", text))
    for short, long in _SHORT.items():
        text = re.sub(rf"\b{short}\b", long, text)
    found = None if _NO_UNIT.search(text) or len(text) > 80 else _powers(_TOKEN.findall(text), marked=marked)
    if found is None:
        return None
    bases, factor = Counter[str](), Fraction(1)
    for name, power in found:
        base, size = _UNITS.get(name, (name, Fraction(1)))
        bases[base] += power
        factor *= size**power
    return Unit(tuple(sorted((base, power) for base, power in bases.items() if power)), factor)


def _powers(tokens: list[str], *, marked: bool) -> list[tuple[str, int]] | None:
    """Names of units with their exponents; None where a token cannot belong to a unit."""
    found: list[tuple[str, int]] = []
    sign = power = 1
    for at, written in enumerate(tokens):
        word = written.rstrip(".")
        if written == "^":
            return None
        if written[0] == "^" and found and found[-1][1] in {1, -1}:
            found[-1] = (found[-1][0], found[-1][1] * int(written[1:]))
        elif word in {"/", "per"}:
            sign = -1
        elif word.lower() in _POWERS:
            power = _POWERS[word.lower()]
            if word.endswith("d") and found:
                found[-1], power = (found[-1][0], found[-1][1] * power), 1
        elif word.lower() not in _FILLERS or (word == "in" and at == len(tokens) - 1 and not found):
            name = unit_name(word)
            known = name in _UNITS and (len(name) > 1 or not name.isalpha() or marked or name in _LETTERS)
            if not known and not (word.isalpha() and (marked or len(word) > 2)):
                return None
            found.append((name, sign * power))
            sign = power = 1
    return found


def unit_name(word: str) -> str:
    """A unit's name as the table has it, or a counted thing in the singular."""
    lower = word.lower()
    single = re.sub(r"ies$", "y", re.sub(r"(?<=[sxz])es$|(?<=[cs]h)es$|(?<![su])s$", "", lower))
    return next((name for name in (word, lower, single) if name in _UNITS), single)


# Units that need not be said -------------------------------------------------------------------------------

_SENTENCE = re.compile(r"(?:[^.?!\n]|\.(?=\d))+[?.!\n]*")
_ASKING = re.compile(r"\?|\b(?:find|how|what|compute|determine|calculate|express|give)\b", re.IGNORECASE)
_ASKED = re.compile(r"how many (?:\w+ ){0,2}?\w+|\bin (?:\w+ )?\w+(?=\s*[?.])", re.IGNORECASE)
_NAMED = re.compile(
    r"\b[a-z]{1,2}/[a-z]{1,3}\b|(?!in\b)[A-Za-z]{2,}|(?<=\d)\s*[mgsLlh]\b|\$(?=\s?\d)|[€£¥₹₩₽₱฿₪¢%°]|\\circ|\\angle"
)


@lru_cache(maxsize=1_024)
def understood(question: str) -> dict[str, Fraction]:
    """For each base, the size of the unit of it that a question asks for: a bare number has this unit.

    It asks for the unit behind "how many" and "in", else for the one in its asking sentence, else for the
    only one of all. Counted things have to be named in its asking sentence.
    """
    asking = " ".join(sentence for sentence in _SENTENCE.findall(question) if _ASKING.search(sentence))
    found = {base: sizes for base, sizes in _sizes(question).items() if base in _BASES}
    for text in (asking, " ".join(_ASKED.findall(asking))):
        found |= {base: sizes for base, sizes in _sizes(text).items() if len(sizes) == 1 or base not in found}
    return {base: min(sizes) for base, sizes in found.items() if len(sizes) == 1}


def _sizes(text: str) -> dict[str, set[Fraction]]:
    """The bases that a text names, each with the sizes of its units."""
    sizes: dict[str, set[Fraction]] = {}
    for found in _NAMED.findall(text):
        word = "°" if found in {r"\circ", r"\angle", "angle", "angles"} else found.strip()
        for part in map(unit_name, _SHORT.get(word, word).split("/")):
            base, size = _UNITS.get(part, (part, Fraction(1)))
            sizes.setdefault(base, set()).add(size)
    return sizes


# Amounts ---------------------------------------------------------------------------------------------------

_CLOCK = re.compile(
    r"(\d{1,2})(?:[:.]([0-5]\d))?\s*(?:\\text\{)?\s*(?:([ap])\.?\s*m\b\.?|o'clock"
    r"|in the (morning|afternoon|evening))\s*\}?"
    r"|(\d{1,2}):([0-5]\d)(?:\s*(?:\\text\{)?\s*h(?:(?:ou)?rs?)?\.?\}?)?",
    re.IGNORECASE,
)
_MORNING = ("a", "morning")
DAY_HALVES = ((("am", 1),), (("pm", 1),))
_NOON = re.compile(r"(?:\\text\{)?(?:12 )?(?:(noon|midday)|midnight)\}?", re.IGNORECASE)
_SYMBOL = re.compile(
    r"(?<=\s)([kM]?)\s?(\\Omega(?![A-Za-z])|[\u03a9\u2126])|(?<=\d\s)\\mu\s(?=[mgs](?![A-Za-z]))"
)
"""Symbols that are no letters of LaTeX, set apart from the number: 5 \\mu m. Glued ones are variables."""
_MONEY = re.compile(
    rf"([-+]?)\s*(?:[A-Z]{{1,3}}\s?(?=\$))?([{_CURRENCY}]"
    r"|(?:USD|EUR|GBP|INR|JPY|CNY|RMB|KRW|CAD|AUD|CHF|Rs\.?)(?=\s))\s*"
    r"([-+]?[\d.,]*\d|\\frac\{\d+\}\{\d+\})\s?([kKmMbBT]|mn|[mb]il|bn)?(?!\w)(.*)"
)
_NUMBER = (
    r"[-+]?(?:(?:\d+\s*)?\\frac\{\d+\}\{\d+\}|(?:\d+(?:\.\d+)?|\.\d+)"
    r"(?:\s*/\s*\d+|\s+\d+/\d+|\s*(?:\\cdot|x)\s*10\s*\^\{[-+]?\d{1,3}\}|[eE][-+]?\d{1,3}(?=\s))?)"
)
_AMOUNT = re.compile(rf"({_NUMBER})(\s*)((?:\\text|\\frac\{{\s*\\text|\^\{{\\circ|[A-Za-z{_CURRENCY}¢%]).*)")
_MAGNITUDE = re.compile(
    r"(?:\\text\{)?\s*(hundred|thousand|[mb]illion|trillion|dozen"
    r"|[kmb](?=\}?\s*(?:\\text\{\s*)?(?:dollar|usd|euro?s?\b|pounds|gbp|yen|rupee)))\b\s*\}?",
    re.IGNORECASE,
)
_ZEROS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_SHORT_SCALES = {"k": "thousand", "m": "million", "b": "billion", "t": "trillion"}
"""Behind money alone: $1.5M. Elsewhere such letters are variables."""
_SUMMAND = rf"({_NUMBER})\s*(\\text\{{[^{{}}]*\}}|[A-Za-z]+\.?|\^\{{\\circ\}}|'{{1,2}}|\")(?:\s|,|and\b)*"
_SUM = re.compile(f"(?:{_SUMMAND})+")
_MARKS = {"'": "feet", "''": "inches", '"': "inches"}
_ARC_MARKS = {"'": "arcminute", "''": "arcsecond", '"': "arcsecond"}
_POWER = r"(?:\^\{-?\d\})?"
_TRAILING = re.compile(
    rf"(?:(?:\s*/?\s*\\text\{{[^{{}}]*\}}{_POWER})+|\s*\^\{{\\circ\}}|\s*[%¢]|(?<=[\d}})\s])\s*[A-Za-z]{{2,}}\.?{_POWER}"
    rf"|\s*\\frac\{{\s*\\text\{{[^{{}}]*\}}\s*\}}\{{\s*\\text\{{[^{{}}]*\}}{_POWER}\s*\}})\s*$"
)
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|sec|csc|cot)(?![A-Za-z])")


def read_amount(text: str) -> tuple[Number | str, Unit] | None:
    """A plain number with whatever unit follows it: "2.5 million", "64 square feet", "18 apples", "$5".

    Of a time such as "3:30 PM" the number is a text, "3:30".
    """
    if (number := read_number(text)) is not None:
        return number, NONE
    if noon := _NOON.fullmatch(text):
        text = "12 pm" if noon[1] else "12 am"
    if (clock := _CLOCK.fullmatch(text)) and (time := _read_time(clock)):
        return time
    text = _SYMBOL.sub(lambda m: f"{m[1]}ohm" if m[2] else "u", text)
    if money := _MONEY.fullmatch(text):
        words = sorted((money[5], f"\\text{{{money[2]}}}"), key=lambda word: word.lstrip()[:1] == "/")
        short = _SHORT_SCALES[money[4][0].lower()] if money[4] else ""
        text = f"{money[1]}{money[3]} {short} {' '.join(words)}"
    found = _AMOUNT.fullmatch(text)
    if not found or (number := read_number(found[1])) is None:
        return _sum(text)
    rest = found[3]
    if scale := _MAGNITUDE.match(rest):
        word, rest = scale[1].lower(), rest[scale.end() :]
        word = _SHORT_SCALES.get(word, word)
        number = Number(number.value * (12 if word == "dozen" else 10 ** _ZEROS[word]))
    marked = not rest[:1].isalpha()
    glued = not (marked or found[2] or scale or re.match("[A-Za-z]{2}", rest))  # "5m" is five times m
    unit = None if glued else read_unit(rest, marked=marked)
    return _sum(text) if unit is None else (number, unit)


def _read_time(time: re.Match[str]) -> tuple[Number | str, Unit] | None:
    """The hour, or a text such as "3:30". Its unit is the half of the day, which "3:30" leaves open."""
    hour, minute = int(time[1] or time[5]), int(time[2] or time[6] or 0)
    half = (time[3] or time[4] or "").lower()
    if half or not 0 < hour < 13:
        is_morning = half in _MORNING if half else hour in {0, 24}
        if hour > 24 or (half and is_morning and hour > 12):
            return None
        unit = Unit((("am" if is_morning else "pm", 1),))
    else:
        unit = NONE
    return f"{hour}:{minute:02}" if minute else Number(Fraction(hour)), unit


def by_twelve(time: Number | str) -> Number | str:
    """A time by a clock of twelve hours: of "15:30" it is "3:30"."""
    if isinstance(time, Number):
        return Number((time.value - 1) % 12 + 1)
    return re.sub(r"\d+", lambda hour: str((int(hour[0]) - 1) % 12 + 1), time, count=1)


def _sum(text: str) -> tuple[Number | str, Unit] | None:
    """Units of one base, the larger first: 1 hour and 30 minutes, 5'6", 30°15'."""
    summands = re.findall(_SUMMAND, text) if _SUM.fullmatch(text) else []
    marks = _ARC_MARKS if summands and "circ" in summands[0][1] else _MARKS
    total, units = Fraction(0), list[Unit]()
    for digits, word in summands:
        number, of = read_number(digits), read_unit(marks.get(word, word), marked=word[0] == "\\")
        if not number or not of or not of.measures or any(of.factor >= unit.factor for unit in units):
            return None
        units.append(of)
        total += number.value * of.factor
    if len({unit.bases for unit in units}) != 1 or (len(units) == 1 and summands[0][1] not in _MARKS):
        return None
    return Number(total / units[0].factor), units[0]


def split_unit(text: str) -> tuple[str, Unit]:
    r"""Split "6\pi \text{ cm}^2" into value and unit."""
    found = _TRAILING.search(text)
    value = text[: found.start()].strip() if found else ""
    if not found or not value or ("circ" in found[0] and _TRIGONOMETRY.search(value)):
        return text, NONE
    marked = not found[0].strip()[:1].isalpha()
    unit = read_unit(found[0], marked=marked)
    return (value, unit) if unit is not None and (marked or unit.measures) else (text, NONE)
