"""What all runtimes share: clips become batches of one length, tokens become text and words.

The features are Rojak's own (`features.mel`) in every runtime but whisper.cpp's, so that a difference in text is never
one of front ends.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import WhisperFeatureExtractor, WhisperTokenizer

from rojak.audio import SAMPLE_RATE, Samples
from rojak.errors import InputError
from rojak.evaluate.decode import ClipToDecode
from rojak.export.runtime import Decoded, Kind, Languages, RuntimeOptions
from rojak.features.mel import SAMPLES_PER_POSITION, WINDOW_SECONDS, LogMel
from rojak.model.labelling import read_labelling
from rojak.model.labels import word_languages
from rojak.model.pieces import Piece, cut_into_words
from rojak.model.whisper import SpeechTokens
from rojak.records import LANGUAGES, HeardWord
from rojak.runs import read_json


@dataclass(frozen=True)
class Batch:
    """Clips that are decoded together.

    Attributes:
        samples: Each clip's own sound, without padding.
        languages: Codes; None where the language is to be detected.
        length_s: Seconds of the window that each is laid into.
        log_mel: The model's front end.
    """

    samples: list[Samples]
    languages: list[str | None]
    length_s: float
    log_mel: LogMel

    @cached_property
    def mel(self) -> torch.Tensor:
        """`(batch, mels, frames)` float32."""
        return self.log_mel(torch.from_numpy(_stack(self.samples, self.length_s)))

    @property
    def durations_s(self) -> list[float]:
        """Seconds of each clip, without padding."""
        return [len(samples) / SAMPLE_RATE for samples in self.samples]

    def codes(self, detect: Callable[[], Sequence[str]]) -> list[str]:
        """Give each clip's language, those that are not given from `detect`, which hears the whole batch."""
        if None not in self.languages:
            return [code for code in self.languages if code is not None]
        return [given or heard for given, heard in zip(self.languages, detect(), strict=True)]


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
    """What a runtime gives for a clip: text tokens, mean of their log-probabilities, language, timed words."""

    tokens: list[int]
    avg_logprob: float
    language: str
    words: tuple[HeardWord, ...] | None = None


@dataclass(frozen=True)
class BatchRuntime:
    """A model that is ready to listen (`Runtime`), of any kind.

    Attributes:
        name: What the user called it.
        kind: Which program runs it.
        tokens: Its vocabulary.
        log_mel: Its front end.
        trim_safe: See `Runtime`.
        hear: Decodes one batch.
    """

    name: str
    kind: Kind
    tokens: SpeechTokens
    log_mel: LogMel
    trim_safe: bool
    hear: Callable[[Batch, RuntimeOptions], list[Heard]]

    @property
    def num_mels(self) -> int:
        """80 or 128."""
        return self.log_mel.num_mels

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes that the model has a token for."""
        return tuple(self.tokens.languages)

    def transcribe(
        self, audio: Sequence[Samples], language: Languages = None, options: RuntimeOptions | None = None
    ) -> list[Decoded]:
        """See `Runtime.transcribe`; sorts clips into batches and gives the results in the order of the clips."""
        options = options or RuntimeOptions()
        languages = list_languages(self.tokens, language, len(audio))
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
                batch = Batch([audio[i] for i in chosen], [languages[i] for i in chosen], length_s, self.log_mel)
                heard = self.hear(batch, options)
                seconds = (time.perf_counter() - started) / len(chosen)
                for index, clip in zip(chosen, heard, strict=True):
                    results[index] = _decoded(self.tokens, clip, seconds, options)
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


def _decoded(tokens: SpeechTokens, heard: Heard, seconds: float, options: RuntimeOptions) -> Decoded:
    text, words = tokens.decode(heard.tokens), heard.words
    if words is None:
        words = words_of(tokens, heard.tokens, heard.language) if options.words else ()
    who: Literal["model", "tagger"] = "tagger" if tokens.labelling.language_tags == "none" else "model"
    return Decoded(text, tuple(heard.tokens), heard.avg_logprob, heard.language, words, seconds, who)


def words_of(
    tokens: SpeechTokens, ids: Sequence[int], language: str, heard: Callable[[Piece], dict[str, Any]] | None = None
) -> tuple[HeardWord, ...]:
    """Give the words of decoded tokens with their languages.

    Args:
        tokens: The vocabulary.
        ids: Decoded tokens, language tags included.
        language: That of the prompt.
        heard: Gives a word's `start`, `end` and `confidence`, where the runtime knows them.
    """
    pieces = cut_into_words(tokens, ids)
    languages = word_languages(tokens, ids, pieces, language)
    return tuple(
        HeardWord(word=piece.word, language=said, **(heard(piece) if heard else {}))
        for piece, said in zip(pieces, languages, strict=True)
    )
