"""Exported folders behind the evaluator's interface."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rojak.audio import Samples
from rojak.data.dataset import Dataset
from rojak.errors import InputError
from rojak.evaluate.decode import DecodeOptions
from rojak.evaluate.evaluate import EvaluateOptions, evaluate
from rojak.evaluate.predict import predict
from rojak.export.evaluating import CLIPS_AT_ONCE, decode_with, open_system
from rojak.export.export import export_model
from rojak.export.runtime import Decoded, Languages, RuntimeOptions
from rojak.records import HeardWord


class Parrot:
    """A runtime that says how long each clip is."""

    name, kind, num_mels, trim_safe, languages = "parrot", "onnx", 80, False, ("ms", "en")

    def __init__(self) -> None:
        self.calls: list[tuple[int, RuntimeOptions | None]] = []

    def transcribe(
        self, audio: Sequence[Samples], language: Languages = None, options: RuntimeOptions | None = None
    ) -> list[Decoded]:
        self.calls.append((len(audio), options))
        assert language is not None
        words = (HeardWord(word="boleh", language="ms", start=0.1, end=0.4, confidence=0.9),)
        return [
            Decoded(f"boleh {len(one)}", (1,), -0.25, code or "en", words, 0.01)
            for one, code in zip(audio, language, strict=True)
        ]


def test_every_clip_keeps_its_number_words_and_options(data_dir: Path) -> None:
    data, parrot, told = Dataset(data_dir, ("test",)), Parrot(), []
    indices = [2, 0, 1]
    options = DecodeOptions(context="trim", language="detect", max_new_tokens=9, word_times=True)
    rows = predict(
        lambda clips, how, on_progress: decode_with(parrot, clips, how, on_progress),
        data,
        indices,
        options,
        on_progress=told.append,
    )
    assert [row.hypothesis for row in rows] == [f"boleh {len(data.read_audio(index))}" for index in indices]
    assert parrot.calls == [(3, RuntimeOptions("trim", 9, options.batch_seconds, word_times=True))]
    assert told == [3]
    word = rows[0].hypothesis_words[0]  # type: ignore[index]
    assert (word.word, word.language, word.start, word.end, word.confidence) == ("boleh", "ms", 0.1, 0.4, 0.9)
    assert rows[0].model_extra["prompt_language"] == "en"  # type: ignore[index]
    assert CLIPS_AT_ONCE > 3


def test_exports_decode_greedily_only() -> None:
    for options in (DecodeOptions(num_beams=2), DecodeOptions(temperature_fallback=True)):
        with pytest.raises(InputError, match="parrot is a onnx export, which decodes greedily"):
            list(decode_with(Parrot(), [], options))


def test_a_ctranslate2_folder_is_evaluated_like_the_model_it_was_made_of(
    tiny_dir: Path, data_dir: Path, tmp_path: Path
) -> None:
    options = EvaluateOptions(
        decode=DecodeOptions(max_new_tokens=8, language="ms"), snr_ranges=(), max_utterances=3, audio=False
    )
    export_model(str(tiny_dir), tmp_path / "ct2", "ct2", "float32")
    found = [
        evaluate(str(folder), data_dir, tmp_path / f"results-{n}", options, open_system).systems[0]
        for n, folder in enumerate((tiny_dir, tmp_path / "ct2"))
    ]
    texts = [[score.prediction.hypothesis for score in scores.utterances] for scores in found]
    assert texts[0] == texts[1]
    assert any(texts[0])
    assert [scores.settings["runtime"] for scores in found] == ["transformers", "ct2"]


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(np.zeros(4).tobytes())
    with pytest.raises(InputError, match="export"):
        open_system(str(tmp_path))
