"""Run a model with PyTorch: base models, adapters, runs, merged folders, hub ids.

Reads what `model.adapters.load_any` reads. The reference that every export is held against.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rojak import records
from rojak.audio import Samples
from rojak.errors import InputError
from rojak.evaluate.decode import detect_languages, greedy_tokens
from rojak.export.runtime import Decoded, Device, HeardWord, Kind, Languages, RuntimeOptions
from rojak.export.runtimes.batches import Batch, Heard, forbidden_controls, transcribe_batches
from rojak.features.mel import LogMel
from rojak.model.adapters import load_any
from rojak.model.restore import restore
from rojak.model.whisper import Whisper, encode_audio
from rojak.model.word_times import time_words


@dataclass(frozen=True)
class WhisperRuntime:
    """A Whisper in PyTorch."""

    name: str
    whisper: Whisper
    log_mel: LogMel
    trim_safe: bool = False
    kind: Kind = "transformers"

    @property
    def num_mels(self) -> int:
        """80 or 128."""
        return self.log_mel.num_mels

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes that the model has a token for."""
        return tuple(self.whisper.tokens.languages)

    def transcribe(
        self, audio: Sequence[Samples], language: Languages = None, options: RuntimeOptions | None = None
    ) -> list[Decoded]:
        """See `Runtime.transcribe`."""
        options = options or RuntimeOptions()
        return transcribe_batches(self.whisper.tokens, self.log_mel, audio, language, options, self._hear)

    @torch.inference_mode()
    def _hear(self, batch: Batch, options: RuntimeOptions) -> list[Heard]:
        whisper = self.whisper
        encoded = encode_audio(whisper.network, batch.mel)
        languages = batch.languages
        if None in languages:
            detected = detect_languages(whisper, encoded)
            languages = [given or heard for given, heard in zip(languages, detected, strict=True)]
        codes = [code or "en" for code in languages]
        prompts = torch.tensor([whisper.tokens.prompt(code) for code in codes], device=encoded.device)
        texts = greedy_tokens(whisper, encoded, prompts, options.max_new_tokens)
        if whisper.restoration is not None and options.restore_particles:
            texts = [list(ids) for ids, _ in restore(whisper, encoded, codes, texts, batch.samples)]
        words: list[tuple[HeardWord, ...] | None] = [None] * len(texts)
        if options.word_times:
            timed = time_words(whisper, encoded, codes, texts, batch.durations_s)
            words = [tuple(_heard_word(word) for word in row) for row in timed]
        logprobs = mean_logprobs(whisper, encoded, prompts, texts, options.max_new_tokens)
        return [Heard(*clip) for clip in zip(texts, logprobs, codes, words, strict=True)]


def _heard_word(word: records.HeardWord) -> HeardWord:
    assert word.start is not None
    assert word.end is not None
    assert word.confidence is not None
    return HeardWord(word.word, word.start, word.end, word.confidence)


def mean_logprobs(
    whisper: Whisper, encoded: torch.Tensor, prompts: torch.Tensor, texts: Sequence[Sequence[int]], limit: int
) -> list[float]:
    """Give the mean log-probability of each text's tokens and of the end-of-text behind it, in one decoder pass.

    Args:
        whisper: Model.
        encoded: `(batch, positions, dim)`.
        prompts: `(batch, tokens)`.
        texts: Token ids of each clip.
        limit: A text of so many tokens was cut off and has no end-of-text.
    """
    end, width, start = whisper.tokens.end, max(len(text) for text in texts), prompts.shape[1]
    rows = [[*text, *[end] * (width - len(text))] for text in texts]
    padded = torch.tensor(rows, dtype=torch.long, device=prompts.device).reshape(len(texts), width)
    hidden = whisper.network.model.decoder(
        input_ids=torch.cat([prompts, padded], dim=1), encoder_hidden_states=encoded, use_cache=False
    ).last_hidden_state
    logits = whisper.network.proj_out(hidden[:, start - 1 :]).float()
    logits[..., forbidden_controls(whisper.tokens, logits.shape[2])] = -torch.inf
    wanted = torch.cat([padded, padded.new_full((len(texts), 1), end)], dim=1)
    found = logits.log_softmax(dim=2).gather(2, wanted.unsqueeze(2)).squeeze(2).tolist()
    lengths = [len(text) + (len(text) < limit) for text in texts]
    return [sum(row[:length]) / length for row, length in zip(found, lengths, strict=True)]


def open_whisper(name: str, device: Device, *, trim_safe: bool = False) -> WhisperRuntime:
    """Load a model for PyTorch.

    Raises:
        InputError: No model under that name; `cuda` without a GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda: this machine has no CUDA GPU that PyTorch can use; take cpu or auto.")
    whisper = load_any(name)
    whisper.network.to(torch.device("cpu" if device == "cpu" or not torch.cuda.is_available() else "cuda"))
    return WhisperRuntime(name, whisper, whisper.log_mel(), trim_safe)
