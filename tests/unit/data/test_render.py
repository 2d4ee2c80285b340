import io
import json

import numpy as np
import pytest
import soundfile

from rojak.data import noise, render
from rojak.data.espeak import Speaker
from rojak.data.noise import SAMPLE_RATE
from rojak.data.speakers import build_speaker

MIXED = [["Can", "en"], ["you", "en"], ["tolong", "ms"], ["check", "en"], ["文件", "zh"], ["lah", "particle"]]


@pytest.fixture(scope="module")
def library() -> Speaker:
    return Speaker()


def utterance(library: Speaker, speaker: int = 4, words=MIXED) -> render.Rendered:
    item = {"audio_id": "a", "speaker": speaker, "words": words}
    return render.render_utterance(item, library, np.random.default_rng(1))


def test_stretches_follow_the_voices():
    assert render.voice_stretches(MIXED) == [
        ("en", ["Can", "you"]),
        ("ms", ["tolong"]),
        ("en", ["check"]),
        ("cmn", ["文件"]),
        ("ms", ["lah"]),
    ]


def test_names_are_said_in_their_neighbours_voice_and_particles_in_theirs():
    words = [
        ("小明", "other"),
        ("来", "zh"),
        ("Siti", "other"),
        ("one", "particle"),
        ("makan", "ms"),
        ("kan", "particle"),
    ]
    assert render.voice_stretches(words) == [("cmn", ["小明", "来", "Siti"]), ("en", ["one"]), ("ms", ["makan", "kan"])]


def test_word_times_are_in_order_inside_the_clip_and_loud(library):
    rendered = utterance(library)
    assert len(rendered.times) == len(MIXED)
    flat = [edge for pair in rendered.times for edge in pair]
    assert flat == sorted(flat)
    assert 0.05 <= flat[0] <= 0.35
    assert 0.04 <= len(rendered.wave) / SAMPLE_RATE - flat[-1] <= 0.35
    for start, end in rendered.times:
        span = rendered.wave[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)]
        assert np.sqrt(np.mean(span**2)) > 0.01
    assert np.abs(rendered.wave[: int(flat[0] * SAMPLE_RATE) - 80]).max() < 0.01


def test_stretches_of_all_languages_are_about_as_loud(library):
    rendered = utterance(library)
    levels = [
        np.sqrt(np.mean(rendered.wave[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)] ** 2))
        for start, end in (rendered.times[0], rendered.times[4])
    ]
    assert 0.4 < levels[0] / levels[1] < 2.5


def test_speakers_sound_different(library):
    waves = [utterance(library, speaker).wave for speaker in (0, 1, 2)]
    assert len({len(wave) for wave in waves}) == 3


def test_a_speaker_is_the_same_person_each_time():
    assert build_speaker(7) == build_speaker(7)
    assert build_speaker(7) != build_speaker(23)


@pytest.mark.parametrize("environment", ["babble", "pink", "hum", "hum+pink", "reverb+pink", "reverb+babble"])
def test_noise_comes_at_its_ratio(library, environment):
    clean = utterance(library).wave
    voices = [utterance(library, speaker).wave for speaker in (1, 2, 3)]
    noisy = render.add_noise(clean, environment, 7.0, voices, np.random.default_rng(9))
    heard = clean
    if environment.startswith("reverb"):
        heard = noise.reverberate(clean, noise.room_response(np.random.default_rng(9)))
    ratio_db = 10 * np.log10(noise.speech_power(heard) / np.mean((noisy - heard) ** 2))
    assert ratio_db == pytest.approx(7.0, abs=0.5)


def test_block_answers_for_its_items_and_writes_them(tmp_path):
    item = {"audio_id": "train-000000", "speaker": 0, "words": MIXED}
    noisy = item | {"audio_id": "train-000001", "environment": "babble", "snr_db": 3.0}
    crowd = [{"audio_id": f"crowd-{i}", "speaker": i, "words": MIXED} for i in (1, 2)]
    answers = render.render_block({"seed": 3, "audio_dir": str(tmp_path), "items": [item, noisy], "crowd": crowd})
    assert [answer["audio_id"] for answer in answers] == ["train-000000", "train-000001"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train-000000.flac", "train-000001.flac"]
    for answer in answers:
        info = soundfile.info(tmp_path / f"{answer['audio_id']}.flac")
        assert (info.samplerate, info.channels) == (SAMPLE_RATE, 1)
        assert info.duration == pytest.approx(answer["duration"], abs=1e-3)
        wave, _ = soundfile.read(tmp_path / f"{answer['audio_id']}.flac")
        assert 10 ** (-12.1 / 20) < np.abs(wave).max() < 10 ** (-0.9 / 20)


def test_a_folder_that_cannot_be_written_ends_with_code_3(tmp_path, monkeypatch, capsys):
    item = {"audio_id": "a", "speaker": 0, "words": [["saya", "ms"]]}
    block = {"seed": 3, "audio_dir": str(tmp_path / "missing"), "items": [item], "crowd": []}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(block)))
    assert render.main() == 3
    assert "No such file" in capsys.readouterr().err
