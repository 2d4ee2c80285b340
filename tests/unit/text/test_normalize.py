import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rojak.text.normalize import TextOptions, normalize, normalizer_name, short_forms

EXAMPLES = [
    # brackets lose themselves, not the word
    ("Saya [ah] tak tahu", "saya ah tak tahu"),
    ("(er) macam mana", "er macam mana"),
    ("makan #nasi-lemak# sedap", "makan nasi-lemak sedap"),
    ("!huh! betul ke", "huh betul ke"),
    ("{uh} <FIL/> ya <UNK> <|ms|><|0.00|>ok", "uh ya ok"),
    # Latin
    ("Don't LAH!", "don't lah"),
    ("don’t ‘quote’ rock 'n' roll goin'", "don't quote rock n roll goin"),
    ("Kura-kura, labi-labi - dan - lain-", "kura-kura labi-labi dan lain"),
    ("kura\u2011kura kura–kura kura—kura", "kura-kura kura-kura kura kura"),
    ("e-mel/SMS", "e-mel sms"),
    ("Café naïve", "café naïve"),
    ("Cafe\u0301", "café"),
    ("so\u00adft hy\u200bphen", "soft hy phen"),
    ("x_y @ali R&B 50%", "x y ali r b 50"),
    ("", ""),
    (" \t\n…?! ", ""),
    # reduplication
    ("jalan2", "jalan-jalan"),
    ("Buku2nya, kawan2 main2lah!", "buku-bukunya kawan-kawan main-mainlah"),
    ("jalan²", "jalan-jalan"),
    ("mp3 co2 h2o covid19 km2 jalan22 rm2", "mp3 co2 h2o covid19 km2 jalan22 rm2"),
    # digits stay
    ("RM1,000.50 pada 3.30", "rm1000.50 pada 3.30"),
    ("1,2,3 ada 5.", "1 2 3 ada 5"),
    ("2024年12月", "2024 年 12 月"),
    # Tamil: vowel signs and virama stay
    ("நான் கடைக்குப் போகிறேன்.", "நான் கடைக்குப் போகிறேன்"),
    ("கொ", "கொ"),
    ("க\u0bc6\u0bbe", "க\u0bca"),  # the two halves of the vowel sign o are composed
    ("கா\u200cர் busல", "கார் busல"),
    # Mandarin
    ("我要去Mid Valley买水果，好吗？", "我要去 mid valley 买水果 好吗"),
    ("「你好」、世界。", "你好 世界"),
    ("中-英 e-消费 人々〇", "中 英 e 消费 人々〇"),
    ("漢字", "漢字"),
    # full-width forms
    ("Ｗｈａｔｓ１２３！　ｏｋ", "whats123 ok"),
    ("ｄｏｎ＇ｔ", "don't"),
    # marks without a letter, emoji, Jawi
    ("ok 👍🏽 ❤️ 1️⃣ \u0301 -\u0bbeb", "ok 1 b"),
    ("\ud800 سيلت", "سيلت"),
]


@pytest.mark.parametrize(("raw", "expected"), EXAMPLES)
def test_examples(raw: str, expected: str) -> None:
    assert normalize(raw) == expected


MIXED_TEXT = st.text(
    alphabet=st.one_of(
        st.sampled_from(
            "abcijkn AJ0123,.'-’–²[]<>/|#!?_ \u0b95\u0bbe\u0bcd\u0bc6水果漢々，。\u200d\u200b\u0301\ufe0fıİΣß"
        ),
        st.characters(),
    )
)


@settings(max_examples=400, deadline=None)
@given(MIXED_TEXT, st.sampled_from([TextOptions(), TextOptions(short_forms=True, numbers=True, simplified=True)]))
def test_idempotent_and_clean(text: str, options: TextOptions) -> None:
    once = normalize(text, options, "en")
    assert normalize(once, options, "en") == once
    assert once == unicodedata.normalize("NFC", once) == " ".join(once.split())
    for char in once:
        assert unicodedata.category(char)[0] in "LMN" or char in " '-."


def test_short_forms_are_a_second_pass() -> None:
    assert normalize("Yg x tahu") == "yg x tahu"
    assert normalize("Yg x tahu", TextOptions(short_forms=True)) == "yang tak tahu"


def test_no_short_form_stands_for_another_one() -> None:
    table = short_forms()
    assert len(table) > 40
    for short, full in table.items():
        assert normalize(short) == short
        assert normalize(full) == full
        assert not set(full.split()) & set(table), short


def test_numbers_are_left_as_they_are_but_for_the_number_pass() -> None:
    assert normalize("Ada 1,023 orang") == "ada 1023 orang"
    assert normalize("Ada 1,023 orang", TextOptions(numbers=True), "ms") == "ada seribu dua puluh tiga orang"
    assert normalize("买3斤", TextOptions(numbers=True), "zh") == "买 三 斤"


def test_simplified_folds_characters() -> None:
    assert normalize("漢字頭髮", TextOptions(simplified=True)) == "汉字头发"


def test_name_tells_the_passes() -> None:
    assert normalizer_name() == "rojak-1"
    assert normalizer_name(TextOptions(simplified=True, short_forms=True)) == "rojak-1+short_forms+simplified"
