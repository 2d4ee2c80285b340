"""Spliced utterances: text, words, times and sound follow, and only real phrases of two languages are used."""

import numpy as np
import pytest

from rojak.data.noise import speech_power
from rojak.data.splice import OVERLAP_S, find_phrases, plan_splices, render_splice
from rojak.errors import TrainingError
from rojak.records import LANGUAGES, Utterance

RATE = 16_000
WORD_S = 0.5
GAP_S = 0.1


def utterance(number, text, words, speaker="s", **more):
    timed = [
        {
            "word": w,
            "language": language,
            "start": 0.2 + i * (WORD_S + GAP_S),
            "end": 0.2 + i * (WORD_S + GAP_S) + WORD_S,
        }
        for i, (w, language) in enumerate(words)
    ]
    duration = timed[-1]["end"] + 0.2
    return Utterance.model_validate(
        {"audio_id": f"u{number}", "audio_filepath": "x", "text": text, "duration": duration, "speaker_id": speaker,
         "words": timed, "split": "train", **more}
    )  # fmt: skip


def tagged(text, language):
    return [(word, language) for word in text.split()]


MALAY = utterance(0, "Saya nak pergi ke pasar lah!", [*tagged("saya nak pergi ke pasar", "ms"), ("lah", "particle")])
ENGLISH = utterance(1, "Can you check this, please?", tagged("can you check this please", "en"))
CHINESE = utterance(2, "我们一起吃饭。", [("我们", "zh"), ("一起", "zh"), ("吃饭", "zh")], speaker="t")
MIXED = utterance(3, "tolong check 水果", [("tolong", "ms"), ("check", "en"), ("水果", "zh")], speaker="t")
EVERYTHING = [MALAY, ENGLISH, CHINESE, MIXED]


def sound(index):
    """Every word is a tone of its own pitch at its place, louder in each further utterance; silence between."""
    made = np.zeros(round(EVERYTHING[index].duration * RATE), np.float32)
    for number, word in enumerate(EVERYTHING[index].words):
        first, last = round(word.start * RATE), round(word.end * RATE)
        made[first:last] = (
            0.05 * (index + 1) * np.sin(2 * np.pi * pitch(index, number) * np.arange(last - first) / RATE)
        )
    return made


def pitch(index, number):
    return 300 + 400 * index + 50 * number


def test_phrases_are_stretches_of_one_language():
    (phrase,) = find_phrases(MALAY, 0)
    assert (phrase.first, phrase.last, phrase.language) == (0, 6, "ms")
    assert phrase.start_s == pytest.approx(0.16) and phrase.end_s == pytest.approx(MALAY.words[-1].end + 0.04)
    assert [(p.first, p.last, p.language) for p in find_phrases(MIXED, 3)] == [(0, 1, "ms"), (1, 2, "en"), (2, 3, "zh")]
    untimed = MALAY.model_copy(update={"words": tuple(w.model_copy(update={"end": None}) for w in MALAY.words)})
    assert find_phrases(untimed, 0) == []
    assert find_phrases(MALAY.model_copy(update={"text": "lain sekali"}), 0) == []


def test_records_follow_the_sound():
    splices = plan_splices(EVERYTHING, range(4), 60, seed=3, name="made")
    assert len({splice.record.audio_id for splice in splices}) == 60
    for splice in splices:
        record = splice.record
        heard = render_splice(splice, sound)
        assert len(heard) == round(record.duration * RATE)
        spoken = [word.language for word in record.words if word.language in LANGUAGES]
        assert len(set(spoken)) >= 2 and record.language == "mixed"
        assert record.code_switches and record.model_extra["cmi"] > 0
        assert len(record.model_extra["spliced_from"]) <= len(splice.phrases) <= 3
        letters = "".join(word.word for word in record.words).lower()
        assert "".join(c for c in record.text.lower() if c.isalnum()) == letters
        places = [(phrase.index, number) for phrase in splice.phrases for number in range(phrase.first, phrase.last)]
        for word, (index, number) in zip(record.words, places, strict=True):
            assert 0 <= word.start < word.end <= record.duration + 1e-3
            assert word.end - word.start == pytest.approx(WORD_S, abs=1e-3)
            middle = heard[round((word.start + 0.05) * RATE) : round((word.end - 0.05) * RATE)]
            hertz = np.fft.rfftfreq(len(middle), 1 / RATE)[np.argmax(np.abs(np.fft.rfft(middle)))]
            assert hertz == pytest.approx(pitch(index, number), abs=4), "the word is not where its record says"


def test_loudness_is_matched_and_joins_do_not_click():
    for splice in plan_splices(EVERYTHING, range(4), 20, seed=5, name="made"):
        heard = render_splice(splice, sound)
        powers = [speech_power(heard[round(w.start * RATE) : round(w.end * RATE)]) for w in splice.record.words]
        assert 10 * np.log10(max(powers) / min(powers)) < 1.0
        at = 0.0
        for phrase in splice.phrases[:-1]:
            at += phrase.duration_s - OVERLAP_S
            join = heard[round(at * RATE) - 40 : round((at + OVERLAP_S) * RATE) + 40]
            assert np.abs(np.diff(join)).max() < 2 * np.abs(np.diff(heard)).max()
            assert np.abs(join).max() <= np.abs(heard).max()


def test_the_speaker_is_kept_where_he_speaks_both():
    alone = plan_splices(EVERYTHING, [0, 1], 10, seed=1, name="made")
    assert {splice.record.speaker_id for splice in alone} == {"s"}
    strangers = plan_splices([MALAY, CHINESE], [0, 1], 10, seed=1, name="made")
    assert {splice.record.speaker_id for splice in strangers} == {"s+t", "t+s"}


def test_of_strangers_the_likest_is_taken():
    like = ENGLISH.model_copy(update={"speaker_id": "a", "snr_db": 30.0, "accent": "northern"})
    unlike = ENGLISH.model_copy(update={"audio_id": "u9", "speaker_id": "b", "snr_db": 5.0, "accent": "scottish"})
    host = MALAY.model_copy(update={"snr_db": 29.0, "accent": "northern"})
    splices = plan_splices([host, like, unlike], range(3), 40, seed=1, name="made")
    guests = [s.record.model_extra["spliced_from"][1] for s in splices if s.phrases[0].index == 0]
    assert guests and set(guests) == {"u1"}


def test_the_same_seed_gives_the_same_and_another_does_not():
    def texts(seed):
        return [splice.record for splice in plan_splices(EVERYTHING, range(4), 20, seed=seed, name="made")]

    assert texts(1) == texts(1) != texts(2)


def test_one_language_cannot_be_spliced():
    with pytest.raises(TrainingError, match="hold phrases with word times in ms; at least two"):
        plan_splices([MALAY], [0], 5, seed=1, name="made")
