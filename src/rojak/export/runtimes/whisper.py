"""Run a model with PyTorch: base models, adapters, runs, merged folders, hub ids.

Reads what `model.adapters.load_any` reads. The reference that every export is held against.
"""

from functools import partial

import torch

from rojak.errors import InputError
from rojak.evaluate.decode import detect_languages
from rojak.evaluate.search import search_one_by_one
from rojak.export.runtime import Device, RuntimeOptions
from rojak.export.runtimes.batches import Batch, BatchRuntime, Heard, words_of
from rojak.model.adapters import load_any
from rojak.model.restore import restore
from rojak.model.whisper import Whisper, encode_audio
from rojak.model.word_times import time_words


@torch.inference_mode()
def hear(whisper: Whisper, batch: Batch, options: RuntimeOptions) -> list[Heard]:
    """Decode one batch, greedily; put particles back where the model has learnt to."""
    encoded = encode_audio(whisper.network, batch.mel)
    codes = batch.codes(lambda: detect_languages(whisper, encoded))
    prompts = torch.tensor([whisper.tokens.prompt(code) for code in codes], device=encoded.device)
    found = search_one_by_one(whisper, encoded, prompts, options.max_new_tokens)
    texts = [one.ids for one in found]
    # A text of as many tokens as are allowed was cut off and has no end-of-text.
    counts = [len(text) + (len(text) < options.max_new_tokens) for text in texts]
    logprobs = [one.logprob / count for one, count in zip(found, counts, strict=True)]
    put_back: list[set[int]] = [set() for _ in texts]
    if whisper.restoration is not None and options.restore_particles:
        mended = restore(whisper, encoded, codes, texts, batch.samples)
        texts = [ids for ids, _ in mended]
        put_back = [{particle.word for particle in particles} for _, particles in mended]
    if not (options.words or options.word_times):
        return [Heard(*clip) for clip in zip(texts, logprobs, codes, strict=True)]
    if options.word_times:
        words = [tuple(row) for row in time_words(whisper, encoded, codes, texts, batch.durations_s)]
    else:
        words = [words_of(whisper.tokens, ids, code) for ids, code in zip(texts, codes, strict=True)]
    marked = [
        tuple(word.model_copy(update={"restored": True}) if place in places else word for place, word in enumerate(row))
        for row, places in zip(words, put_back, strict=True)
    ]
    return [Heard(*clip) for clip in zip(texts, logprobs, codes, marked, strict=True)]


def open_whisper(name: str, device: Device, *, trim_safe: bool = False) -> BatchRuntime:
    """Load a model for PyTorch.

    Raises:
        InputError: No model under that name; `cuda` without a GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda: this machine has no CUDA GPU that PyTorch can use; take cpu or auto.")
    whisper = load_any(name)
    whisper.network.to(torch.device("cpu" if device == "cpu" or not torch.cuda.is_available() else "cuda"))
    return BatchRuntime(name, "transformers", whisper.tokens, whisper.log_mel(), trim_safe, partial(hear, whisper))
