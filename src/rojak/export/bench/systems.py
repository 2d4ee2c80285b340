"""The programs that a benchmark runs: ours and its peers, each as a function from clips to texts.

All decode greedily at temperature 0, without timestamps and without the text before, in one given language, at most
`MAX_NEW_TOKENS` a window. What differs is how each runs the same weights.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rojak.audio import SAMPLE_RATE, Samples
from rojak.errors import InputError, MissingExtraError

MAX_NEW_TOKENS = 224
WINDOW_S = 30.0
OPENAI_VOCABULARIES = (51864, 51865, 51866)
"""openai-whisper has its tokens built in; a model with others cannot be run by it."""

Hear = Callable[[Sequence[Samples], int], list[str]]
"""Takes clips of any length and how many windows to decode together; gives a text for each clip."""


def open_rojak(model: str, language: str, num_threads: int, context: str | None) -> Hear:
    """Ours: whatever `open_model` opens, cut by `listen` where a clip is longer than a window."""
    from rojak.evaluate.decode import Context
    from rojak.export.runtime import open_model
    from rojak.export.transcribe.listen import TRIM_WINDOW_S, ListenOptions, listen
    from rojak.export.transcribe.sound import Recording

    del num_threads  # the worker has told torch, which CTranslate2 and onnxruntime are told by in turn
    runtime = open_model(model)
    chosen: Context = "trim" if context == "trim" or (context is None and runtime.trim_safe) else "full"

    def hear(clips: Sequence[Samples], batch: int) -> list[str]:
        longest_s = TRIM_WINDOW_S if chosen == "trim" else WINDOW_S
        has_long = any(len(samples) > WINDOW_S * SAMPLE_RATE for samples in clips)
        options = ListenOptions(
            language=language,
            context=chosen,
            vad=has_long,
            max_window_s=longest_s if has_long else WINDOW_S,
            batch_seconds=batch * longest_s,
        )
        recordings = [Recording(Path(str(number)), str(number)) for number in range(len(clips))]
        results = listen(recordings, runtime, options, read=lambda path: clips[int(path.name)])
        texts = {recording.stem: getattr(result, "text", "") for recording, result in results}
        return [texts[str(number)] for number in range(len(clips))]

    return hear


def open_faster_whisper(model: str, language: str, num_threads: int, context: str | None) -> Hear:
    """faster-whisper on a `ct2` export: one clip after the other, its batched pipeline for long ones."""
    del context
    try:
        from faster_whisper import BatchedInferencePipeline, WhisperModel
    except ImportError:
        raise MissingExtraError("faster-whisper is not installed.") from None
    loaded = WhisperModel(model, cpu_threads=num_threads, local_files_only=True)
    batched = BatchedInferencePipeline(loaded)
    how: dict[str, Any] = {
        "language": language,
        "beam_size": 1,
        "temperature": 0.0,
        "without_timestamps": True,
        "condition_on_previous_text": False,
        "max_new_tokens": MAX_NEW_TOKENS,
        "no_speech_threshold": None,
    }

    def hear(clips: Sequence[Samples], batch: int) -> list[str]:
        texts = []
        for samples in clips:
            if len(samples) > WINDOW_S * SAMPLE_RATE and batch > 1:
                segments, _ = batched.transcribe(samples, batch_size=batch, **how)
            else:
                segments, _ = loaded.transcribe(samples, vad_filter=len(samples) > WINDOW_S * SAMPLE_RATE, **how)
            texts.append(" ".join(segment.text.strip() for segment in segments))
        return texts

    return hear


def open_transformers(model: str, language: str, num_threads: int, context: str | None) -> Hear:
    """The transformers pipeline on a plain model folder, in chunks of 30 s for long clips."""
    del num_threads, context
    import torch
    from transformers import pipeline
    from transformers.utils import logging

    logging.set_verbosity_error()
    pipe: Any = pipeline(
        "automatic-speech-recognition", model=model, device=0 if torch.cuda.is_available() else -1, dtype=torch.float32
    )
    how = {"language": language, "task": "transcribe", "num_beams": 1, "max_new_tokens": MAX_NEW_TOKENS}

    def hear(clips: Sequence[Samples], batch: int) -> list[str]:
        has_long = any(len(samples) > WINDOW_S * SAMPLE_RATE for samples in clips)
        chunked = {"chunk_length_s": WINDOW_S, "ignore_warning": True} if has_long else {}
        inputs = [{"raw": samples, "sampling_rate": SAMPLE_RATE} for samples in clips]
        return [str(row["text"]).strip() for row in pipe(inputs, batch_size=batch, generate_kwargs=how, **chunked)]

    return hear


def open_openai_whisper(model: str, language: str, num_threads: int, context: str | None) -> Hear:
    """openai-whisper on the same weights, renamed to its own names."""
    del num_threads, context
    try:
        import whisper as openai
    except ImportError:
        raise MissingExtraError("openai-whisper is not installed.") from None
    from rojak.export.bench.openai import convert_weights
    from rojak.model.whisper import load_whisper

    loaded = load_whisper(model)
    config: Any = loaded.network.config
    if config.vocab_size not in OPENAI_VOCABULARIES:
        raise InputError("openai-whisper has OpenAI's vocabulary built in, and this model has another.")
    dims = openai.model.ModelDimensions(
        n_mels=config.num_mel_bins,
        n_audio_ctx=config.max_source_positions,
        n_audio_state=config.d_model,
        n_audio_head=config.encoder_attention_heads,
        n_audio_layer=config.encoder_layers,
        n_vocab=config.vocab_size,
        n_text_ctx=config.max_target_positions,
        n_text_state=config.d_model,
        n_text_head=config.decoder_attention_heads,
        n_text_layer=config.decoder_layers,
    )
    network = openai.model.Whisper(dims)
    network.load_state_dict(convert_weights(loaded.network.state_dict()), strict=False)
    network.eval()
    how: dict[str, Any] = {
        "language": language,
        "temperature": 0.0,
        "without_timestamps": True,
        "condition_on_previous_text": False,
        "fp16": False,
        "sample_len": MAX_NEW_TOKENS,
        "no_speech_threshold": None,
    }

    def hear(clips: Sequence[Samples], batch: int) -> list[str]:
        del batch  # it has none
        return [str(network.transcribe(samples, **how)["text"]).strip() for samples in clips]

    return hear


SYSTEMS: dict[str, Callable[[str, str, int, str | None], Hear]] = {
    "rojak": open_rojak,
    "faster-whisper": open_faster_whisper,
    "transformers": open_transformers,
    "openai-whisper": open_openai_whisper,
}
PEERS_OF_KIND: dict[str, tuple[str, ...]] = {
    "ct2": ("faster-whisper",),
    "transformers": ("transformers", "openai-whisper"),
}
"""The peers that run a folder of each kind; `onnx` and `ggml` exports are run by ours alone."""
