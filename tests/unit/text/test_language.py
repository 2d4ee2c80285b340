"""The language of each word: scripts, affixes, context, names, numbers, and the measures read off the tags."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rojak.text.language import (
    TaggedWord,
    code_mixing_index,
    code_switches,
    load_tagger,
    tag_lines,
    tag_words,
    utterance_language,
)
from rojak.text.normalize import normalize
from rojak.text.units import words

ROOT = Path(__file__).parents[3]


def tags(text: str) -> str:
    """Give the tags of a text as one string, such as `ms en particle`."""
    return " ".join(word.language for word in tag_words(text))


def tag_of(word: str, text: str) -> str:
    """Give the tag of a word in a text."""
    return next(tagged.language for tagged in tag_words(text) if tagged.word.lower() == word)


def test_the_sentence_of_the_readme() -> None:
    found = tag_words("Saya nak beli 水果 for you lah!")
    assert [word.word for word in found] == ["Saya", "nak", "beli", "水", "果", "for", "you", "lah"]
    assert [word.language for word in found] == ["ms", "ms", "ms", "zh", "zh", "en", "en", "particle"]
    assert all(0.5 <= word.confidence <= 1 for word in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我要去", "zh zh zh"),
        ("நான் வரேன்", "ta ta"),
        ("我要去mall", "zh zh zh en"),
        ("السلام", "other"),
        ("你好，நன்றி lah", "zh zh ta particle"),
        ("カラオケ", "other"),
        ("", ""),
        ("... !? 😀", ""),
    ],
)
def test_script_decides(text: str, expected: str) -> None:
    assert tags(text) == expected


@pytest.mark.parametrize(
    ("word", "malay", "english"),
    [
        ("main", "budak tu main bola", "what is the main reason"),
        ("air", "saya nak minum air", "there is no fresh air here"),
        ("jam", "pukul berapa jam sekarang", "we were stuck in the jam"),
        ("best", "cerita tu best gila", "she is my best friend"),
        ("bank", "bank tu dah tutup", "the bank was closed"),
        ("hotel", "hotel itu penuh", "our hotel was full"),
        ("fail", "simpan dalam fail merah", "I will fail this time"),
        ("can", "dia tak dapat can nak cakap", "can you help me"),
        ("pin", "pin baju dia jatuh", "I dropped the pin on the floor"),
    ],
)
def test_shared_forms_follow_their_context(word: str, malay: str, english: str) -> None:
    assert tag_of(word, malay) == "ms"
    assert tag_of(word, english) == "en"


@pytest.mark.parametrize("text", ["aku kena test esok", "dia cancel booking semalam", "tolong check stock tu"])
def test_english_words_inside_malay_stay_english(text: str) -> None:
    assert "en" in tags(text).split() and "ms" in tags(text).split()
    assert not {"test", "cancel", "booking", "check", "stock"} & {
        word.word for word in tag_words(text) if word.language != "en"
    }


def test_malay_words_inside_english_stay_malay() -> None:
    assert tags("I am so malas to go today") == "en en en ms en en en"
    assert tag_of("tapau", "can you tapau two packets for me") == "ms"


@pytest.mark.parametrize(
    "word",
    [
        "di-cancel",
        "meng-update-kan",
        "phone-nya",
        "dicancel",
        "mengupdatekan",
        "jalan-jalan",
        "jalan2",
        "kawan2nya",
        "berkebolehan",
        "memperbaharuinya",
        "ketidakadilan",
        "yg",
        "xnak",
        "sblh",
        "tmpt",
    ],
)
def test_malay_word_building_and_short_forms(word: str) -> None:
    assert [found.language for found in tag_words(word)] == ["ms"]


@pytest.mark.parametrize(
    ("word", "language"), [("boring-lah", "en"), ("okaylah", "en"), ("sedaplah", "ms"), ("sekolah", "ms")]
)
def test_a_particle_written_on_to_a_word_leaves_the_word_its_language(word: str, language: str) -> None:
    assert [found.language for found in tag_words(word)] == [language]


def test_lah_inside_a_word_is_no_particle() -> None:
    assert tags("sekolah kelapa bola masalah balance slash") == "ms ms ms ms en en"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ahmad pergi sekolah", "other ms ms"),
        ("siti nurhaliza menyanyi", "other other ms"),
        ("Encik Zubirman sudah balik", "ms other ms ms"),
        ("I met Tan Wei Ling yesterday", "en en other other other en"),
        ("saya duduk di kuala lumpur", "ms ms ms other other"),
        ("Faizal bin Abdullah hadir", "other other other ms"),
        ("buang dalam bin tu", "ms ms en ms"),
        ("bayar RM50 pada 3.30 petang", "ms other ms other ms"),
        ("@abu tengok www.rojak.my ni", "other ms other other other ms"),
        ("naik LRT ke kerja", "ms other ms ms"),
        ("He saw a Zorblat today", "en en en other en"),
    ],
)
def test_names_and_numbers_are_other(text: str, expected: str) -> None:
    assert tags(text) == expected


def test_capitals_tell_nothing_in_a_text_of_capitals() -> None:
    assert tags("SAYA NAK MAKAN NASI") == "ms ms ms ms"
    assert tags("Saya Nak Makan Nasi") == "ms ms ms ms"


def test_punctuation_ends_phrases() -> None:
    assert tag_of("what", "Can what, no need to ask.") == "particle"
    assert tag_of("what", "Can what? No need to ask.") == "particle"


@given(st.text(alphabet=st.sampled_from(list("abAZ 12 .,'-<>/|@#:!?“水果，தா்ு々\u200b\u0301é²İß\n")), max_size=30))
def test_there_is_one_tag_for_every_scoring_unit(text: str) -> None:
    units = words(normalize(text))
    assert [normalize(word.word) for word in tag_words(text)] == units
    assert len(tag_words(" ".join(units))) == len(units)


def test_tags_do_not_depend_on_what_was_tagged_before() -> None:
    text = "Wei, jom main bola kat padang lah"
    fresh = tag_words(text)
    for other in ("WEI", "Wei Ling main", "main reason", "padang"):
        tag_words(other)
    assert tag_words(text) == fresh


def test_lines_become_json_objects() -> None:
    rows = list(tag_lines(["Can lah\n", "\n", "好"]))
    assert json.loads(json.dumps(rows[0]))["words"][1] == {"word": "lah", "language": "particle", "confidence": 0.99}
    assert rows[0]["text"] == "Can lah"
    assert rows[1] == {"text": "", "words": []}
    assert [word["language"] for word in rows[2]["words"]] == ["zh"]


def tagged(languages: str) -> list[TaggedWord]:
    return [TaggedWord("w", language, 1.0) for language in languages.split()]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("languages", "expected"),
    [
        ("ms ms particle other", "ms"),
        ("ms en", "mixed"),
        ("ta other", "ta"),
        ("particle other", None),
        ("", None),
    ],
)
def test_utterance_language(languages: str, expected: str | None) -> None:
    assert utterance_language(tagged(languages)) == expected


@pytest.mark.parametrize(
    ("languages", "expected"),
    [
        ("ms ms ms ms", 0.0),
        ("ms ms en en", 50.0),
        ("ms ms ms en particle other", 25.0),
        ("ms en zh ta", 75.0),
        ("particle other", 0.0),
        ("", 0.0),
    ],
)
def test_code_mixing_index(languages: str, expected: float) -> None:
    assert code_mixing_index(tagged(languages)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("languages", "expected"),
    [
        ("ms ms ms", []),
        ("ms en en ms", [(1, 3, "en")]),
        ("ms ms ms en zh", [(3, 4, "en"), (4, 5, "zh")]),
        ("ms en other en particle ms ms", [(1, 4, "en")]),
        ("en ms ms", [(0, 1, "en")]),
        ("particle other", []),
        ("ms en", [(1, 2, "en")]),
    ],
)
def test_code_switches(languages: str, expected: list[tuple[int, int, str]]) -> None:
    found = [(switch.start_word, switch.end_word, switch.language) for switch in code_switches(tagged(languages))]
    assert found == expected


def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tagger_benchmark", ROOT / "benchmarks" / "tagger.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_accuracy_on_the_development_gold_does_not_fall() -> None:
    gold = benchmark().read_gold(ROOT / "tests" / "data" / "tagger_gold_dev.txt")
    right = [
        tag == found.language
        for sentence in gold
        for tag, found in zip(sentence.tags, tag_words(sentence.text), strict=True)
    ]
    assert len(gold) > 350
    assert sum(right) / len(right) > 0.995


def test_both_parts_of_the_gold_are_well_formed_and_share_no_sentence() -> None:
    read = benchmark().read_gold
    dev, report = (read(ROOT / "tests" / "data" / f"tagger_gold_{part}.txt") for part in ("dev", "report"))
    assert len(dev) + len(report) >= 400
    assert not {normalize(s.text) for s in dev} & {normalize(s.text) for s in report}


def test_the_tagger_is_built_once() -> None:
    assert load_tagger() is load_tagger()
