"""Digits as the words they are read with, in Malay, English, Mandarin and Tamil: the number pass of the normaliser.

References write "dua puluh tiga" where systems write "23"; neither is an error of hearing. The pass spells cardinal
numbers below a thousand million, decimals, and everything else (telephone numbers, leading zeros, Tamil from 10 000 on)
digit by digit. It cannot know that a speaker read a year in pairs or a price in ringgit and sen.
"""

import re
from collections.abc import Callable

_NUMBER = re.compile(r"(?<!\S)([0-9]+)(?:\.([0-9]+))?(?!\S)")

_DIGITS = {
    "ms": ["kosong", "satu", "dua", "tiga", "empat", "lima", "enam", "tujuh", "lapan", "sembilan"],
    "en": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    "zh": ["零", "一", "二", "三", "四", "五", "六", "七", "八", "九"],
    "ta": ["பூஜ்ஜியம்", "ஒன்று", "இரண்டு", "மூன்று", "நான்கு", "ஐந்து", "ஆறு", "ஏழு", "எட்டு", "ஒன்பது"],
}
_POINTS = {"ms": "perpuluhan", "en": "point", "zh": "点", "ta": "புள்ளி"}
_EN_TEENS = [
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_EN_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_TA_TEENS = [
    "பத்து",
    "பதினொன்று",
    "பன்னிரண்டு",
    "பதிமூன்று",
    "பதினான்கு",
    "பதினைந்து",
    "பதினாறு",
    "பதினேழு",
    "பதினெட்டு",
    "பத்தொன்பது",
]
# Tens, hundreds and thousands of Tamil have one form at the end of a number and another before the rest of it.
_TA_TENS = ["இருபது", "முப்பது", "நாற்பது", "ஐம்பது", "அறுபது", "எழுபது", "எண்பது", "தொண்ணூறு"]
_TA_TENS_BEFORE = ["இருபத்து", "முப்பத்து", "நாற்பத்து", "ஐம்பத்து", "அறுபத்து", "எழுபத்து", "எண்பத்து", "தொண்ணூற்று"]
_TA_HUNDREDS = ["நூறு", "இருநூறு", "முந்நூறு", "நானூறு", "ஐநூறு", "அறுநூறு", "எழுநூறு", "எண்ணூறு", "தொள்ளாயிரம்"]
_TA_HUNDREDS_BEFORE = [
    "நூற்று",
    "இருநூற்று",
    "முந்நூற்று",
    "நானூற்று",
    "ஐநூற்று",
    "அறுநூற்று",
    "எழுநூற்று",
    "எண்ணூற்று",
    "தொள்ளாயிரத்து",
]
_TA_THOUSANDS = ["ஆயிரம்", "இரண்டாயிரம்", "மூவாயிரம்", "நாலாயிரம்", "ஐயாயிரம்", "ஆறாயிரம்", "ஏழாயிரம்", "எட்டாயிரம்", "ஒன்பதாயிரம்"]


def spell_numbers(normalized: str, language: str | None) -> str:
    """Spell the numbers that stand alone in a normalised text.

    Args:
        normalized: Output of `normalize`; numbers inside words (covid19, ke-2) stay.
        language: ms, en, zh or ta; anything else is taken as ms.
    """
    spoken = language if language in _DIGITS else "ms"
    return _NUMBER.sub(lambda match: _spell(match[1], match[2], spoken), normalized)


def _spell(whole: str, decimals: str | None, language: str) -> str:
    digits = _DIGITS[language]
    limit = 5 if language == "ta" else 10
    if len(whole) < limit and (whole == "0" or whole[0] != "0"):
        words = _CARDINALS[language](int(whole)) or digits[0]
    else:
        words = " ".join(digits[int(digit)] for digit in whole)
    if decimals is None:
        return words
    return " ".join([words, _POINTS[language], *(digits[int(digit)] for digit in decimals)])


def _malay(number: int) -> str:
    digits = _DIGITS["ms"]
    for size, name in ((1_000_000, "juta"), (1000, "ribu"), (100, "ratus"), (10, "puluh")):
        if 10 < number < 20:
            return "sebelas" if number == 11 else f"{digits[number - 10]} belas"
        if number >= size:
            count, rest = divmod(number, size)
            head = f"se{name}" if count == 1 and size < 1_000_000 else f"{_malay(count)} {name}"
            return f"{head} {_malay(rest)}".strip()
    return digits[number] if number else ""


def _english(number: int) -> str:
    for size, name in ((1_000_000, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= size:
            count, rest = divmod(number, size)
            link = " and " if 0 < rest < 100 else " "
            return f"{_english(count)} {name}{link}{_english(rest)}".strip()
    if number < 10:
        return _DIGITS["en"][number] if number else ""
    if number < 20:
        return _EN_TEENS[number - 10]
    return f"{_EN_TENS[number // 10 - 2]} {_english(number % 10)}".strip()


def _mandarin(number: int, inside: bool = False) -> str:
    digits = _DIGITS["zh"]
    for size, name in ((100_000_000, "亿"), (10_000, "万"), (1000, "千"), (100, "百"), (10, "十")):
        if number >= size:
            count, rest = divmod(number, size)
            head = "两" if count == 2 and size > 10 else _mandarin(count)
            if size == 10 and count == 1 and not inside:
                head = ""
            gap = digits[0] if 0 < rest < size // 10 else ""
            return f"{head}{name}{gap}{_mandarin(rest, inside=True)}"
    return digits[number] if number else ""


def _tamil(number: int) -> str:
    thousands, below = divmod(number, 1000)
    hundreds, below_hundred = divmod(below, 100)
    tens, ones = divmod(below_hundred, 10)
    words = []
    if thousands:
        name = _TA_THOUSANDS[thousands - 1]
        words.append(name.removesuffix("ம்") + "த்து" if below else name)
    if hundreds:
        words.append((_TA_HUNDREDS_BEFORE if below_hundred else _TA_HUNDREDS)[hundreds - 1])
    if tens == 1:
        return " ".join([*words, _TA_TEENS[ones]])
    if tens:
        words.append((_TA_TENS_BEFORE if ones else _TA_TENS)[tens - 2])
    if ones:
        words.append(_DIGITS["ta"][ones])
    return " ".join(words)


_CARDINALS: dict[str, Callable[[int], str]] = {"ms": _malay, "en": _english, "zh": _mandarin, "ta": _tamil}
