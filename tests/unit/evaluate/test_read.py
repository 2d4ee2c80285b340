from pathlib import Path

import pytest

from rojak.errors import InputError, ManifestError
from rojak.evaluate.prediction import MAX_CHARACTERS
from rojak.evaluate.read import read_predictions

GOOD = '{"audio_id": "a", "reference": "saya", "hypothesis": "saya"}\n'


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_jsonl_with_words_and_other_fields(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "p.jsonl",
        "\ufeff"
        + '{"audio_id": 7, "reference": "saya\u2028pergi", "hypothesis": "", "gender": "f",'
        + ' "words": [{"word": "saya", "language": "ms"}, {"word": "pergi", "language": "ms"}]}\n\n'
        + GOOD,
    )
    first, second = read_predictions(path)
    assert (first.audio_id, first.hypothesis, second.audio_id) == ("7", "", "a")
    assert first.words is not None
    assert first.words[1].language == "ms"
    assert first.model_extra == {"gender": "f"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "p.csv",
            "audio_id,reference,hypothesis,duration,speaker_id,words\r\n"
            'a,"saya, ""pergi""",saya pergi,2.5,,"[{""word"": ""saya"", ""language"": ""ms""}]"\r\n',
        ),
        (
            "p.tsv",
            "audio_id\treference\thypothesis\tduration\tspeaker_id\twords\n"
            'a\tsaya, "pergi"\tsaya pergi\t2.5\t\t[{"word": "saya", "language": "ms"}]\n',
        ),
    ],
)
def test_tables(tmp_path: Path, name: str, content: str) -> None:
    [row] = read_predictions(write(tmp_path, name, content))
    assert row.reference == 'saya, "pergi"'
    assert row.duration == 2.5
    assert row.speaker_id is None
    assert row.words is not None
    assert row.words[0].word == "saya"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.jsonl", GOOD + '{"audio_id": "b", "reference": "x"}', r"line 2: hypothesis is missing; a row needs"),
        ("p.jsonl", GOOD + '{"audio_id": "b" "c"}', r"line 2, column 18: not valid JSON"),
        ("p.jsonl", "[1, 2]", r"line 1: a line must be a JSON object"),
        ("p.jsonl", "[" * 100_000, r"line 1: the JSON is nested too deeply"),
        ("p.jsonl", GOOD + GOOD, r"line 2: audio_id a stands at .*line 1 already"),
        (
            "p.jsonl",
            '{"audio_id": "b", "reference": null, "hypothesis": "x"}',
            r"line 1: reference is null; give a text",
        ),
        ("p.jsonl", '{"audio_id": "b", "reference": " ", "hypothesis": "x"}', r"line 1: the reference of b is empty"),
        ("p.jsonl", GOOD[:-2] + ', "duration": NaN}', r"line 1: duration"),
        ("p.jsonl", GOOD[:-2] + ', "added_snr_db": NaN}', r"line 1: added_snr_db: .*finite"),
        ("p.jsonl", '{"audio_id": "b", "reference": "x", "hypothesis": "\\ud800"}', r"line 1: hypothesis: .*unicode"),
        ("p.jsonl", GOOD[:-2] + ', "words": [{"word": "x", "language": "fr"}]}', r"line 1: words.0.language"),
        ("p.jsonl", b'{"audio_id": "a"}\n{"audio_id": "\xff"}', r"line 2: byte 0xff is not UTF-8"),
        ("p.jsonl", "\n", r"holds no predictions"),
        ("p.csv", "", r"header has no column audio_id; it holds nothing"),
        ("p.csv", "id,reference\n", r"header has no column audio_id; it holds id, reference"),
        ("p.csv", "audio_id,reference,reference\n", r"header names a column twice"),
        ("p.csv", "audio_id,reference\na,b\n", r"line 2: hypothesis is missing"),
        ("p.csv", "audio_id,reference,hypothesis\na,b\n", r"line 2: 2 fields, but the header names 3"),
        ("p.csv", 'audio_id,reference,hypothesis\na,b,"c\n', r"line 2: not a readable table"),
        ("p.csv", "audio_id,reference,hypothesis,words\na,b,c,saya\n", r"line 2: words must hold a JSON list"),
        ("p.csv", "audio_id,reference,hypothesis,duration\na,b,c,long\n", r"line 2: duration"),
        ("p.txt", "x", r"ends in .txt; scores are read from .jsonl, .csv or .tsv"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_predictions(write(tmp_path, name, content))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_ten_million_characters_are_refused_quickly(tmp_path: Path) -> None:
    row = '{"audio_id": "a", "reference": "x", "hypothesis": "' + "lah " * 2_500_000 + '"}'
    for path in (
        write(tmp_path, "p.jsonl", row),
        write(tmp_path, "p.csv", "audio_id,reference,hypothesis\na,x," + "lah " * MAX_CHARACTERS),
    ):
        with pytest.raises(ManifestError, match=r"line [12]: hypothesis has .*,000 characters, at most 200,000"):
            read_predictions(path)
    with pytest.raises(ManifestError, match=r"field larger than field limit"):
        read_predictions(write(tmp_path, "p.csv", "audio_id,reference,hypothesis\na,x," + "lah " * 2_500_000))


def test_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.jsonl: it does not exist"):
        read_predictions(tmp_path / "none.jsonl")


def test_empty_references_on_request(tmp_path: Path) -> None:
    path = write(tmp_path, "p.jsonl", '{"audio_id": "b", "reference": "", "hypothesis": "x"}')
    assert read_predictions(path, allow_empty=True)[0].reference == ""


def test_references_from_another_file(tmp_path: Path) -> None:
    hypotheses = write(tmp_path, "h.csv", "audio_id,hypothesis\nb,dua\na,satu\n")
    references = write(
        tmp_path,
        "r.jsonl",
        '{"audio_id": "a", "text": "satu", "speaker_id": "s1"}\n{"audio_id": "b", "reference": "dua"}\n',
    )
    rows = read_predictions(hypotheses, references)
    assert [(row.audio_id, row.reference, row.hypothesis) for row in rows] == [
        ("b", "dua", "dua"),
        ("a", "satu", "satu"),
    ]
    assert rows[1].speaker_id == "s1"


def test_ids_that_do_not_match(tmp_path: Path) -> None:
    hypotheses = write(tmp_path, "h.jsonl", "".join(f'{{"audio_id": "h{i}", "hypothesis": "x"}}\n' for i in range(5)))
    references = write(tmp_path, "r.jsonl", '{"audio_id": "h0", "text": "x"}\n{"audio_id": "r", "text": "x"}\n')
    with pytest.raises(ManifestError, match=r"4 only in .*h\.jsonl \(h1, h2, h3 …\) and 1 only in .*r\.jsonl \(r\)"):
        read_predictions(hypotheses, references)


def test_a_reference_that_stands_twice_is_told(tmp_path: Path) -> None:
    hypotheses = write(tmp_path, "h.jsonl", '{"audio_id": "a", "hypothesis": "x"}\n')
    references = write(tmp_path, "r.jsonl", '{"audio_id": "a", "text": "x"}\n' * 2)
    with pytest.raises(ManifestError, match=r"line 2: audio_id a stands before already"):
        read_predictions(hypotheses, references)
