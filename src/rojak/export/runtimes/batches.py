"""What all runtimes share: clips become batches of features of one length, tokens become text.

The features are Rojak's own (`features.mel`) in every runtime, so that a difference in text is never one of front ends.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import WhisperFeatureExtractor, WhisperTokenizer

from rojak.audio import SAMPLE_RATE, Samples
from rojak.errors import InputError
from rojak.evaluate.decode import ClipToDecode
from rojak.export.runtime import Decoded, HeardWord, Languages, RuntimeOptions
from rojak.features.mel import SAMPLES_PER_POSITION, WINDOW_SECONDS, LogMel
from rojak.model.labelling import read_labelling
from rojak.model.whisper import SpeechTokens
from rojak.records import LANGUAGES
from rojak.runs import read_json


@dataclass(frozen=True)
class Batch:
    """Clips that are decoded together.

    Attributes:
        mel: `(batch, mels, frames)` float32.
        languages: Codes; None where the language is to be detected.
        samples: Each clip's own sound, without padding.
    """

    mel: torch.Tensor
    languages: list[str | None]
    samples: list[Samples]

    @property
    def durations_s(self) -> list[float]:
        """Seconds of each clip, without padding."""
        return [len(samples) / SAMPLE_RATE for samples in self.samples]


@dataclass(frozen=True)
class Front:
    """What an exported folder holds beside the weights.

    Attributes:
        tokens: The vocabulary.
        log_mel: The front end, on the CPU.
        forbidden: Tokens that are never chosen.
        forbidden_first: Tokens that no text begins with.
    """

    tokens: SpeechTokens
    log_mel: LogMel
    forbidden: list[int]
    forbidden_first: list[int]


def open_front(folder: Path) -> Front:
    """Load tokenizer, front end and generation settings of an exported folder.

    Raises:
        InputError: One of them is missing or malformed.
    """
    try:
        tokenizer = WhisperTokenizer.from_pretrained(folder, local_files_only=True)
        tokens = SpeechTokens.of(tokenizer, read_labelling(folder))
        extractor = WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{folder} lacks a usable tokenizer or front end ({reason}); export again.") from error
    settings = read_json(folder / "generation_config.json")
    forbidden = {*(settings.get("suppress_tokens") or []), *forbidden_controls(tokens, len(tokenizer))}
    first = settings.get("begin_suppress_tokens") or []
    return Front(tokens, LogMel(extractor, torch.device("cpu")), sorted(forbidden), first)


def forbidden_controls(tokens: SpeechTokens, vocabulary_size: int) -> list[int]:
    """Give the ids behind end-of-text that no transcript holds: all, but for the language tags of a model that tags."""
    tags = tokens.labelling.language_tags != "none"
    allowed = {tokens.languages[code] for code in LANGUAGES} if tags else set()
    return [token for token in range(tokens.end + 1, vocabulary_size) if token not in allowed]


@dataclass(frozen=True)
class Heard:
    """What a runtime gives for one clip: text tokens, the mean of their log-probabilities, language, words."""

    tokens: list[int]
    avg_logprob: float
    language: str
    words: tuple[HeardWord, ...] | None = None


def transcribe_batches(
    tokens: SpeechTokens,
    log_mel: LogMel,
    audio: Sequence[Samples],
    language: Languages,
    options: RuntimeOptions,
    hear: Callable[[Batch, RuntimeOptions], list[Heard]],
) -> list[Decoded]:
    """Sort clips into batches, let `hear` decode them, and give the results in the order of the clips.

    Args:
        tokens: The model's vocabulary.
        log_mel: Its front end.
        audio: Clips of at most 30 s.
        language: For all, for each, or None.
        options: How to decode.
        hear: Decodes one batch.

    Raises:
        InputError: A clip over 30 s; an unknown language.
    """
    languages = list_languages(tokens, language, len(audio))
    groups: dict[float, list[int]] = defaultdict(list)
    for index, samples in enumerate(audio):
        check_length(index, samples)
        groups[ClipToDecode(index, samples, None).window_s(options.context)].append(index)
    results: dict[int, Decoded] = {}
    for length_s, members in sorted(groups.items()):
        size = max(1, int(options.batch_seconds // length_s))
        for start in range(0, len(members), size):
            chosen = members[start : start + size]
            started = time.perf_counter()
            batch = Batch(
                log_mel(torch.from_numpy(_stack([audio[index] for index in chosen], length_s))),
                [languages[index] for index in chosen],
                [audio[index] for index in chosen],
            )
            heard = hear(batch, options)
            seconds = (time.perf_counter() - started) / len(chosen)
            for index, clip in zip(chosen, heard, strict=True):
                results[index] = _decoded(tokens, clip, seconds)
    return [results[index] for index in range(len(audio))]


def check_length(index: int, samples: Samples) -> None:
    """Refuse a clip that does not fit a window."""
    if len(samples) > WINDOW_SECONDS * SAMPLE_RATE + SAMPLES_PER_POSITION:
        raise InputError(
            f"clip {index} lasts {len(samples) / SAMPLE_RATE:.1f} s and Whisper hears {WINDOW_SECONDS:.0f} s at a "
            "time; cut it into windows first."
        )


def list_languages(tokens: SpeechTokens, language: Languages, count: int) -> list[str | None]:
    """Give each clip's language code, checked against the model's own."""
    given: list[str | None] = [language] * count if language is None or isinstance(language, str) else list(language)
    if len(given) != count:
        raise InputError(f"{len(given)} languages were given for {count} clips; give one for each, or one for all.")
    for code in {code for code in given if code is not None}:
        tokens.prompt(code)
    return given


def _stack(clips: Sequence[Samples], length_s: float) -> Samples:
    num_samples = round(length_s * SAMPLE_RATE / SAMPLES_PER_POSITION) * SAMPLES_PER_POSITION
    waveforms = np.zeros((len(clips), num_samples), np.float32)
    for row, samples in zip(waveforms, clips, strict=True):
        row[: len(samples)] = samples[:num_samples]
    return waveforms


def _decoded(tokens: SpeechTokens, heard: Heard, seconds: float) -> Decoded:
    text = tokens.decode(heard.tokens)
    return Decoded(text, tuple(heard.tokens), heard.avg_logprob, heard.language, heard.words, seconds)
