"""Run a model over prepared utterances, as they are or with noise mixed in, and give predictions.

Reads prepared shards; gives `Prediction` rows; writes nothing.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial

import numpy as np

from rojak.audio import Samples
from rojak.data.dataset import Dataset, prompt_language
from rojak.data.noise import mix_at_snr
from rojak.evaluate.decode import ClipToDecode, Decode, DecodeOptions, decode_clips
from rojak.evaluate.prediction import Prediction
from rojak.features.augment import NOISE_KINDS, make_noise
from rojak.model.whisper import Whisper
from rojak.records import Utterance

SnrRange = tuple[float, float]

_CARRIED = {"audio_filepath", "text", "code_switches"}
"""Record fields that a prediction does not repeat."""


def predict(
    model: Whisper | Decode,
    data: Dataset,
    indices: Sequence[int],
    options: DecodeOptions,
    *,
    snr_range: SnrRange | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> list[Prediction]:
    """Decode utterances and pair each with its reference, in the order of `indices`.

    Args:
        model: A Whisper, or whatever else decodes clips.
        data: Prepared utterances.
        indices: Which of them.
        options: How to decode.
        snr_range: Mix noise in at a ratio (dB) drawn from this range for each utterance. Kind, ratio and sound follow
            from the audio_id alone, so that every system hears the same; babble is made of other speakers in `data`.
        on_progress: Told the number of utterances after every batch.
    """
    decode: Decode = partial(decode_clips, model) if isinstance(model, Whisper) else model
    levels: dict[int, float] = {}

    def clips() -> Iterator[ClipToDecode]:
        for index in indices:
            samples = data.read_audio(index)
            if snr_range is not None:
                samples, levels[index] = add_test_noise(data, index, samples, snr_range)
            yield ClipToDecode(index, samples, _prompt_language(data.utterances[index], options.language))

    decoded = {result.index: result for result in decode(clips(), options, on_progress)}
    rows = []
    for index in indices:
        utterance, result = data.utterances[index], decoded[index]
        row = utterance.model_dump(exclude=_CARRIED, exclude_none=True)
        row |= {"reference": utterance.text, "hypothesis": result.text, "decode_s": result.decode_s}
        row |= {"prompt_language": result.language, "context": options.context}
        if result.mean_logprob is not None:
            row["mean_logprob"] = result.mean_logprob
        if options.temperature_fallback:
            row["temperature"] = result.temperature
        if result.words is not None:
            row |= {"hypothesis_words": result.words, "hypothesis_languages_from": result.languages_from}
        if result.restored:
            row["restored"] = [asdict(particle) for particle in result.restored]
        if snr_range is not None:
            row["added_snr_db"] = row["snr_db"] = levels[index]
            row["audio_id"] = f"{utterance.audio_id}@{snr_range[0]:g}-{snr_range[1]:g}dB"
        rows.append(Prediction.from_dict(row, f"utterance {utterance.audio_id}"))
    return rows


def add_test_noise(data: Dataset, index: int, samples: Samples, snr_range: SnrRange) -> tuple[Samples, float]:
    """Mix noise into one utterance for the test of noise robustness; give the sound and the ratio in dB."""
    utterance = data.utterances[index]
    rng = np.random.default_rng((zlib.crc32(utterance.audio_id.encode()), round(10 * snr_range[0]), 7))
    snr_db = float(rng.uniform(*snr_range))
    kind = NOISE_KINDS[int(rng.integers(len(NOISE_KINDS)))]
    noise = make_noise(kind, len(samples), rng, data.voices_beside(index))
    return mix_at_snr(samples, noise, snr_db), snr_db


def _prompt_language(utterance: Utterance, wanted: str) -> str | None:
    if wanted == "detect":
        return None
    return prompt_language(utterance, "matrix") if wanted == "record" else wanted
