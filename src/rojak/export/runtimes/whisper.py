"""Run a model with PyTorch: base models, adapters, runs, merged folders, hub ids.

Reads what `model.adapters.load_any` reads. The reference that every export is held against.
"""

from collections.abc import Sequence
from functools import partial

import torch

from rojak.errors import InputError
from rojak.evaluate.decode import detect_languages, greedy_tokens
from rojak.export.runtime import Device, RuntimeOptions
from rojak.export.runtimes.batches import Batch, BatchRuntime, Heard, forbidden_controls, words_of
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
    texts = greedy_tokens(whisper, encoded, prompts, options.max_new_tokens)
    logprobs = mean_logprobs(whisper, encoded, prompts, texts, options.max_new_tokens)
    put_back: list[set[int]] = [set() for _ in texts]
    if whisper.restoration is not None and options.restore_particles:
        mended = restore(whisper, encoded, codes, texts, batch.samples)
        texts = [ids for ids, _ in mended]
        put_back = [{particle.word for particle in particles} for _, particles in mended]
    if options.word_times:
        words = [tuple(row) for row in time_words(whisper, encoded, codes, texts, batch.durations_s)]
    else:
        words = [words_of(whisper.tokens, ids, code) for ids, code in zip(texts, codes, strict=True)]
    marked = [
        tuple(word.model_copy(update={"restored": True}) if place in places else word for place, word in enumerate(row))
        for row, places in zip(words, put_back, strict=True)
    ]
    return [Heard(*clip) for clip in zip(texts, logprobs, codes, marked, strict=True)]


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
