"""Run a model with PyTorch: base models, adapters, runs, merged folders, hub ids.

Reads what `model.adapters.load_any` reads. The reference that every export is held against.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rojak.audio import Samples
from rojak.errors import InputError
from rojak.evaluate.decode import detect_languages, greedy_tokens
from rojak.export.runtime import Decoded, Device, Kind, Languages, RuntimeOptions
from rojak.export.runtimes.batches import Batch, Heard, transcribe_batches
from rojak.export.runtimes.words import POSITION_S, decode_with_attention, heard_words, token_times
from rojak.features.mel import LogMel
from rojak.model.adapters import load_any
from rojak.model.whisper import Whisper, encode_audio


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
        logprobs, attention = score_tokens(whisper, encoded, prompts, texts, looks=options.word_times)
        heard = []
        for row, (text, scores, code) in enumerate(zip(texts, logprobs, codes, strict=True)):
            words = None
            if attention is not None:
                start = prompts.shape[1] - 1
                looks = attention[row, :, start : start + len(text) + 1]
                times = token_times(looks, round(batch.durations_s[row] / POSITION_S))
                words = heard_words(whisper.tokens, text, times, [math.exp(score) for score in scores])
            heard.append(Heard(text, sum(scores) / len(scores), code, words))
        return heard


def score_tokens(
    whisper: Whisper,
    encoded: torch.Tensor,
    prompts: torch.Tensor,
    texts: Sequence[Sequence[int]],
    *,
    looks: bool = False,
) -> tuple[list[list[float]], torch.Tensor | None]:
    """Give the log-probability of every token of each text and of the end-of-text behind it, in one decoder pass.

    Args:
        whisper: Model.
        encoded: `(batch, positions, dim)`.
        prompts: `(batch, tokens)`.
        texts: Token ids of each clip.
        looks: Also give the attention of `decode_with_attention`.
    """
    end, width, start = whisper.tokens.end, max(len(text) for text in texts), prompts.shape[1]
    rows = [[*text, *[end] * (width - len(text))] for text in texts]
    padded = torch.tensor(rows, dtype=torch.long, device=prompts.device).reshape(len(texts), width)
    inputs, attention = torch.cat([prompts, padded], dim=1), None
    if looks:
        hidden, attention = decode_with_attention(whisper, inputs, encoded)
    else:
        decoder = whisper.network.model.decoder
        hidden = decoder(input_ids=inputs, encoder_hidden_states=encoded, use_cache=False).last_hidden_state
    logits = whisper.network.proj_out(hidden[:, start - 1 :]).float()
    logits[..., end + 1 :] = -torch.inf
    wanted = torch.cat([padded, padded.new_full((len(texts), 1), end)], dim=1)
    found = logits.log_softmax(dim=2).gather(2, wanted.unsqueeze(2)).squeeze(2).tolist()
    return [row[: len(text) + 1] for row, text in zip(found, texts, strict=True)], attention


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
