"""Run an ONNX export with onnxruntime: a small greedy decoder with cache, on CPU, CUDA or TensorRT.

Reads a folder of `rojak export --format onnx` or `tensorrt`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rojak.errors import InputError, MissingExtraError
from rojak.export.folder import ExportRecord
from rojak.export.onnx import DECODER_FILE, ENCODER_FILE
from rojak.export.runtime import Device, RuntimeOptions
from rojak.export.runtimes.batches import Batch, BatchRuntime, Front, Heard, open_front

MAX_TARGET_TOKENS = 448
Floats = npt.NDArray[np.float32]
Tokens = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Onnx:
    """A Whisper in onnxruntime. `place` is where the cache stays between tokens: cpu or cuda."""

    encoder: Any
    decoder: Any
    front: Front
    place: str

    def hear(self, batch: Batch, options: RuntimeOptions) -> list[Heard]:
        """Decode one batch, greedily."""
        tokens = self.front.tokens
        cross = self._run(self.encoder, {"mel": self._value(batch.mel.numpy())})
        codes = batch.codes(lambda: self._detect(cross, len(batch.samples)))
        prompts = np.array([tokens.prompt(code) for code in codes], np.int64)
        texts, scores = self._greedy(cross, prompts, options.max_new_tokens)
        return [
            Heard(text, float(np.mean(score)), code) for text, score, code in zip(texts, scores, codes, strict=True)
        ]

    def _greedy(
        self, cross: dict[str, Any], prompts: Tokens, max_new_tokens: int
    ) -> tuple[list[list[int]], list[list[float]]]:
        """Take the most likely token again and again; rows that have ended go along until all have."""
        tokens, count = self.front.tokens, len(prompts)
        texts: list[list[int]] = [[] for _ in range(count)]
        scores: list[list[float]] = [[] for _ in range(count)]
        going = np.ones(count, bool)
        past, step_input = self._empty_past(count), prompts
        for step in range(min(max_new_tokens, MAX_TARGET_TOKENS - prompts.shape[1])):
            logits, past = self._step(step_input, past, cross)
            logits[:, self.front.forbidden] = -np.inf
            if step == 0:
                logits[:, self.front.forbidden_first] = -np.inf
            chosen = logits.argmax(axis=1)
            peak = logits.max(axis=1)
            logprobs = -np.log(np.exp(logits - peak[:, None]).sum(axis=1))
            for row in np.flatnonzero(going):
                scores[row].append(float(logprobs[row]))
                if chosen[row] == tokens.end:
                    going[row] = False
                else:
                    texts[row].append(int(chosen[row]))
            if not going.any():
                break
            step_input = chosen[:, None].astype(np.int64)
        return texts, scores

    def _detect(self, cross: dict[str, Any], count: int) -> list[str]:
        tokens = self.front.tokens
        start = np.full((count, 1), tokens.start, np.int64)
        logits, _ = self._step(start, self._empty_past(count), cross)
        codes = list(tokens.languages)
        best = logits[:, [tokens.languages[code] for code in codes]].argmax(axis=1)
        return [codes[int(choice)] for choice in best]

    def _step(self, new: Tokens, past: dict[str, Any], cross: dict[str, Any]) -> tuple[Floats, dict[str, Any]]:
        """Decode new tokens; give the last one's logits and the longer past."""
        outputs = self._run(self.decoder, {"tokens": self._value(new), **past, **cross})
        logits: Floats = outputs.pop("logits").numpy().astype(np.float32, copy=True)
        return logits, {f"past_{name}": value for name, value in outputs.items()}

    def _empty_past(self, count: int) -> dict[str, Any]:
        shapes = {entry.name: entry.shape for entry in self.decoder.get_inputs() if entry.name.startswith("past_")}
        return {
            name: self._value(np.zeros((count, heads, 0, size), np.float32))
            for name, (_, heads, _, size) in shapes.items()
        }

    def _value(self, array: npt.NDArray[Any]) -> Any:
        from onnxruntime import OrtValue

        return OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self.place, 0)

    def _run(self, session: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        """Run a session without moving the cache between host and device."""
        binding = session.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        names = [entry.name for entry in session.get_outputs()]
        for name in names:
            binding.bind_output(name, "cpu" if name == "logits" else self.place, 0)
        session.run_with_iobinding(binding)
        return dict(zip(names, binding.get_outputs(), strict=True))


def open_onnx(folder: Path, record: ExportRecord, device: Device) -> BatchRuntime:
    """Load an ONNX or TensorRT export.

    Raises:
        InputError: A GPU is needed or wanted and onnxruntime has none; files that it does not read.
        MissingExtraError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError(
            f"{folder} needs onnxruntime to run; install it with: pip install onnxruntime."
        ) from None
    from rojak.export.tensorrt import providers

    chosen = providers(folder, record.format, device)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    try:
        encoder, decoder = (
            onnxruntime.InferenceSession(str(folder / name), settings, providers=chosen)
            for name in (ENCODER_FILE, DECODER_FILE)
        )
    except Exception as error:  # onnxruntime's own error classes share no public base
        reason = str(error).splitlines()[0]
        raise InputError(f"{folder} cannot be opened by onnxruntime ({reason}); export again.") from error
    place = "cpu" if encoder.get_providers()[0] == "CPUExecutionProvider" else "cuda"
    front = open_front(folder)
    model = _Onnx(encoder, decoder, front, place)
    return BatchRuntime(str(folder), "onnx", front.tokens, front.log_mel, record.trim_safe, model.hear)
