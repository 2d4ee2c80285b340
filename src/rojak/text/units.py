"""Units: the pieces of a normalised transcript that are counted.

`words` gives what WER, MER and every measure of words counts: each Han character is one word, everything else is cut at
white space. Mandarin is written without spaces, so white space alone would make a whole sentence one word.
`graphemes` gives what CER counts.
"""

import re
import unicodedata
from functools import lru_cache

from rojak.text.normalize import HAN

_WORD = re.compile(rf"[{HAN}]|[^\s{HAN}]+")


def words(normalized: str) -> list[str]:
    """Cut a normalised transcript into words: single Han characters, otherwise the text between spaces.

    `" ".join(words(text))` is the string on which any scorer that splits at spaces (jiwer) gives the same WER.
    """
    return normalized.split() if normalized.isascii() else _WORD.findall(normalized)


def graphemes(normalized: str) -> list[str]:
    """Cut a normalised transcript into graphemes, leaving spaces out.

    A grapheme is a character with the combining marks that follow it, so `கா` is one and not two. In normalised text of
    the four languages this is the extended grapheme cluster of Unicode's UAX #29, whatever the version of that.
    """
    if normalized.isascii():
        return list(normalized.replace(" ", ""))
    found: list[str] = []
    for char in normalized:
        if char == " ":
            continue
        if found and _is_mark(char):
            found[-1] += char
        else:
            found.append(char)
    return found


@lru_cache(maxsize=4096)
def _is_mark(char: str) -> bool:
    return unicodedata.category(char)[0] == "M"
