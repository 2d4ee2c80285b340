import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from rojak.text.normalize import normalize
from rojak.text.units import graphemes, words


@pytest.mark.parametrize(
    ("normalized", "expected"),
    [
        ("", []),
        ("saya nak kura-kura", ["saya", "nak", "kura-kura"]),
        ("nak beli 水果 for you lah", ["nak", "beli", "水", "果", "for", "you", "lah"]),
        ("நான் போறேன்", ["நான்", "போறேன்"]),
    ],
)
def test_words(normalized: str, expected: list[str]) -> None:
    assert words(normalized) == expected


@pytest.mark.parametrize(
    ("normalized", "expected"),
    [
        ("", []),
        ("don't lah", list("don'tlah")),
        ("கார் பூ", ["கா", "ர்", "பூ"]),
        ("水 果", ["水", "果"]),
        ("x\u0301y", ["x\u0301", "y"]),
    ],
)
def test_graphemes(normalized: str, expected: list[str]) -> None:
    assert graphemes(normalized) == expected


@given(st.text(alphabet="abc -'தமிழ்காகொூௌக்ஷ水果éñشُ"))
def test_graphemes_are_unicodes_extended_clusters(text: str) -> None:
    normalized = normalize(text)
    assert graphemes(normalized) == regex.findall(r"\X", normalized.replace(" ", ""))
