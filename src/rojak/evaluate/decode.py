"""Turn audio into text: batched decoding, greedy or by beams, over the full 30-s context or a trimmed one.

Takes a loaded Whisper and waveforms, gives texts; reads and writes no files. A clip's result does not depend on which
clips share its batch: windows in a batch have one length, which follows from the clip alone.
"""

import math
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from rojak.errors import InputError
from rojak.evaluate.fallback import fall_back
from rojak.evaluate.search import Hypothesis, search_beams, search_one_by_one
from rojak.features.mel import SAMPLES_PER_POSITION, WINDOW_SECONDS
from rojak.model.labels import word_languages
from rojak.model.pieces import cut_into_words
from rojak.model.restore import RestoredParticle, restore
from rojak.model.whisper import Whisper, encode_audio
from rojak.model.word_times import time_words
from rojak.records import HeardWord

Context = Literal["full", "trim"]
SAMPLE_RATE = 16000
MAX_BEAMS = 32
TRIM_GRID_S = 1.28
"""Trimmed windows end on this grid (64 encoder positions), so that clips of like length share a batch."""


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
    num_beams: int = 1
    """1 is greedy."""
    temperature_fallback: bool = False
    """Decode again at rising temperatures what came out unlikely or repetitive, as openai/whisper does."""
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
    mean_logprob: float | None = None
    """Log-probability a token, end-of-text counted, of what was decoded; None where the runtime does not tell."""
    temperature: float = 0.0
    """At which the text was found; above 0 only with temperature fallback."""
    words: tuple[HeardWord, ...] | None = None
    """Its words, where the model tags their languages or their times were asked for."""
    languages_from: Literal["model", "tagger"] = "tagger"
    """Who says which language each of `words` is in."""
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


Decode = Callable[[Iterable[ClipToDecode], DecodeOptions, Callable[[int], None] | None], Iterator[Decoded]]
"""Whatever decodes clips of up to 30 s, in any order: `partial(decode_clips, whisper)`, or an exported model's own."""


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

    Raises:
        InputError: Too many beams, or a language that the model has no token for.
    """
    if not 1 <= options.num_beams <= MAX_BEAMS:
        raise InputError(f"num_beams {options.num_beams}: allowed are 1 (greedy) to {MAX_BEAMS}.")
    waiting: dict[float, list[ClipToDecode]] = defaultdict(list)

    def run(length_s: float) -> Iterator[Decoded]:
        batch = waiting.pop(length_s)
        yield from _decode_batch(whisper, batch, length_s, options)
        if on_progress:
            on_progress(len(batch))

    for clip in clips:
        length_s = clip.window_s(options.context)
        waiting[length_s].append(clip)
        if (len(waiting[length_s]) + 1) * length_s * options.num_beams > options.batch_seconds:
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
    found, temperatures = _search(whisper, encoded, prompts, clips, options)
    tokens = [one.ids for one in found]
    codes = [language or "en" for language in languages]
    put_back: list[list[RestoredParticle]] = [[] for _ in clips]
    if whisper.restoration is not None and options.restore_particles:
        heard = restore(whisper, encoded, codes, tokens, [clip.samples for clip in clips])
        tokens, put_back = [ids for ids, _ in heard], [particles for _, particles in heard]
    words = _heard_words(whisper, encoded, clips, codes, tokens, options)
    seconds = (time.perf_counter() - started) / len(clips)
    tagged = whisper.tokens.labelling.language_tags != "none"
    return [
        Decoded(
            index=clip.index,
            text=whisper.tokens.decode(ids),
            language=language,
            decode_s=seconds,
            mean_logprob=round(found[n].mean_logprob, 4),
            temperature=temperatures[n],
            words=_mark(words[n], put_back[n]),
            languages_from="model" if tagged else "tagger",
            restored=tuple(put_back[n]),
        )
        for n, (clip, ids, language) in enumerate(zip(clips, tokens, codes, strict=True))
    ]


def _search(
    whisper: Whisper,
    encoded: torch.Tensor,
    prompts: torch.Tensor,
    clips: Sequence[ClipToDecode],
    options: DecodeOptions,
) -> tuple[list[Hypothesis], list[float]]:
    """Give what is heard in each clip of a batch, and the temperature at which it was found."""
    if options.num_beams > 1:
        found = search_beams(whisper, encoded, prompts, options.max_new_tokens, options.num_beams)
    else:
        found = search_one_by_one(whisper, encoded, prompts, options.max_new_tokens)
    if not options.temperature_fallback:
        return found, [0.0] * len(found)

    def again(places: Sequence[int], temperature: float) -> list[Hypothesis]:
        rows = torch.tensor(places, device=encoded.device)
        seeds = [zlib.crc32(clips[place].samples.tobytes(), round(1000 * temperature)) for place in places]
        return search_one_by_one(
            whisper, encoded[rows], prompts[rows], options.max_new_tokens, temperature=temperature, seeds=seeds
        )

    return fall_back(found, whisper.tokens.decode, again)


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
    return [found.ids for found in search_one_by_one(whisper, encoded, prompts, max_new_tokens)]
