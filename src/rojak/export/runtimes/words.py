"""When each word is said: token times to word times, and token times from cross-attention.

Follows OpenAI's own method: the attention of the heads that follow the sound, normalised, smoothed, and aligned with
dynamic time warping (openai/whisper `timing.py`). Words are cut as everywhere in Rojak: Han characters singly.
"""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rojak.export.runtime import HeardWord
from rojak.export.vocabulary import token_bytes
from rojak.model.whisper import SpeechTokens, Whisper
from rojak.text.normalize import HAN

POSITION_S = 0.02
MEDIAN_WIDTH = 7
"""Of the filter over attention in time; OpenAI's own value."""
_WORD = re.compile(rf"[{HAN}]|[^\s{HAN}]+")

Floats = npt.NDArray[np.float64]


def heard_words(
    tokens: SpeechTokens, ids: Sequence[int], starts_s: Sequence[float], probabilities: Sequence[float]
) -> tuple[HeardWord, ...]:
    """Join tokens to words.

    Args:
        tokens: The vocabulary.
        ids: Text tokens.
        starts_s: When each token begins, and behind the last when it ends.
        probabilities: Of each token.
    """
    pieces = [token_bytes(piece) for piece in tokens.tokenizer.convert_ids_to_tokens(list(ids))]
    ends = np.cumsum([len(piece) for piece in pieces])
    text = b"".join(pieces).decode("utf-8", "surrogateescape")
    words = []
    for match in _WORD.finditer(text):
        begin = len(text[: match.start()].encode("utf-8", "surrogateescape"))
        raw = match.group().encode("utf-8", "surrogateescape")
        first = int(np.searchsorted(ends, begin, side="right"))
        last = int(np.searchsorted(ends, begin + len(raw) - 1, side="right"))
        probability = float(np.mean(probabilities[first : last + 1]))
        words.append(HeardWord(raw.decode("utf-8", "replace"), starts_s[first], starts_s[last + 1], probability))
    return tuple(words)


def alignment_heads(whisper: Whisper) -> list[tuple[int, int]]:
    """Give (layer, head) of the cross-attention heads to follow; the later half of the layers where nobody knows."""
    known = getattr(whisper.network.generation_config, "alignment_heads", None)
    if known:
        return [(int(layer), int(head)) for layer, head in known]
    config = whisper.network.config
    layers = range(config.decoder_layers // 2, config.decoder_layers)
    return [(layer, head) for layer in layers for head in range(config.decoder_attention_heads)]


def decode_with_attention(
    whisper: Whisper, inputs: torch.Tensor, encoded: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the decoder once and keep where it looks.

    The attention is computed from the queries and keys themselves, since fast attention kernels do not give it.

    Args:
        whisper: Model.
        inputs: `(batch, tokens)`.
        encoded: `(batch, positions, dim)`.

    Returns:
        Hidden states `(batch, tokens, dim)`; attention of the alignment heads `(batch, heads, tokens, positions)`.
    """
    heads = alignment_heads(whisper)
    layers = whisper.network.model.decoder.layers
    kept: dict[tuple[int, str], torch.Tensor] = {}

    def keep(layer: int, part: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: torch.Tensor) -> None:
            kept[layer, part] = output.float()

        return hook

    with ExitStack() as hooks:
        for layer in {layer for layer, _ in heads}:
            attention = layers[layer].encoder_attn
            for part in ("q_proj", "k_proj"):
                handle = getattr(attention, part).register_forward_hook(keep(layer, part))
                hooks.callback(handle.remove)
        hidden = whisper.network.model.decoder(
            input_ids=inputs, encoder_hidden_states=encoded, use_cache=False
        ).last_hidden_state
    size = whisper.network.config.d_model // whisper.network.config.decoder_attention_heads
    looks = []
    for layer, head in heads:
        part = slice(head * size, (head + 1) * size)
        scores = kept[layer, "q_proj"][..., part] @ kept[layer, "k_proj"][..., part].transpose(1, 2)
        looks.append((scores / size**0.5).softmax(dim=-1))
    return hidden, torch.stack(looks, dim=1)


def token_times(attention: torch.Tensor, num_positions: int) -> list[float]:
    """Align tokens with time.

    Args:
        attention: `(heads, tokens, positions)` of the tokens from the last of the prompt to the end-of-text.
        num_positions: Positions that hold the clip; later ones are padding.

    Returns:
        When each token begins; the last value is the begin of the end-of-text.
    """
    weights = attention[:, :, : max(1, num_positions)]
    spread = weights.std(dim=1, keepdim=True, unbiased=False).clamp(min=1e-6)
    weights = _median(((weights - weights.mean(dim=1, keepdim=True)) / spread).cpu())
    return [position * POSITION_S for position in warp(-weights.mean(dim=0).double().numpy())]


def _median(weights: torch.Tensor) -> torch.Tensor:
    half = MEDIAN_WIDTH // 2
    if weights.shape[-1] <= half:
        return weights
    padded = torch.nn.functional.pad(weights, (half, half), mode="reflect")
    return padded.unfold(-1, MEDIAN_WIDTH, 1).median(dim=-1).values


def warp(cost: Floats) -> list[int]:
    """Give the column at which each row begins on the cheapest monotonic path (dynamic time warping).

    Args:
        cost: `(rows, columns)`; a path goes from the first cell to the last by steps down, right or both.
    """
    rows, columns = cost.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0.0
    for i in range(1, rows + 1):
        above = np.minimum(total[i - 1, :-1], total[i - 1, 1:])
        here, row = np.inf, total[i]
        for j in range(1, columns + 1):
            here = cost[i - 1, j - 1] + min(above[j - 1], here)
            row[j] = here
    starts = [0] * rows
    i, j = rows, columns
    while i > 0:
        starts[i - 1] = j - 1
        diagonal, up, left = total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]
        if left < min(diagonal, up):
            j -= 1
        elif diagonal <= up:
            i, j = i - 1, j - 1
        else:
            i -= 1
    return starts
