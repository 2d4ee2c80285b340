"""Turn audio into text: batched greedy decoding with a cache, over the full 30-s context or a trimmed one.

Takes a loaded Whisper and waveforms, gives texts; reads and writes no files. A clip's result does not depend on which
clips share its batch: windows in a batch have one length, which follows from the clip alone.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from transformers import DynamicCache, EncoderDecoderCache

from rojak.features.mel import SAMPLES_PER_POSITION, WINDOW_SECONDS
from rojak.model.labels import word_languages
from rojak.model.pieces import cut_into_words
from rojak.model.restore import RestoredParticle, restore
from rojak.model.whisper import Whisper, encode_audio
from rojak.model.word_times import time_words
from rojak.records import LANGUAGES, HeardWord

Context = Literal["full", "trim"]
SAMPLE_RATE = 16000
TRIM_GRID_S = 1.28
"""Trimmed windows end on this grid (64 encoder positions), so that clips of like length share a batch."""

SHRINK_SHARE = 0.75
"""Finished clips leave a batch once no more than this share goes on, so that a runaway does not hold up the others."""


@dataclass(frozen=True)
class DecodeOptions:
    """How to decode; recorded with every result.

    `language` is a code, `record` for the language of each clip's record, or `detect` to let the model choose per clip.
    """

    context: Context = "full"
    language: str = "record"
    batch_seconds: float = 240.0
    max_new_tokens: int = 224
    """OpenAI's own limit for a window: half of the decoder's positions."""
    word_times: bool = False
    """Give every word its time and confidence too, at the cost of one more pass of the decoder."""
    restore_particles: bool = True
    """Put dropped particles back where the model has learnt to (`rojak fit-particles`)."""


@dataclass(frozen=True)
class Decoded:
    """What was heard in one clip."""

    index: int
    text: str
    language: str
    decode_s: float
    """The clip's share of its batch's seconds, front end included."""
    words: tuple[HeardWord, ...] | None = None
    """Its words, where the model tags their languages or their times were asked for."""
    restored: tuple[RestoredParticle, ...] = ()
    """Particles that were not decoded and put back."""


@dataclass
class ClipToDecode:
    """A waveform (16 kHz mono float32) and the language code to prompt with, or None to detect it."""

    index: int
    samples: npt.NDArray[np.float32] = field(repr=False)
    language: str | None

    def window_s(self, context: Context) -> float:
        """Seconds of encoder context that the clip gets."""
        if context == "full":
            return WINDOW_SECONDS
        steps = math.ceil(round(len(self.samples) / SAMPLE_RATE / TRIM_GRID_S, 6))
        return min(WINDOW_SECONDS, max(1, steps) * TRIM_GRID_S)


def decode_clips(
    whisper: Whisper,
    clips: Iterable[ClipToDecode],
    options: DecodeOptions,
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[Decoded]:
    """Decode clips of up to 30 s, in batches of like length; results come as batches are done.

    Args:
        whisper: Model; adapters may be in place.
        clips: May be a generator; at most a few batches are held in memory.
        options: Context, limits.
        on_progress: Told the number of clips after every batch.
    """
    waiting: dict[float, list[ClipToDecode]] = defaultdict(list)

    def run(length_s: float) -> Iterator[Decoded]:
        batch = waiting.pop(length_s)
        yield from _decode_batch(whisper, batch, length_s, options)
        if on_progress:
            on_progress(len(batch))

    for clip in clips:
        length_s = clip.window_s(options.context)
        waiting[length_s].append(clip)
        if (len(waiting[length_s]) + 1) * length_s > options.batch_seconds:
            yield from run(length_s)
    for length_s in sorted(waiting):
        yield from run(length_s)


@torch.inference_mode()
def _decode_batch(
    whisper: Whisper, clips: Sequence[ClipToDecode], length_s: float, options: DecodeOptions
) -> list[Decoded]:
    started = time.perf_counter()
    encoded = encode_clips(whisper, clips, length_s)
    languages = [clip.language for clip in clips]
    if None in languages:
        detected = detect_languages(whisper, encoded)
        languages = [given or heard for given, heard in zip(languages, detected, strict=True)]
    prompts = torch.tensor([whisper.tokens.prompt(language or "en") for language in languages], device=encoded.device)
    tokens = greedy_tokens(whisper, encoded, prompts, options.max_new_tokens)
    codes = [language or "en" for language in languages]
    put_back: list[list[RestoredParticle]] = [[] for _ in clips]
    if whisper.restoration is not None and options.restore_particles:
        heard = restore(whisper, encoded, codes, tokens, [clip.samples for clip in clips])
        tokens, put_back = [ids for ids, _ in heard], [particles for _, particles in heard]
    words = _heard_words(whisper, encoded, clips, codes, tokens, options)
    seconds = (time.perf_counter() - started) / len(clips)
    return [
        Decoded(clip.index, whisper.tokens.decode(ids), language, seconds, _mark(heard, restored), tuple(restored))
        for clip, ids, language, heard, restored in zip(clips, tokens, codes, words, put_back, strict=True)
    ]


def encode_clips(whisper: Whisper, clips: Sequence[ClipToDecode], length_s: float) -> torch.Tensor:
    """Give the encoder output, `(batch, positions, dim)`, of clips laid into windows of one length."""
    num_samples = round(length_s * SAMPLE_RATE / SAMPLES_PER_POSITION) * SAMPLES_PER_POSITION
    waveforms = np.zeros((len(clips), num_samples), np.float32)
    for row, clip in zip(waveforms, clips, strict=True):
        row[: len(clip.samples)] = clip.samples[:num_samples]
    return encode_audio(whisper.network, whisper.log_mel()(torch.from_numpy(waveforms)))


def _mark(words: tuple[HeardWord, ...] | None, restored: Sequence[RestoredParticle]) -> tuple[HeardWord, ...] | None:
    places = {particle.word for particle in restored}
    if words is None or not places:
        return words
    return tuple(w.model_copy(update={"restored": True}) if n in places else w for n, w in enumerate(words))


def _heard_words(
    whisper: Whisper, encoded: torch.Tensor, clips: Sequence[ClipToDecode], languages: Sequence[str],
    ids: Sequence[Sequence[int]], options: DecodeOptions,
) -> list[tuple[HeardWord, ...] | None]:  # fmt: skip
    """Give the words of each clip where times were asked for or the model tags its words."""
    if options.word_times:
        durations = [len(clip.samples) / SAMPLE_RATE for clip in clips]
        return [tuple(words) for words in time_words(whisper, encoded, languages, ids, durations)]
    if whisper.tokens.labelling.language_tags == "none":
        return [None] * len(clips)
    found: list[tuple[HeardWord, ...] | None] = []
    for row, language in zip(ids, languages, strict=True):
        pieces = cut_into_words(whisper.tokens, row)
        said = word_languages(whisper.tokens, row, pieces, language)
        found.append(tuple(HeardWord(word=p.word, language=lang) for p, lang in zip(pieces, said, strict=True)))
    return found


def detect_languages(whisper: Whisper, encoded: torch.Tensor) -> list[str]:
    """Give the most likely language code of each clip, by one decoder step over the language tokens."""
    start = torch.full((len(encoded), 1), whisper.tokens.start, device=encoded.device)
    hidden = whisper.network.model.decoder(input_ids=start, encoder_hidden_states=encoded, use_cache=False)
    logits = whisper.network.proj_out(hidden.last_hidden_state[:, -1]).float()
    codes = list(whisper.tokens.languages)
    choices = logits[:, [whisper.tokens.languages[code] for code in codes]].argmax(dim=1)
    return [codes[int(choice)] for choice in choices]


def greedy_tokens(
    whisper: Whisper, encoded: torch.Tensor, prompts: torch.Tensor, max_new_tokens: int
) -> list[list[int]]:
    """Give the most likely next token again and again until end-of-text.

    Args:
        whisper: Model.
        encoded: `(batch, positions, dim)` encoder output.
        prompts: `(batch, tokens)` decoder prompt.
        max_new_tokens: Limit a clip.

    Returns:
        Token ids a clip, prompt and end-of-text left out.
    """
    network, tokens = whisper.network, whisper.tokens
    settings: Any = network.generation_config
    forbidden = torch.zeros(network.config.vocab_size, dtype=torch.bool, device=encoded.device)
    forbidden[tokens.end + 1 :] = True
    if tokens.labelling.language_tags != "none":
        forbidden[[tokens.languages[code] for code in LANGUAGES]] = False
    forbidden[list(settings.suppress_tokens or [])] = True
    at_start = forbidden.clone()
    at_start[list(settings.begin_suppress_tokens or [])] = True

    results: list[list[int]] = [[] for _ in prompts]
    rows = torch.arange(len(prompts), device=encoded.device)
    going = torch.ones(len(prompts), dtype=torch.bool, device=encoded.device)
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    step_input = prompts
    limit = min(max_new_tokens, network.config.max_target_positions - prompts.shape[1])
    for step in range(limit):
        hidden = network.model.decoder(
            input_ids=step_input, encoder_hidden_states=encoded, past_key_values=cache, use_cache=True
        ).last_hidden_state[:, -1]
        logits = network.proj_out(hidden).float().masked_fill(forbidden if step else at_start, -torch.inf)
        chosen = logits.argmax(dim=1)
        going &= chosen != tokens.end
        for row, token in zip(rows[going].tolist(), chosen[going].tolist(), strict=True):
            results[row].append(token)
        if not going.any():
            break
        if int(going.sum()) <= SHRINK_SHARE * len(going):
            keep = going.nonzero().squeeze(1)
            rows, encoded, chosen, going = rows[keep], encoded[keep], chosen[keep], going[keep]
            cache.batch_select_indices(keep)
        step_input = chosen.unsqueeze(1)
    return results
