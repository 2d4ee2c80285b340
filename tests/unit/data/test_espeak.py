import subprocess
import sys

import numpy as np
import pytest

from rojak.data.espeak import SAMPLE_RATE, Speaker, Voice
from rojak.errors import RojakError

VOICE = Voice("m3", 50, 50, 150)
SENTENCES = {
    "ms": ["saya", "nak", "pergi", "ke", "pasar", "malam"],
    "en": ["I", "want", "to", "buy", "vegetables", "tomorrow"],
    "cmn": ["我", "想", "去", "市场", "买", "水果"],
    "ta": ["நான்", "இன்று", "சந்தைக்கு", "போகிறேன்"],
}


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    return Speaker()


@pytest.mark.parametrize("language", SENTENCES)
def test_every_word_gets_its_own_time_of_plausible_length(speaker, language):
    words = SENTENCES[language]
    spoken = speaker.speak(words, language, VOICE)
    edges = np.array([*spoken.starts, spoken.end]) / SAMPLE_RATE
    assert len(spoken.starts) == len(words)
    assert spoken.starts[0] == 0
    assert spoken.end == len(spoken.samples)
    assert (np.diff(edges) > 0.05).all()
    assert (np.diff(edges) < 1.2).all(), "spelled letter by letter?"


def test_a_word_time_cuts_out_that_word(speaker):
    alone = speaker.speak(["sekolah"], "ms", VOICE)
    spoken = speaker.speak(["saya", "sekolah", "makan"], "ms", VOICE)
    length = spoken.starts[2] - spoken.starts[1]
    assert length == pytest.approx(alone.end, rel=0.35)
    longest = max(zip(spoken.starts, [*spoken.starts[1:], spoken.end], strict=True), key=lambda edge: edge[1] - edge[0])
    assert longest[0] == spoken.starts[1]


def test_mandarin_reads_characters_not_their_names(speaker):
    short = speaker.speak(["水果"], "cmn", VOICE)
    assert short.end / SAMPLE_RATE < 1.0


def test_words_that_the_library_joins_still_start_in_order(speaker):
    spoken = speaker.speak(["in", "front", "of", "the", "shop"], "en", VOICE)
    assert list(spoken.starts) == sorted(set(spoken.starts))


def test_trailing_silence_is_cut(speaker):
    spoken = speaker.speak(["malam"], "ms", VOICE)
    tail = spoken.samples[-SAMPLE_RATE // 20 :]
    assert np.abs(tail).max() > 0.001


def test_voices_of_other_pitch_and_rate_sound_different(speaker):
    words = SENTENCES["ms"]
    slow = speaker.speak(words, "ms", Voice("m3", 50, 50, 100))
    quick = speaker.speak(words, "ms", Voice("m3", 50, 50, 200))
    assert slow.end > 1.4 * quick.end


def test_unknown_voice_is_named(speaker):
    with pytest.raises(RojakError, match="xx"):
        speaker.speak(["a"], "xx", VOICE)


def test_two_processes_hear_the_same_breath_whatever_the_time():
    code = (
        "import hashlib, time; from rojak.data.espeak import Speaker, Voice;"
        "time.sleep(1.1 * {wait}); spoken = Speaker().speak(['saya', 'makan'], 'ms', Voice('f3', 50, 50, 150));"
        "print(hashlib.sha256(spoken.samples.tobytes()).hexdigest())"
    )
    runs = [subprocess.Popen([sys.executable, "-c", code.format(wait=i)], stdout=subprocess.PIPE) for i in (0, 1)]
    answers = [run.communicate()[0] for run in runs]
    assert answers[0].strip()
    assert answers[0] == answers[1]
