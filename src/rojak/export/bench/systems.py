"""The programs that a benchmark runs: ours and its peers, each as a function from clips to texts.

All decode greedily at temperature 0, without timestamps and without the text before, in one given language, and with
one limit on the tokens of a window. What differs is how each runs the same weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rojak.audio import SAMPLE_RATE, Samples

WINDOW_S = 30.0
PROMPT_TOKENS = 4


@dataclass(frozen=True)
class Job:
    """What one process measures.

    Attributes:
        system: A name of `SYSTEMS`.
        model: Folder that the program opens.
        language: Prompted for every clip.
        num_threads: Of the computation.
        context: `full`, `trim` or None for what suits the model.
        lengths_s: Sets of clips, by wanted length.
        batches: Windows decoded together; 1 measures latency.
        max_new_tokens: Longest transcript of a window.
    """

    system: str
    model: str
    language: str
    num_threads: int
    context: str | None
    lengths_s: tuple[float, ...]
    batches: tuple[int, ...]
    max_new_tokens: int = 224


Hear = Callable[[Sequence[Samples], int], list[str]]
"""Takes clips of any length and how many windows to decode together; gives a text for each clip."""


def open_rojak(job: Job) -> Hear:
    """Ours: whatever `open_model` opens, cut by `listen` where a clip is longer than a window."""
    from rojak.evaluate.decode import Context
    from rojak.export.runtime import open_model
    from rojak.export.transcribe.listen import TRIM_WINDOW_S, ListenOptions, listen
    from rojak.export.transcribe.sound import Recording

    runtime = open_model(job.model)
    chosen: Context = "trim" if job.context == "trim" or (job.context is None and runtime.trim_safe) else "full"

    def hear(clips: Sequence[Samples], batch: int) -> list[str]:
        has_long = any(len(samples) > WINDOW_S * SAMPLE_RATE for samples in clips)
        longest_s = TRIM_WINDOW_S if chosen == "trim" and has_long else WINDOW_S
        options = ListenOptions(
            language=job.language,
            context=chosen,
            vad=has_long,
            max_window_s=longest_s,
            batch_seconds=batch * longest_s,
            max_new_tokens=job.max_new_tokens,
            words=False,
        )
        recordings = [Recording(Path(str(number)), str(number)) for number in range(len(clips))]
        results = listen(recordings, runtime, options, read=lambda path: clips[int(path.name)])
        texts = {recording.stem: getattr(result, "text", "") for recording, result in results}
        return [texts[str(number)] for number in range(len(clips))]

    return hear


def open_faster_whisper(job: Job) -> Hear:
    """faster-whisper on a `ct2` export: one clip after the other, its batched pipeline for long ones."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    loaded = WhisperModel(job.model, cpu_threads=job.num_threads, local_files_only=True)
    batched = BatchedInferencePipeline(loaded)
    how: dict[str, Any] = {
        "language": job.language,
        "beam_size": 1,
        "temperature": 0.0,
        "without_timestamps": True,
        "condition_on_previous_text": False,
        # CTranslate2 takes half of prompt and text together for the text, which ours allows for in the same way.
        "max_new_tokens": 2 * job.max_new_tokens - PROMPT_TOKENS,
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


def open_transformers(job: Job) -> Hear:
    """The transformers pipeline on a plain model folder, in chunks of 30 s for long clips."""
    import torch
    from transformers import pipeline
    from transformers.utils import logging

    logging.set_verbosity_error()
    pipe: Any = pipeline(
        "automatic-speech-recognition",
        model=job.model,
        device=0 if torch.cuda.is_available() else -1,
        dtype=torch.float32,
    )
    if pipe.tokenizer.pad_token_id is None:
        pipe.tokenizer.pad_token_id = pipe.model.config.eos_token_id
    how = {"language": job.language, "task": "transcribe", "num_beams": 1, "max_new_tokens": job.max_new_tokens}

    def hear(clips: Sequence[Samples], batch: int) -> list[str]:
        has_long = any(len(samples) > WINDOW_S * SAMPLE_RATE for samples in clips)
        chunked = {"chunk_length_s": WINDOW_S, "ignore_warning": True} if has_long else {}
        inputs = [{"raw": samples, "sampling_rate": SAMPLE_RATE} for samples in clips]
        return [str(row["text"]).strip() for row in pipe(inputs, batch_size=batch, generate_kwargs=how, **chunked)]

    return hear


def open_openai_whisper(job: Job) -> Hear:
    """openai-whisper on the same weights, renamed and renumbered; its tokens are read with the model's vocabulary."""
    import torch
    import whisper as openai

    from rojak.export.openai import named_weights, require_numbering
    from rojak.model.whisper import load_whisper

    loaded = load_whisper(job.model)
    numbering = require_numbering(loaded, "openai-whisper")
    config: Any = loaded.network.config
    dims = openai.model.ModelDimensions(
        n_mels=config.num_mel_bins,
        n_audio_ctx=config.max_source_positions,
        n_audio_state=config.d_model,
        n_audio_head=config.encoder_attention_heads,
        n_audio_layer=config.encoder_layers,
        n_vocab=numbering.size,
        n_text_ctx=config.max_target_positions,
        n_text_state=config.d_model,
        n_text_head=config.decoder_attention_heads,
        n_text_layer=config.decoder_layers,
    )
    network = openai.model.Whisper(dims)
    network.load_state_dict(named_weights(loaded, numbering))
    network.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    settings: Any = loaded.network.generation_config
    how: dict[str, Any] = {
        "language": job.language,
        "temperature": 0.0,
        "without_timestamps": True,
        "condition_on_previous_text": False,
        "fp16": False,
        "sample_len": job.max_new_tokens,
        "no_speech_threshold": None,
        # Its own lists are ids of OpenAI's vocabulary.
        "suppress_tokens": list(settings.suppress_tokens or ()),
        "suppress_blank": bool(settings.begin_suppress_tokens),
    }

    def hear(clips: Sequence[Samples], batch: int) -> list[str]:
        del batch  # it has none
        texts = []
        for samples in clips:
            segments = network.transcribe(samples, **how)["segments"]
            texts.append(" ".join(loaded.tokens.decode(segment["tokens"]) for segment in segments))
        return texts

    return hear


SYSTEMS: dict[str, Callable[[Job], Hear]] = {
    "rojak": open_rojak,
    "faster-whisper": open_faster_whisper,
    "transformers": open_transformers,
    "openai-whisper": open_openai_whisper,
}
MODULES = {"faster-whisper": "faster_whisper", "transformers": "transformers", "openai-whisper": "whisper"}
"""What a peer must find installed."""
PEERS_OF_KIND: dict[str, tuple[str, ...]] = {
    "ct2": ("faster-whisper",),
    "transformers": ("transformers", "openai-whisper"),
}
"""The peers that run a folder of each kind; `onnx` and `ggml` exports are run by ours alone."""
