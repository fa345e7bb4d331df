"""Units and magnitudes that stand behind a number in an answer."""

from __future__ import annotations

import re

_SPELLINGS = {
    "mm": "millimeter millimeters millimetre millimetres",
    "cm": "centimeter centimeters centimetre centimetres cms",
    "m": "meter meters metre metres",
    "km": "kilometer kilometers kilometre kilometres kms",
    "in": "inch inches",
    "ft": "foot feet",
    "yd": "yard yards yds",
    "mi": "mile miles",
    "mg": "milligram milligrams",
    "g": "gram grams",
    "kg": "kilogram kilograms kgs",
    "oz": "ounce ounces",
    "lb": "pound pounds lbs",
    "ml": "milliliter milliliters",
    "l": "liter liters litre litres",
    "gal": "gallon gallons",
    "s": "second seconds sec secs",
    "min": "minute minutes mins",
    "h": "hour hours hr hrs",
    "day": "days",
    "week": "weeks",
    "month": "months",
    "year": "years yr yrs",
    "dollars": "dollar usd bucks",
    "cents": "cent",
    "degrees": "degree deg",
    "percent": "percentage pct",
    "radians": "radian rad",
    "mph": "",
    "units": "unit",
}
_UNIT = {word: unit for unit, words in _SPELLINGS.items() for word in (unit, *words.split())}
_FILLERS = frozenset({"per", "a", "an", "the", "of", "each", "in", "total", "about", "units", "unit"})
_MAGNITUDES = {
    "hundred": 100,
    "thousand": 1_000,
    "million": 1_000_000,
    "billion": 1_000_000_000,
    "trillion": 1_000_000_000_000,
    "dozen": 12,
}
_POWERS = {"square": "^2", "sq": "^2", "squared": "^2", "cubic": "^3", "cubed": "^3"}


def read_unit(text: str) -> str:
    """A unit in settled spelling: "square centimeters" is "cm^2", unknown words stay in lower case."""
    words: list[str] = []
    power = ""
    for raw in re.findall(r"[A-Za-z$%'-]+(?:\^[23])?", text.lower()):
        word, _, exponent = raw.partition("^")
        if word in _POWERS:
            if word.endswith("d") and words:
                words[-1] += _POWERS[word]
            else:
                power = _POWERS[word]
            continue
        words.append(_UNIT.get(word, word) + (f"^{exponent}" if exponent else power))
        power = ""
    return " ".join(words)


def magnitude(word: str) -> int | None:
    """The factor that a word such as "million" stands for."""
    return _MAGNITUDES.get(word)


def units_agree(a: str, b: str) -> bool:
    """Whether two units in settled spelling may name the same: equal, one missing, or a word in common."""
    if not a or not b or a == b:
        return True
    words_a, words_b = ({*unit.split()} - _FILLERS for unit in (a, b))
    known_a, known_b = (
        {word for word in words if word.partition("^")[0] in _UNIT} for words in (words_a, words_b)
    )
    if known_a and known_b:
        return known_a == known_b
    return not words_a or not words_b or bool(words_a & words_b)
