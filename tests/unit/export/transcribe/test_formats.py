import csv
import io
import json
import re

import pytest

from rojak.export.transcribe.formats import cues, to_json, to_srt, to_tsv, to_txt, to_vtt
from rojak.export.transcribe.transcript import Segment, Transcript
from rojak.records import HeardWord, WordLanguage

CLOCK = r"(\d\d):(\d\d):(\d\d)[.,](\d\d\d)"


def seconds(clock: tuple[str, ...]) -> float:
    hours, minutes, whole, ms = map(int, clock)
    return hours * 3600 + minutes * 60 + whole + ms / 1000


def parse_subtitles(text: str) -> list[tuple[float, float, str]]:
    found = []
    for block in text.strip().split("\n\n"):
        lines = block.split("\n")
        if lines[0] == "WEBVTT":
            continue
        at = next(i for i, line in enumerate(lines) if "-->" in line)
        times = re.fullmatch(f"{CLOCK} --> {CLOCK}", lines[at])
        assert times, lines[at]
        groups = times.groups()
        found.append((seconds(groups[:4]), seconds(groups[4:]), " ".join(lines[at + 1 :])))
    return found


def heard(word: str, start: float, end: float, language: WordLanguage, restored: bool = False) -> HeardWord:
    return HeardWord(word=word, start=start, end=end, language=language, confidence=0.9, restored=restored)


def words(text: str, start: float, step: float, language: WordLanguage = "ms") -> tuple[HeardWord, ...]:
    return tuple(heard(word, start + i * step, start + (i + 1) * step, language) for i, word in enumerate(text.split()))


PLAIN = Transcript(
    "rapat.wav",
    3725.5,
    "runs/first",
    "mixed",
    (
        Segment(0.5, 4.25, "Can you tolong check <ini> & itu lah", "mixed", 0.8125, ()),
        Segment(3700.0004, 3712.3456, "好 的\tநன்றி", "mixed", None, ()),
    ),
)


def test_text_has_a_line_a_segment() -> None:
    assert to_txt(PLAIN).splitlines() == ["Can you tolong check <ini> & itu lah", "好 的 நன்றி"]


def test_json_gives_everything_back() -> None:
    timed = Segment(
        1.0,
        3.0,
        "boleh lah",
        "ms",
        0.5,
        (*words("boleh", 1.0, 0.5), heard("lah", 1.5, 1.8, "particle", restored=True)),
    )
    document = json.loads(to_json(Transcript("a.wav", 9.0, "m", "ms", (timed,))))
    assert document["schema"] == "rojak-transcript-1"
    assert document["times"] == "words"
    assert document["duration"] == 9.0
    segment = document["segments"][0]
    assert (segment["start"], segment["end"], segment["language"], segment["confidence"]) == (1.0, 3.0, "ms", 0.5)
    assert segment["words"][0] == {"word": "boleh", "start": 1.0, "end": 1.5, "language": "ms", "confidence": 0.9}
    assert segment["words"][1]["restored"] is True
    assert json.loads(to_json(PLAIN))["times"] == "segments"


@pytest.mark.parametrize("write", [to_srt, to_vtt])
def test_subtitles_are_read_back(write: object) -> None:
    text = write(PLAIN)  # type: ignore[operator]
    found = parse_subtitles(text)
    assert [(start, end) for start, end, _ in found] == [(0.5, 4.25), (3700.0, 3712.346)]
    if write is to_vtt:
        assert text.startswith("WEBVTT\n\n")
        assert "&lt;ini&gt; &amp; itu" in found[0][2]
    else:
        assert text.startswith("1\n00:00:00,500 --> 00:00:04,250\n")
        assert "\n\n2\n01:01:40,000" in text
        assert found[0][2] == "Can you tolong check <ini> & itu lah"


def test_tsv_is_read_back() -> None:
    rows = list(csv.DictReader(io.StringIO(to_tsv(PLAIN)), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert [(int(row["start"]), int(row["end"])) for row in rows] == [(500, 4250), (3700000, 3712346)]
    assert rows[1]["text"] == "好 的 நன்றி"


def test_words_with_times_make_short_subtitles_that_hold_every_word_once() -> None:
    spoken = words("satu dua tiga empat lima enam tujuh lapan sembilan sepuluh " * 4, 10.0, 0.4)
    later = words("akhir sekali", 40.0, 0.4)
    segment = Segment(10.0, 41.0, "…", "ms", 0.9, (*spoken, *later))
    found = list(cues(Transcript("a", 50.0, "m", "ms", (segment,))))
    assert " ".join(text for _, _, text in found).split() == [word.word for word in (*spoken, *later)]
    assert all(end - start <= 7.0 + 1e-6 for start, end, _ in found)
    assert all(len(text) <= 84 for _, _, text in found)
    assert found[-1] == (40.0, pytest.approx(40.8), "akhir sekali")
    lines = [
        line
        for block in to_srt(Transcript("a", 50.0, "m", "ms", (segment,))).split("\n\n")
        for line in block.split("\n")[2:]
    ]
    assert max(map(len, lines)) <= 42


def test_han_characters_are_joined_without_spaces_and_count_double() -> None:
    spoken = tuple(heard(c, i * 0.1, i * 0.1 + 0.1, "zh") for i, c in enumerate("今天我们去吃饭好不好" * 5))
    found = list(cues(Transcript("a", 9.0, "m", "zh", (Segment(0, 5, "…", "zh", 0.9, spoken),))))
    assert "".join(text for _, _, text in found) == "今天我们去吃饭好不好" * 5
    assert len(found) == 2


def test_silence_gives_valid_empty_files() -> None:
    silent = Transcript("a.wav", 5.0, "m", None, ())
    assert to_txt(silent) == to_srt(silent) == ""
    assert to_vtt(silent) == "WEBVTT\n"
    assert to_tsv(silent) == "start\tend\ttext\n"
    assert json.loads(to_json(silent))["segments"] == []
