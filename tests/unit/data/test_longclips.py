"""Long recordings are cut where nothing is lost: at word times, or where a pause and a sentence end agree."""

import json

import numpy as np
import pytest
import soundfile

from rojak.data.checks import Fault
from rojak.data.longclips import cut_long, find_pauses
from rojak.data.prepare import prepare
from rojak.data.settings import PrepareSettings
from rojak.data.shards import open_prepared
from rojak.records import SPLITS

RATE = 16_000


def voice(seconds, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.2 * np.sin(2 * np.pi * 150 * t) * (1.2 + np.sin(2 * np.pi * 4 * t)) / 2.2).astype(np.float32) + (
        1e-4 * rng.standard_normal(len(t))
    ).astype(np.float32)


def hiss(seconds, seed=9):
    return (1e-4 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def fields(text, **more):
    return {"audio_id": "call", "audio_filepath": "call.wav", "text": text, **more}


def timed(sentence, word_s=1.0, gap_s=0.05):
    return [
        {"word": word, "language": "ms", "start": i * (word_s + gap_s), "end": i * (word_s + gap_s) + word_s}
        for i, word in enumerate(sentence.split())
    ]


def test_word_times_decide():
    text = " ".join(f"kata{n}" for n in range(40))
    words = timed(text)
    for word in words[25:]:
        word["start"] += 2.0  # one wide gap after the 25th word
        word["end"] += 2.0
    pieces = cut_long(fields(text, words=words, language="mixed", mood="calm"), voice(45.0), 30.0)
    assert [piece.fields["text"].split() for piece in pieces] == [text.split()[:25], text.split()[25:]]
    first, second = pieces
    assert (first.start_s, first.end_s) == (0.0, pytest.approx(words[24]["end"] + 0.5))
    assert second.start_s == pytest.approx(words[25]["start"] - 0.5)
    assert second.fields["words"][0] == {"word": "kata25", "language": "ms", "start": 0.5, "end": pytest.approx(1.5)}
    assert second.fields["audio_id"] == f"call-{round(second.start_s * 1000):08d}"
    assert (second.fields["cut_from"], second.fields["cut_by"], second.fields["mood"]) == ("call", "words", "calm")
    assert "language" not in second.fields


def test_text_between_scripts_is_kept_as_written():
    text = "Saya nak, 水果很好! for YOU lah."
    words = [
        {"word": word, "start": start, "end": start + 5.0}
        for word, start in zip(["saya", "nak", "水果", "很好", "for", "you", "lah"], range(0, 42, 6), strict=True)
    ]
    pieces = cut_long(fields(text, words=words), voice(42.0), 20.0)
    assert "".join(piece.fields["text"].replace(" ", "") for piece in pieces) == text.replace(" ", "")
    assert all(piece.end_s - piece.start_s <= 20.0 for piece in pieces)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (timed("lain sekali", 20.0), "do not spell its text"),
        ([{"word": "satu", "start": 0.0, "end": 39.0}, {"word": "dua", "start": 39.1, "end": 40.0}], "no places"),
        ([{"word": "satu"}, {"word": "dua"}], "a pause and the end of a sentence"),
    ],
)
def test_what_cannot_be_cut_is_told(words, why):
    fault = cut_long(fields("satu dua", words=words), voice(40.0), 30.0)
    assert isinstance(fault, Fault) and fault.reason == "too_long"
    assert why in fault.detail


def test_pauses_are_found():
    sound = np.concatenate([hiss(0.6), voice(2.0), hiss(0.2), voice(2.0), hiss(0.8), voice(1.0)])
    pauses, loud = find_pauses(sound)
    assert np.round(pauses, 1).tolist() == [[0.0, 0.6], [4.8, 5.6]]
    assert loud.mean() == pytest.approx(5.0 / 6.6, abs=0.03)


def spoken(*syllables_and_seconds):
    """Sentences of so many syllables, spoken in so many seconds, with a pause of 0.6 s after each."""
    text = " ".join("la" + " ma" * (count - 1) + "." for count, _ in syllables_and_seconds)
    sound = [part for _, seconds in syllables_and_seconds for part in (voice(seconds), hiss(0.6))]
    return text, np.concatenate(sound)


def test_without_word_times_a_pause_and_a_sentence_end_decide():
    text, sound = spoken((60, 15.0), (50, 12.0), (64, 16.0))
    pieces = cut_long(fields(text, words=[{"word": "la", "language": "ms"}]), sound, 30.0)
    assert [piece.fields["text"].count(".") for piece in pieces] in ([1, 2], [2, 1])
    cut_s = pieces[0].end_s
    assert min(abs(cut_s - 15.3), abs(cut_s - 27.9)) < 0.1
    assert pieces[1].start_s == cut_s and pieces[1].fields["cut_by"] == "pauses"
    assert "words" not in pieces[1].fields


def test_a_pause_that_no_sentence_end_explains_is_not_cut():
    text, sound = spoken((60, 25.0), (60, 10.0))  # the reading rates disagree: 12.5 s of drift
    assert isinstance(cut_long(fields(text), sound, 30.0), Fault)


def test_prepare_cuts_and_counts(make_corpus, tmp_path):
    root = make_corpus(6)
    items = json.loads((root / "transcripts.json").read_text())
    text, sound = spoken((60, 15.0), (50, 12.0), (64, 16.0))
    soundfile.write(root / "audio" / "long.wav", sound, RATE)
    items["long"] = {"audio_filepath": "audio/long.wav", "text": text, "duration": len(sound) / RATE}
    soundfile.write(root / "audio" / "longer.wav", voice(50.0), RATE)
    items["longer"] = {"audio_filepath": "audio/longer.wav", "text": "satu dua " * 60}
    (root / "transcripts.json").write_text(json.dumps(items))

    def run(name, **more):
        settings = PrepareSettings(allow_bad=0.5, **more)
        return prepare(root, tmp_path / name, settings=settings, workers=0, count_tokens=lambda t: 6 * len(t.split()))

    assert run("whole").refused == {"too_many_tokens": 2}
    done = run("cut", split_long=True)
    assert done.refused == {"too_many_tokens": 1, "too_long": 1}  # 114 syllables in one piece are too many
    records = [r for split in SPLITS for r in open_prepared(tmp_path / "cut", split).records()]
    [piece] = [record for record in records if (record.model_extra or {}).get("cut_from")]
    assert piece.duration < 30 and piece.model_extra["cut_from"] == "long"
    assert run("lenient", split_long=True, max_tokens=1000).refused == {"too_long": 1}
    records = [r for split in SPLITS for r in open_prepared(tmp_path / "lenient", split).records()]
    pieces = [record for record in records if (record.model_extra or {}).get("cut_from")]
    assert len(pieces) == 2 and len({piece.split for piece in pieces}) == 1
    assert " ".join(piece.text for piece in sorted(pieces, key=lambda p: p.audio_id)) == text
