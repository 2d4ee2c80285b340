from pathlib import Path

import pytest
import torch

from rojak.config.schema import AugmentConfig, LossConfig, TrainConfig
from rojak.data.dataset import Dataset
from rojak.errors import TrainingError
from rojak.features.windows import Clip, Window
from rojak.model.labels import check_lengths
from rojak.model.micro import build_tokenizer
from rojak.model.whisper import IGNORED, SpeechTokens, load_whisper
from rojak.records import Utterance, Word
from rojak.train.batch import Batch, BatchBuilder
from rojak.train.script import UNKNOWN, Script, lay_out, token_times, token_weights


def script_of(tokens: list[int]) -> Script:
    script = Script()
    script.add(tokens)
    return script


def test_labels_are_the_inputs_one_ahead_and_never_the_start_token() -> None:
    start, end = 10, 9
    inputs, labels, _, weights = lay_out(
        [script_of([start, 11, 12, 1, 2, end]), script_of([start, 11, 12, 3, end])], end
    )
    assert inputs.tolist() == [[start, 11, 12, 1, 2], [start, 11, 12, 3, end]]
    assert labels.tolist() == [[11, 12, 1, 2, end], [11, 12, 3, end, IGNORED]]
    assert start not in labels.tolist()[0] + labels.tolist()[1]
    assert weights.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]


def utterance(text: str, words: list[tuple[str, float, float]] | None) -> Utterance:
    timed = [Word(word=word, language="ms", start=start, end=end) for word, start, end in words or []]
    return Utterance(audio_id="a", audio_filepath="a", text=text, duration=2.0, words=tuple(timed) or None)


def test_a_token_s_time_is_its_characters_share_of_its_word() -> None:
    tokens = SpeechTokens.of(build_tokenizer(["nasi 你好"] * 5, 256))
    timed = utterance("ab cd你", [("ab", 0.2, 0.4), ("cd", 0.4, 0.8), ("你", 1.0, 1.3)])
    times = token_times(timed, tokens.places(timed.text), 10.0)
    assert len(times) == len(tokens.encode(timed.text))
    starts = sorted({round(start, 2) for start, _ in times if start >= 0})
    assert starts[:4] == [10.2, 10.3, 10.4, 10.6]
    assert all(end > start for start, end in times if start >= 0)
    assert max(end for _, end in times) < 11.31


def test_a_token_that_begins_with_the_space_before_its_word_has_the_word_s_time() -> None:
    tokens = SpeechTokens.of(build_tokenizer(["nasi lemak"] * 5, 270))
    timed = utterance("nasi lemak", [("nasi", 0.5, 1.0), ("lemak", 1.0, 2.0)])
    times = token_times(timed, tokens.places(timed.text), 0.0)
    assert times == [(0.5, 1.0), (1.0, 2.0)]


def test_times_follow_a_changed_speed() -> None:
    tokens = SpeechTokens.of(build_tokenizer(["nasi lemak"] * 5, 270))
    timed = utterance("nasi lemak", [("nasi", 0.5, 1.0), ("lemak", 1.0, 2.0)])
    assert token_times(timed, tokens.places(timed.text), 3.0, speed=2.0) == [(3.25, 3.5), (3.5, 4.0)]


def test_without_times_or_with_other_words_nothing_is_claimed() -> None:
    tokens = SpeechTokens.of(build_tokenizer(["nasi"] * 5, 256))
    for words in (None, [("other", 0.0, 0.1)]):
        assert set(token_times(utterance("nasi", words), tokens.places("nasi"), 0.0)) == {UNKNOWN}


def test_particles_and_embedded_words_weigh_what_the_configuration_says() -> None:
    tokens = SpeechTokens.of(build_tokenizer(["saya nak check lah"] * 5, 300))
    languages = [("saya", "ms"), ("nak", "ms"), ("check", "en"), ("lah", "particle")]
    words = tuple(Word(word=word, language=language) for word, language in languages)
    said = Utterance(audio_id="a", audio_filepath="a", text="saya nak check lah", duration=2.0, words=words)
    places = tokens.places(said.text)
    assert len(places) == 4
    assert token_weights(said, places, LossConfig(particle_weight=3.0, embedded_weight=2.0)) == [1.0, 1.0, 2.0, 3.0]
    assert token_weights(said, [None, *places], LossConfig(particle_weight=3.0)) == [1.0, 1.0, 1.0, 1.0, 3.0]
    assert token_weights(said, places, LossConfig()) is None


@pytest.fixture(scope="module")
def built(data_dir: Path, tiny_dir: Path) -> tuple[SpeechTokens, Dataset, BatchBuilder]:
    tokens, data = load_whisper(str(tiny_dir)).tokens, Dataset(data_dir, ("train",))
    config = TrainConfig(dataset_path=str(data_dir), output_dir="run", loss={"particle_weight": 4.0})  # type: ignore[arg-type]
    return tokens, data, BatchBuilder(data, tokens, config)


def build(builder: BatchBuilder, *windows: Window) -> Batch:
    return builder.build(windows, AugmentConfig(), 0)


def test_every_tensor_is_pinned_for_a_gpu(
    built: tuple[SpeechTokens, Dataset, BatchBuilder], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, data, builder = built
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 0)
    batch = build(builder, Window((Clip(0, data.utterances[0].duration, "", 0),), 5.0))
    pinned = batch.pin_memory()
    for name, value in vars(batch).items():
        if isinstance(value, torch.Tensor):
            assert getattr(pinned, name) is not value and torch.equal(getattr(pinned, name), value)
        else:
            assert getattr(pinned, name) is value


def test_a_transcript_too_long_for_the_decoder_is_told_before_training() -> None:
    check_lengths({"c0": 443, "c1": 1}, "m")
    with pytest.raises(TrainingError, match=r"1 transcript\(s\).*: c1; .*--model m"):
        check_lengths({"c0": 443, "c1": 444}, "m")


def test_a_window_without_speech_teaches_to_say_nothing(built: tuple[SpeechTokens, Dataset, BatchBuilder]) -> None:
    tokens, _, builder = built
    windows = [Window((), 5.12, sound_seed=seed) for seed in range(20)]
    batch = build(builder, *windows)
    for inputs, labels in zip(batch.inputs.tolist(), batch.labels.tolist(), strict=True):
        assert labels == [tokens.no_speech, IGNORED, IGNORED, tokens.end]
        assert inputs[0] == tokens.start and inputs[1] in tokens.languages.values()
    levels = batch.waveforms.square().mean(dim=1).sqrt()
    assert 0 < (levels == 0).sum() < 10, "some are digital silence"
    assert levels.max() <= 0.11
    assert batch.speech_s == 0
    assert torch.equal(build(builder, *windows).waveforms, batch.waveforms)


def test_a_previous_text_is_read_and_not_learnt(built: tuple[SpeechTokens, Dataset, BatchBuilder]) -> None:
    tokens, data, builder = built
    speakers = [utterance.speaker_id for utterance in data.utterances]
    index = next(i for i in range(1, len(speakers)) if speakers[i] in speakers[:i])
    before = max(i for i in range(index) if speakers[i] == speakers[index])
    clip = Clip(index, data.utterances[index].duration, "", 0)
    plain = build(builder, Window((clip,), 10.24))
    batch = build(builder, Window((clip,), 10.24, previous_text=True))
    text = tokens.encode(data.utterances[before].text)
    prompt = len(text) + 1
    assert batch.inputs[0, :prompt].tolist() == [tokens.previous, *text]
    assert batch.inputs[0, prompt:].tolist() == plain.inputs[0].tolist()
    assert batch.labels[0, :prompt].tolist() == [IGNORED] * prompt
    assert batch.labels[0, prompt:].tolist() == plain.labels[0].tolist()
    first = Clip(0, data.utterances[0].duration, "", 0)
    assert build(builder, Window((first,), 10.24, previous_text=True)).inputs[0, 0] == tokens.start


def test_a_batch_carries_the_weights_of_particles(built: tuple[SpeechTokens, Dataset, BatchBuilder]) -> None:
    tokens, data, builder = built
    index = next(
        i for i, one in enumerate(data.utterances) if any(word.language == "particle" for word in one.words or ())
    )
    batch = build(builder, Window((Clip(index, 1.0, "", 0),), 30.0))
    heavy = batch.labels[0][batch.weights[0] == 4.0].tolist()
    said = [word.word for word in data.utterances[index].words or () if word.language == "particle"]
    assert tokens.decode(heavy).split() == said
