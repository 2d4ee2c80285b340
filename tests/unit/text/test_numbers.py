import pytest

from rojak.text.numbers import spell_numbers


@pytest.mark.parametrize(
    ("language", "number", "spelt"),
    [
        ("ms", "0", "kosong"),
        ("ms", "7", "tujuh"),
        ("ms", "10", "sepuluh"),
        ("ms", "11", "sebelas"),
        ("ms", "15", "lima belas"),
        ("ms", "23", "dua puluh tiga"),
        ("ms", "110", "seratus sepuluh"),
        ("ms", "1111", "seribu seratus sebelas"),
        ("ms", "2024", "dua ribu dua puluh empat"),
        ("ms", "15000", "lima belas ribu"),
        ("ms", "1000001", "satu juta satu"),
        ("ms", "3.30", "tiga perpuluhan tiga kosong"),
        ("ms", "0123", "kosong satu dua tiga"),
        ("ms", "60123456789", "enam kosong satu dua tiga empat lima enam tujuh lapan sembilan"),
        ("en", "0", "zero"),
        ("en", "13", "thirteen"),
        ("en", "40", "forty"),
        ("en", "99", "ninety nine"),
        ("en", "105", "one hundred and five"),
        ("en", "1200", "one thousand two hundred"),
        ("en", "1000023", "one million and twenty three"),
        ("en", "2.5", "two point five"),
        ("zh", "10", "十"),
        ("zh", "12", "十二"),
        ("zh", "23", "二十三"),
        ("zh", "105", "一百零五"),
        ("zh", "110", "一百一十"),
        ("zh", "212", "两百一十二"),
        ("zh", "2024", "两千零二十四"),
        ("zh", "20000", "两万"),
        ("zh", "120003", "十二万零三"),
        ("zh", "0", "零"),
        ("ta", "5", "ஐந்து"),
        ("ta", "14", "பதினான்கு"),
        ("ta", "20", "இருபது"),
        ("ta", "21", "இருபத்து ஒன்று"),
        ("ta", "150", "நூற்று ஐம்பது"),
        ("ta", "1000", "ஆயிரம்"),
        ("ta", "2024", "இரண்டாயிரத்து இருபத்து நான்கு"),
        ("ta", "10000", "ஒன்று பூஜ்ஜியம் பூஜ்ஜியம் பூஜ்ஜியம் பூஜ்ஜியம்"),
        ("mixed", "2", "dua"),
        (None, "2", "dua"),
    ],
)
def test_spelling(language: str | None, number: str, spelt: str) -> None:
    assert spell_numbers(f"a {number} b", language) == f"a {spelt} b"


def test_numbers_inside_words_stay() -> None:
    assert spell_numbers("covid19 ke-2 mp3 1.2.3", "ms") == "covid19 ke-2 mp3 1.2.3"
