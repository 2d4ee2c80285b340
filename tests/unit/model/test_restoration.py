"""Restoring dropped particles: the fitted decision, where a particle may stand, and that no other word is touched."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rojak.errors import InputError
from rojak.evaluate.decode import ClipToDecode, DecodeOptions, decode_clips
from rojak.model.labelling import Labelling
from rojak.model.restoration import (
    FEATURES,
    RESTORATION_FILE,
    Restoration,
    choose_threshold,
    fit,
    read_restoration,
    write_restoration,
)
from rojak.model.restore import find_places, restore
from rojak.model.voice import frames, pitch_semitones, speech_active
from rojak.model.whisper import Whisper, encode_audio, load_whisper
from rojak.text.units import words as split_words

SIZE = len(FEATURES)
ALWAYS = Restoration(
    mean=(0.0,) * SIZE, scale=(1.0,) * SIZE, weights=(0.0,) * SIZE, bias=3.0, threshold=0.5,
    priors={"lah": -0.7, "sia": -0.7}, fitted_on={},
)  # fmt: skip
AT_END = replace(ALWAYS, weights=tuple(20.0 * (name == "at_end") for name in FEATURES), bias=-10.0)


@pytest.fixture
def whisper(tiny_dir: Path) -> Whisper:
    return load_whisper(str(tiny_dir))


def run(whisper: Whisper, texts: list[str], restoration: Restoration) -> list[tuple[str, list[str]]]:
    torch.manual_seed(2)
    rng = np.random.default_rng(2)
    samples = [rng.standard_normal(32000).astype(np.float32) for _ in texts]
    with torch.inference_mode():
        encoded = encode_audio(whisper.network, torch.randn(len(texts), 80, 200))
    ids = [whisper.tokens.encode(text) for text in texts]
    found = restore(replace(whisper, restoration=restoration), encoded, ["ms"] * len(texts), ids, samples)
    return [(whisper.tokens.decode(new), [f"{p.word}:{p.particle}" for p in particles]) for new, particles in found]


def test_a_threshold_of_one_changes_nothing(whisper: Whisper) -> None:
    texts = ["boleh saya pergi", "", "can you tolong check 水果"]
    assert run(whisper, texts, replace(ALWAYS, threshold=1.0)) == [(text, []) for text in texts]


def test_particles_are_only_put_in_and_the_marks_are_right(whisper: Whisper) -> None:
    texts = ["boleh saya pergi", "can you tolong check 水果", "saya makan"]
    for (text, marks), before in zip(run(whisper, texts, ALWAYS), texts, strict=True):
        words = split_words(text)
        assert marks
        assert all(words[int(mark.split(":")[0])] == mark.split(":")[1] for mark in marks)
        kept = [word for number, word in enumerate(words) if f"{number}:{word}" not in marks]
        assert kept == split_words(before)


def test_features_reach_the_decision(whisper: Whisper) -> None:
    for text, marks in run(whisper, ["boleh saya pergi", "saya makan"], AT_END):
        assert len(marks) <= 1
        assert not marks or text.split()[-1] in ("lah", "sia")


def test_no_place_beside_a_particle_and_none_inside_a_word(whisper: Whisper) -> None:
    ids = whisper.tokens.encode("boleh lah kita pergi sekolah.")
    places = find_places(whisper.tokens, ids, "ms")
    assert [place.words for place in places] == [0, 3, 4, 5]
    before_the_stop = whisper.tokens.decode(ids[: places[-1].token])
    assert before_the_stop == "boleh lah kita pergi sekolah"


def test_a_particle_is_always_a_word_of_its_own(whisper: Whisper) -> None:
    tokenizer = copy.deepcopy(whisper.tokens.tokenizer)
    tokenizer.add_tokens(["我们去", " boleh"])
    tokens = replace(whisper.tokens, tokenizer=tokenizer, end=len(tokenizer))
    two_characters_of_one_token = tokens.encode("我们去")
    assert len(two_characters_of_one_token) == 1
    assert [p.words for p in find_places(tokens, two_characters_of_one_token, "zh")] == [0, 3]
    no_space = tokens.tokenizer.encode("saya pergi", add_special_tokens=False)
    assert [p.words for p in find_places(tokens, no_space, "ms")] == [1, 2]
    assert [p.words for p in find_places(tokens, tokens.encode("- saya pergi"), "ms")] == [1, 2, 3]


def test_a_tag_stays_with_its_word(whisper: Whisper) -> None:
    tokens = replace(whisper.tokens, labelling=Labelling("word"))
    ids = [*tokens.encode("boleh"), tokens.languages["ms"], *tokens.encode("kita"), tokens.languages["ms"]]
    assert [place.token for place in find_places(tokens, ids, "ms")][-1] == len(ids)
    for place in find_places(tokens, ids, "ms")[1:]:
        assert ids[place.token - 1] == tokens.languages["ms"]


def test_decoding_restores_marks_and_can_be_told_not_to(whisper: Whisper) -> None:
    fitted = replace(whisper, restoration=ALWAYS)
    rng = np.random.default_rng(0)
    clips = [ClipToDecode(0, (0.1 * rng.standard_normal(16000)).astype(np.float32), "ms")]
    options = DecodeOptions(context="trim", max_new_tokens=12, word_times=True)
    plain = next(decode_clips(fitted, clips, replace(options, restore_particles=False)))
    found = next(decode_clips(fitted, clips, options))
    assert not plain.restored
    assert found.words is not None
    assert [number for number, word in enumerate(found.words) if word.restored] == [p.word for p in found.restored]
    assert next(decode_clips(whisper, clips, options)).text == plain.text


def test_the_fit_finds_what_tells_and_the_threshold_keeps_its_word() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((600, SIZE))
    said = (features[:, 0] + 0.3 * rng.standard_normal(600) > 1.0).astype(float)
    restoration = fit(features[:400], said[:400], {"lah": 0.0})
    weights = np.abs(restoration.weights)
    assert weights[0] > 5 * np.delete(weights, 0).max()
    chances = restoration.probability(features[400:])
    threshold = choose_threshold(chances, said[400:], 0.9)
    passed = chances >= threshold
    assert said[400:][passed].mean() >= 0.9
    assert passed.sum() > 0.5 * said[400:].sum()


@pytest.mark.parametrize(
    ("said", "expected"),
    [([1, 1, 1, 1, 1, 1, 1, 1, 1, 0], 0.2), ([1, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1.0), ([0] * 10, 1.0)],
)
def test_thresholds(said: list[int], expected: float) -> None:
    chances = np.arange(10, 0, -1) / 10
    assert choose_threshold(chances, np.array(said, dtype=float), 0.9) == pytest.approx(expected)


def test_it_is_kept_as_json_beside_the_weights(tmp_path: Path) -> None:
    assert read_restoration(tmp_path) is None
    write_restoration(tmp_path, AT_END)
    assert read_restoration(tmp_path) == AT_END


@pytest.mark.parametrize("change", [('"rojak-restoration-1"', '"other"'), ('"at_end"', '"elsewhere"'), ("[", "[7,")])
def test_a_file_of_another_version_gets_one_sentence(change: tuple[str, str], tmp_path: Path) -> None:
    write_restoration(tmp_path, ALWAYS)
    path = tmp_path / RESTORATION_FILE
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(InputError, match="make it anew with `rojak fit-particles`"):
        read_restoration(tmp_path)


def test_pitch_of_a_tone_and_silence() -> None:
    seconds = np.arange(16000) / 16000
    tone = np.where(seconds < 0.5, np.sin(2 * np.pi * 200 * seconds), 0.0).astype(np.float32)
    cut = frames(tone)
    active, pitch = speech_active(cut), pitch_semitones(cut)
    assert active[5:40].all()
    assert not active[60:].any()
    assert np.abs(pitch[5:40] - 12 * np.log2(200)).max() < 0.4
    assert np.isnan(pitch[60:]).all()
