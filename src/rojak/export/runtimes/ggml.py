"""Run a GGML export with whisper.cpp, through pywhispercpp: greedily, a clip at a time, on the CPU.

Reads a folder of `rojak export --format ggml`. The features are whisper.cpp's own, the one runtime where they are.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rojak.audio import Samples
from rojak.errors import MissingExtraError
from rojak.evaluate.decode import ClipToDecode
from rojak.export.folder import ExportRecord, read_export
from rojak.export.runtime import Decoded, Kind, Languages, RuntimeOptions
from rojak.export.runtimes.batches import Front, check_length, list_languages, open_front
from rojak.model.word_times import POSITION_S


@dataclass(frozen=True)
class GgmlRuntime:
    """A Whisper in whisper.cpp."""

    name: str
    model: Any
    front: Front
    trim_safe: bool
    kind: Kind = "ggml"

    @property
    def num_mels(self) -> int:
        """80 or 128."""
        return self.front.log_mel.num_mels

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes that the model has a token for."""
        return tuple(self.front.tokens.languages)

    def transcribe(
        self, audio: Sequence[Samples], language: Languages = None, options: RuntimeOptions | None = None
    ) -> list[Decoded]:
        """See `Runtime.transcribe`."""
        options = options or RuntimeOptions()
        languages = list_languages(self.front.tokens, language, len(audio))
        for index, samples in enumerate(audio):
            check_length(index, samples)
        return [self._hear(samples, code, options) for samples, code in zip(audio, languages, strict=True)]

    def _hear(self, samples: Samples, code: str | None, options: RuntimeOptions) -> Decoded:
        import _pywhispercpp as whisper_cpp

        started = time.perf_counter()
        tokens, context = self.front.tokens, self.model._ctx
        positions = round(ClipToDecode(0, samples, None).window_s(options.context) / POSITION_S)
        self.model.transcribe(
            samples,
            language=code or "auto",
            audio_ctx=positions if options.context == "trim" else 0,
            max_tokens=options.max_new_tokens,
        )
        if code is None:
            code = list(tokens.languages)[whisper_cpp.whisper_full_lang_id(context)]
        ids, logprobs = [], []
        for segment in range(whisper_cpp.whisper_full_n_segments(context)):
            for place in range(whisper_cpp.whisper_full_n_tokens(context, segment)):
                token = whisper_cpp.whisper_full_get_token_id(context, segment, place)
                probability = whisper_cpp.whisper_full_get_token_p(context, segment, place)
                if token <= tokens.end:
                    logprobs.append(math.log(max(probability, 1e-30)))
                if token < tokens.end:
                    ids.append(int(token))
        mean = sum(logprobs) / len(logprobs) if logprobs else 0.0
        return Decoded(tokens.decode(ids), tuple(ids), mean, code, None, time.perf_counter() - started)


def open_ggml(folder: Path, record: ExportRecord) -> GgmlRuntime:
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
    return GgmlRuntime(str(folder), model, front, record.trim_safe)
