"""Run a GGML export with whisper.cpp, through pywhispercpp: greedily, a clip at a time, on the CPU.

Reads a folder of `rojak export --format ggml`. The features are whisper.cpp's own, the one runtime where they are.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rojak.audio import Samples
from rojak.errors import MissingExtraError
from rojak.export.folder import ExportRecord, read_export
from rojak.export.openai import NUM_TEXT_TOKENS
from rojak.export.runtime import RuntimeOptions
from rojak.export.runtimes.batches import Batch, BatchRuntime, Front, Heard, open_front
from rojak.model.word_times import POSITION_S


@dataclass(frozen=True)
class _Ggml:
    """A Whisper in whisper.cpp and what belongs to it."""

    model: Any
    front: Front

    def hear(self, batch: Batch, options: RuntimeOptions) -> list[Heard]:
        """Decode the clips of a batch, greedily, one after the other."""
        positions = round(batch.length_s / POSITION_S) if options.context == "trim" else 0
        return [
            self._hear(samples, code, positions, options.max_new_tokens)
            for samples, code in zip(batch.samples, batch.languages, strict=True)
        ]

    def _hear(self, samples: Samples, code: str | None, positions: int, max_new_tokens: int) -> Heard:
        import _pywhispercpp as whisper_cpp

        context = self.model._ctx
        self.model.transcribe(samples, language=code or "auto", audio_ctx=positions, max_tokens=max_new_tokens)
        if code is None:
            code = list(self.front.tokens.languages)[whisper_cpp.whisper_full_lang_id(context)]
        ids, logprobs = [], []
        for segment in range(whisper_cpp.whisper_full_n_segments(context)):
            for place in range(whisper_cpp.whisper_full_n_tokens(context, segment)):
                token = whisper_cpp.whisper_full_get_token_id(context, segment, place)
                probability = whisper_cpp.whisper_full_get_token_p(context, segment, place)
                if token <= NUM_TEXT_TOKENS:
                    logprobs.append(math.log(max(probability, 1e-30)))
                if token < self.front.tokens.end:
                    ids.append(int(token))
        ids = ids[:max_new_tokens]  # whisper.cpp counts from 0 and gives one token more than `max_tokens`
        return Heard(ids, sum(logprobs) / len(logprobs) if logprobs else 0.0, code)


def open_ggml(folder: Path, record: ExportRecord) -> BatchRuntime:
    """Load a GGML export into whisper.cpp.

    Raises:
        InputError: A file was changed after the export.
        MissingExtraError: pywhispercpp is not installed.
    """
    try:
        from pywhispercpp.model import Model
    except ImportError:
        raise MissingExtraError(
            f"{folder} needs pywhispercpp to run; install it with: pip install 'rojak[ggml]'."
        ) from None
    read_export(folder, hashes=True)  # whisper.cpp ends the whole process on a damaged file
    front = open_front(folder)
    path = folder / f"ggml-{record.dtype}.bin"
    model = Model(
        str(path),
        redirect_whispercpp_logs_to=None,
        n_threads=torch.get_num_threads(),
        single_segment=True,
        no_timestamps=True,
        no_context=True,
        print_progress=False,
        temperature=0.0,
        temperature_inc=0.0,
        no_speech_thold=1.0,
        greedy={"best_of": 1},
        suppress_blank=bool(front.forbidden_first),
        suppress_nst=any(token < front.tokens.end for token in front.forbidden),
    )
    return BatchRuntime(str(folder), "ggml", front.tokens, front.log_mel, record.trim_safe, _Ggml(model, front).hear)
