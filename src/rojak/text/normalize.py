"""The normaliser: what is done to a transcript before its words are counted.

Reads and writes strings. `normalize` is idempotent, has a version (`VERSION`, printed in every result) and is fixed by
the examples in `tests/unit/text/test_normalize.py`. Unlike Whisper's own it keeps combining marks (Tamil vowel signs
are marks), keeps hyphens and apostrophes inside words, and keeps the words that stand in brackets.

The output holds letters, marks, digits, single spaces, `'` and `-` inside words and `.` between digits, nothing else.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

VERSION = "rojak-1"
"""Name of the rules below. Any change that alters an output needs a new name."""

HAN = "\u2e80-\u2fdf\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Han characters, as the inside of a regular expression's bracket."""

_LETTER = rf"[^\s'.,\-{HAN}]"  # After `_CHARACTERS` only letters, marks, digits, space and ' . , - are left.

_TAG = re.compile(r"<[/|]?[A-Za-z0-9][^<>]{0,40}>")  # <UNK>, <FIL/>, <|ms|>, <|0.00|>: mark-up, not speech
_ORPHAN_MARK = re.compile(r"(?<![^\s'.,\-])[^\w\s'.,\-]+")  # Here only marks are neither \w nor in the bracket.
_HAN_MARK = re.compile(rf"(?<=[{HAN}])[^\w\s'.,\-]+")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_FREE_POINT = re.compile(r"(?<!\d)\.|\.(?!\d)|,")
_FREE_JOINER = re.compile(rf"(?<!{_LETTER})['-]|['-](?!{_LETTER})")
_HAN_EDGE = re.compile(rf"(?<=[{HAN}])(?=[^\s{HAN}])|(?<=[^\s{HAN}])(?=[{HAN}])")
_DOUBLED = re.compile(r"(?<!\S)(?=[a-z]*[aeiou])([a-z]{3,})[2²](nya|kan|an|i|ku|mu|lah|kah)?(?!\S)")


@dataclass(frozen=True, slots=True)
class TextOptions:
    """The optional passes of the normaliser, all off by default; each one switched on shows in `normalizer_name`.

    Attributes:
        short_forms: Write short forms of chat spelling out (yg → yang, x → tak; `resources/short_forms.tsv`).
        numbers: Spell digits in the utterance's language, see `text/numbers.py`.
        simplified: Fold traditional Han characters to simplified ones, character by character.
    """

    short_forms: bool = False
    numbers: bool = False
    simplified: bool = False


PLAIN = TextOptions()


def normalizer_name(options: TextOptions = PLAIN) -> str:
    """Give the name that every result carries, such as `rojak-1` or `rojak-1+short_forms+simplified`."""
    return "+".join([VERSION, *(name for name in TextOptions.__slots__ if getattr(options, name))])


def normalize(text: str, options: TextOptions = PLAIN, language: str | None = None) -> str:
    """Bring a transcript into the form whose words are counted.

    In this order: full-width forms, curly apostrophes and Unicode hyphens become ASCII; mark-up in angle brackets goes;
    lower case; every character that is no letter, mark or digit becomes a space (so brackets, `#` and `!` leave the
    word they enclose), but `'` and `-` stay between letters, `.` stays between digits and the comma of `1,000` closes
    up; NFC; spaces stand between Han and other writing; `jalan2` becomes `jalan-jalan`; then the optional passes.

    Args:
        text: Any string; unpaired surrogates and control characters are taken as spaces.
        options: The optional passes.
        language: ms, en, zh or ta, in which the number pass spells; anything else is taken as ms.
    """
    text = text.translate(_FOLDS)
    if "<" in text:
        text = _TAG.sub(" ", text)
    text = unicodedata.normalize("NFC", text.lower()).translate(_CHARACTERS)
    if not text.isascii():
        text = unicodedata.normalize("NFC", _HAN_MARK.sub("", _ORPHAN_MARK.sub("", text)))
    text = _FREE_POINT.sub(" ", _THOUSANDS.sub("", text))
    text = _FREE_JOINER.sub(" ", text)
    if not text.isascii():
        text = _HAN_EDGE.sub(" ", text)
    text = " ".join(_DOUBLED.sub(r"\1-\1\2", text).split())
    return _optional_passes(text, options, language) if options != PLAIN else text


def _optional_passes(text: str, options: TextOptions, language: str | None) -> str:
    if options.simplified:
        text = text.translate(_simplified_characters())
    if options.short_forms:
        table = short_forms()
        text = " ".join(table.get(word, word) for word in text.split())
    if options.numbers:
        from rojak.text.numbers import spell_numbers

        text = normalize(spell_numbers(text, language))
    return text


@cache
def short_forms() -> dict[str, str]:
    """Read the table of short forms and what they stand for; no value is itself a key, so the pass is idempotent."""
    lines = files("rojak.text").joinpath("resources/short_forms.tsv").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("\t", 1) for line in lines if line and not line.startswith("#"))
    return dict(pairs)


@cache
def _simplified_characters() -> dict[int, int | str]:
    """Read OpenCC's character table, which wordfreq carries; `wordfreq.chinese` itself would need jieba."""
    import gzip

    import msgpack  # type: ignore[import-untyped]
    from wordfreq.util import data_path

    packed = gzip.decompress(data_path("_chinese_mapping.msgpack.gz").read_bytes())
    table: dict[int, int | str] = msgpack.unpackb(packed, strict_map_key=False)
    return table


class _Characters(dict[int, int | str | None]):
    """For `str.translate`: letters, marks and digits stay, format characters vanish, everything else is a space."""

    def __missing__(self, code: int) -> int | str | None:
        category = unicodedata.category(chr(code))
        target: int | str | None = " "
        if category[0] in "LN" or chr(code) in "'-.,":
            target = code
        elif category in ("Mn", "Mc") and not 0xFE00 <= code <= 0xFE0F and not 0xE0100 <= code <= 0xE01EF:
            target = code  # Variation selectors only choose a glyph.
        elif (category == "Cf" and code != 0x200B) or category[0] == "M":
            target = None  # A zero-width space parts words; joiners, soft hyphens and enclosing marks do not.
        self[code] = target
        return target


_CHARACTERS = _Characters()

_FOLDS: dict[int, int | str] = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
    **dict.fromkeys(map(ord, "\u2018\u2019\u201b\u2032\u02bc\u02b9\u02bb\u0060\u00b4"), "'"),
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212"), "-"),
    0x034F: "",  # Combining grapheme joiner: a mark without a shape.
}
_FOLDS |= {0xFF07: "'", 0xFF40: "'"}
