"""When each word of a transcript was said: forced alignment by the decoder's cross-attention.

Takes encoder output and token ids, gives words with times and confidence; reads and writes no files. Every place that
needs word times (evaluation, transcription, restoration of particles) takes them from here.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

from rojak.model.labels import word_languages
from rojak.model.pieces import cut_into_words
from rojak.model.whisper import Whisper
from rojak.records import HeardWord

POSITION_S = 0.02
_MEDIAN_WIDTH = 7
"""Positions over which attention is smoothed, as in openai/whisper's `timing.py`."""


@dataclass(frozen=True)
class AlignedTokens:
    """A token sequence held against its audio.

    Attributes:
        chances: `(tokens + 1, vocabulary)` log-probabilities of what comes at each place, end-of-text last.
        ids: The sequence, end-of-text last.
        borders_s: For the text tokens among them, in order, where each begins; then where the last one ends.
        rank: Place in the sequence of each text token to its number among the text tokens.
        sharpness: For each text token, how much more it looks at its own stretch than the other tokens do.
    """

    chances: torch.Tensor
    ids: tuple[int, ...]
    borders_s: tuple[float, ...]
    rank: dict[int, int]
    sharpness: tuple[float, ...]

    def log_chance(self, place: int) -> float:
        """Give the log-probability of one token after those before it."""
        return float(self.chances[place, self.ids[place]])

    def total(self) -> float:
        """Give the log-probability of the whole sequence."""
        return sum(self.log_chance(place) for place in range(len(self.ids)))

    def fit(self) -> float:
        """Give how well tokens and sound lie on each other: the sharpness of all stretches, times their seconds."""
        return sum(one * (b - a) for one, (a, b) in zip(self.sharpness, pairwise(self.borders_s), strict=True))


@torch.inference_mode()
def align_tokens(
    whisper: Whisper, encoded: torch.Tensor, languages: Sequence[str], ids: Sequence[Sequence[int]],
    durations_s: Sequence[float],
) -> list[AlignedTokens]:  # fmt: skip
    """Run the decoder once over given tokens and align them with the audio; arguments as for `time_words`."""
    prompts = [whisper.tokens.prompt(language) for language in languages]
    sequences = [[*prompt, *row, whisper.tokens.end] for prompt, row in zip(prompts, ids, strict=True)]
    logits, attention = _read_along(whisper, encoded, sequences)
    found = []
    for number, (prompt, row, duration_s) in enumerate(zip(prompts, ids, durations_s, strict=True)):
        first, count = len(prompt) - 1, len(row)
        positions = min(encoded.shape[1], max(1, round(duration_s / POSITION_S)))
        spoken = [place for place, token in enumerate(row) if token < whisper.tokens.end]
        score = _evidence(attention[number][:, [*(first + place for place in spoken), first + count], :positions])
        borders = segment(score)
        found.append(
            AlignedTokens(
                chances=torch.log_softmax(logits[number, first : first + count + 1].float(), dim=1),
                ids=(*row, whisper.tokens.end),
                borders_s=tuple(min(border * POSITION_S, duration_s) for border in borders[:-1]),
                rank={place: rank for rank, place in enumerate(spoken)},
                sharpness=tuple(
                    float(score[i, a:b].mean()) if b > a else 0.0 for i, (a, b) in enumerate(pairwise(borders[:-1]))
                ),
            )
        )
    return found


def time_words(
    whisper: Whisper, encoded: torch.Tensor, languages: Sequence[str], ids: Sequence[Sequence[int]],
    durations_s: Sequence[float],
) -> list[list[HeardWord]]:  # fmt: skip
    """Give the words of transcripts with the times at which they are heard in the audio they were decoded from.

    Args:
        whisper: The model; it is run once more over the given tokens.
        encoded: `(batch, positions, dim)` encoder output.
        languages: Language code of each prompt.
        ids: Decoded tokens of each clip, prompt and end-of-text left out; language tags may stand among them.
        durations_s: Length of each clip's own sound inside its window.

    Returns:
        For each clip its words in order, with language (the model's tags, else the text tagger's) and confidence;
        times never run backwards and stay inside the clip.
    """
    if not any(ids):
        return [[] for _ in ids]
    aligned = align_tokens(whisper, encoded, languages, ids, durations_s)
    return [_words(whisper, row, language, found) for row, language, found in zip(ids, languages, aligned, strict=True)]


def _words(whisper: Whisper, ids: Sequence[int], language: str, aligned: AlignedTokens) -> list[HeardWord]:
    pieces = cut_into_words(whisper.tokens, ids)
    words = []
    for piece, said in zip(pieces, word_languages(whisper.tokens, ids, pieces, language), strict=True):
        confidence = math.exp(sum(map(aligned.log_chance, piece.tokens)) / len(piece.tokens))
        words.append(
            HeardWord(
                word=piece.word,
                language=said,
                start=round(aligned.borders_s[aligned.rank[piece.tokens[0]]], 3),
                end=round(aligned.borders_s[aligned.rank[piece.tokens[-1]] + 1], 3),
                confidence=round(confidence, 4),
            )
        )
    return words


def _read_along(
    whisper: Whisper, encoded: torch.Tensor, sequences: Sequence[Sequence[int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give logits, `(batch, tokens, vocabulary)`, and chosen heads' attention, `(batch, heads, tokens, positions)`."""
    length = max(map(len, sequences)) - 1
    inputs = torch.full((len(sequences), length), whisper.tokens.end, device=encoded.device)
    for row, sequence in zip(inputs, sequences, strict=True):
        row[: len(sequence) - 1] = torch.tensor(sequence[:-1])
    with eager_attention(whisper):
        output = whisper.network.model.decoder(
            input_ids=inputs, encoder_hidden_states=encoded, use_cache=False, output_attentions=True
        )
    heads = [output.cross_attentions[layer][:, head] for layer, head in alignment_heads(whisper)]
    return whisper.network.proj_out(output.last_hidden_state), torch.stack(heads, dim=1).float()


@contextmanager
def eager_attention(whisper: Whisper) -> Iterator[None]:
    """Compute attention step by step for a while: the fused kinds do not tell their weights."""
    before = whisper.network.config._attn_implementation
    whisper.network.set_attn_implementation("eager")
    try:
        yield
    finally:
        whisper.network.set_attn_implementation(before or "sdpa")


def alignment_heads(whisper: Whisper) -> list[tuple[int, int]]:
    """Give the (layer, head) pairs that follow the audio: the model's own, else all of the upper half of the layers."""
    known = getattr(whisper.network.generation_config, "alignment_heads", None)
    if known:
        return [(int(layer), int(head)) for layer, head in known]
    config = whisper.network.config
    layers = range(config.decoder_layers // 2, config.decoder_layers)
    return [(layer, head) for layer in layers for head in range(config.decoder_attention_heads)]


def _evidence(attention: torch.Tensor) -> npt.NDArray[np.float32]:
    """Turn `(heads, tokens, positions)` attention into one `(tokens, positions)` score, as openai/whisper does."""
    deviation, mean = torch.std_mean(attention, dim=1, keepdim=True, unbiased=False)
    scaled = (attention - mean) / deviation.clamp(min=1e-6)
    half = _MEDIAN_WIDTH // 2
    if scaled.shape[2] > half:
        padded = torch.nn.functional.pad(scaled, (half, half), mode="reflect")
        scaled = padded.unfold(2, _MEDIAN_WIDTH, 1).median(dim=3).values
    result: npt.NDArray[np.float32] = scaled.mean(dim=0).cpu().numpy()
    return result


def segment(score: npt.NDArray[np.float32]) -> list[int]:
    """Give each row one stretch of columns, in order, so that the sum of the scores inside is greatest.

    Args:
        score: `(rows, columns)`.

    Returns:
        Borders: row i has the columns from border i up to border i + 1. With fewer columns than rows some are empty.
    """
    rows, columns = score.shape
    if columns < rows:
        return [round(i * columns / rows) for i in range(rows + 1)]
    best = np.full(rows, -np.inf)
    best[0] = score[0, 0]
    moved = np.zeros((columns, rows), dtype=bool)
    for column in range(1, columns):
        before = np.concatenate(([-np.inf], best[:-1]))
        moved[column] = before > best
        best = np.where(moved[column], before, best) + score[:, column]
    borders = [columns]
    row = rows - 1
    for column in range(columns - 1, 0, -1):
        if moved[column, row]:
            borders.append(column)
            row -= 1
    return [0, *reversed(borders)]
