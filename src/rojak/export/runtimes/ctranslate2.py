"""Run a CTranslate2 export, greedily, in batches of full or trimmed windows.

Reads a folder of `rojak export --format ct2`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rojak.errors import InputError, MissingExtraError
from rojak.export.folder import ExportRecord
from rojak.export.runtime import Device, RuntimeOptions
from rojak.export.runtimes.batches import Batch, BatchRuntime, Front, Heard, open_front, words_of
from rojak.model.pieces import Piece
from rojak.model.whisper import SpeechTokens
from rojak.model.word_times import POSITION_S
from rojak.records import HeardWord


@dataclass(frozen=True)
class _Ct2:
    """A Whisper in CTranslate2 and what belongs to it."""

    model: Any
    front: Front

    def hear(self, batch: Batch, options: RuntimeOptions) -> list[Heard]:
        """Decode one batch, greedily."""
        import ctranslate2

        tokens = self.front.tokens
        mel = ctranslate2.StorageView.from_array(np.ascontiguousarray(batch.mel.cpu().numpy()))
        encoded = self.model.encode(mel)
        codes = batch.codes(lambda: [best[0][0].strip("<|>") for best in self.model.detect_language(encoded)])
        results = self.model.generate(
            encoded,
            [tokens.prompt(code) for code in codes],
            beam_size=1,
            max_length=2 * options.max_new_tokens,  # the library takes half of it for the text
            return_scores=True,
            suppress_tokens=self.front.forbidden,
        )
        texts = [[int(token) for token in result.sequences_ids[0]] for result in results]
        # The library's score is the sum, with the end-of-text's where there is one, over the number of text tokens.
        counts = [len(text) + (len(text) < options.max_new_tokens) for text in texts]
        means = [
            float(result.scores[0]) * max(1, len(text)) / count
            for result, text, count in zip(results, texts, counts, strict=True)
        ]
        words = self._words(encoded, texts, codes, batch) if options.word_times else [None] * len(texts)
        return [
            Heard(text, mean, code, word) for text, mean, code, word in zip(texts, means, codes, words, strict=True)
        ]

    def _words(
        self, encoded: Any, texts: list[list[int]], codes: list[str], batch: Batch
    ) -> list[tuple[HeardWord, ...] | None]:
        """Find word times; the library aligns a batch under one prompt, so each language goes by itself."""
        import ctranslate2

        tokens, found = self.front.tokens, dict[int, tuple[HeardWord, ...]]()
        states = np.array(encoded.to(ctranslate2.DataType.float32).to_device(ctranslate2.Device.cpu))
        for code in sorted(set(codes)):
            rows = [row for row, other in enumerate(codes) if other == code]
            results = self.model.align(
                ctranslate2.StorageView.from_array(np.ascontiguousarray(states[rows])),
                tokens.prompt(code)[:-1],  # the library adds the no-timestamps token
                [texts[row] for row in rows],
                [max(2, round(batch.durations_s[row] / POSITION_S) * 2) for row in rows],
            )
            for row, result in zip(rows, results, strict=True):
                starts: dict[int, float] = {}
                for token, position in result.alignments:
                    starts.setdefault(token, position * POSITION_S)
                times = [starts[token] for token in range(len(texts[row]) + 1)]
                found[row] = timed_words(tokens, texts[row], code, times, result.text_token_probs)
        return [found[row] for row in range(len(texts))]


def timed_words(
    tokens: SpeechTokens, ids: Sequence[int], language: str, starts_s: Sequence[float], probabilities: Sequence[float]
) -> tuple[HeardWord, ...]:
    """Give words with times.

    Args:
        tokens: The vocabulary.
        ids: Tokens of the text.
        language: That of the prompt.
        starts_s: When each token begins, and behind the last when it ends.
        probabilities: Of each token.
    """

    def heard(piece: Piece) -> dict[str, float]:
        logs = [math.log(max(probabilities[place], 1e-30)) for place in piece.tokens]
        start_s, end_s = starts_s[piece.tokens[0]], starts_s[piece.tokens[-1] + 1]
        confidence = math.exp(sum(logs) / len(logs))
        return {"start": round(start_s, 3), "end": round(end_s, 3), "confidence": round(confidence, 4)}

    return words_of(tokens, ids, language, heard)


def open_ct2(folder: Path, record: ExportRecord, device: Device) -> BatchRuntime:
    """Load a CTranslate2 export.

    Raises:
        InputError: `cuda` without a GPU; files that CTranslate2 does not read.
        MissingExtraError: ctranslate2 is not installed.
    """
    try:
        import ctranslate2
    except ImportError:
        raise MissingExtraError(
            f"{folder} needs ctranslate2 to run; install it with: pip install faster-whisper."
        ) from None
    if device == "cuda" and not ctranslate2.get_cuda_device_count():
        raise InputError("device cuda: this machine has no CUDA GPU that CTranslate2 can use; take cpu or auto.")
    try:
        model = ctranslate2.models.Whisper(str(folder), device=device, intra_threads=torch.get_num_threads())
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{folder} cannot be opened by CTranslate2 ({reason}); export again.") from error
    front = open_front(folder)
    return BatchRuntime(str(folder), "ct2", front.tokens, front.log_mel, record.trim_safe, _Ct2(model, front).hear)
