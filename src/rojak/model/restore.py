"""Put particles back that were said and not decoded, by sound and text together; never changes another word.

Takes encoder output, waveforms and decoded tokens, gives tokens; reads and writes no files. The model itself says which
particles may stand where; each is then read along with the audio, and a `Restoration` decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rojak.audio import SAMPLE_RATE, Samples
from rojak.model.labels import word_languages
from rojak.model.pieces import Piece, cut_into_words, languages_of
from rojak.model.restoration import Restoration
from rojak.model.voice import HOP_S, Track, frames, level_db, pitch_semitones, speech_active
from rojak.model.whisper import SpeechTokens, Whisper
from rojak.model.word_times import AlignedTokens, align_tokens
from rojak.text.normalize import normalize

CANDIDATES_A_CLIP = 6
_PAUSE_S = 0.3
"""How far behind a candidate a pause is looked for."""
_BATCH = 48


@dataclass(frozen=True)
class Place:
    """Where a particle may stand: before the token `token`, with `words` words before it of `of`."""

    token: int
    words: int
    of: int


@dataclass(frozen=True)
class Candidate:
    """A particle at a place, and what is known of it (`restoration.FEATURES`)."""

    particle: str
    place: Place
    features: tuple[float, ...] = ()


@dataclass(frozen=True)
class RestoredParticle:
    """A particle that was put back: which word of the transcript it is now, and the probability that it was said."""

    word: int
    particle: str
    confidence: float


def restore(
    whisper: Whisper, encoded: torch.Tensor, languages: Sequence[str], ids: Sequence[Sequence[int]],
    samples: Sequence[Samples],
) -> list[tuple[list[int], list[RestoredParticle]]]:  # fmt: skip
    """Give each clip's tokens with the dropped particles in them, and which they are.

    Args:
        whisper: A model with a `restoration`.
        encoded: `(batch, positions, dim)` encoder output.
        languages: Language code of each prompt.
        ids: Decoded tokens of each clip.
        samples: Each clip's own sound, 16 kHz.
    """
    restoration = whisper.restoration
    assert restoration is not None
    found = find_candidates(whisper, encoded, languages, ids, samples, restoration.priors)
    return [_put_back(whisper.tokens, restoration, row, some) for row, some in zip(ids, found, strict=True)]


def _put_back(
    tokens: SpeechTokens, restoration: Restoration, ids: Sequence[int], candidates: Sequence[Candidate]
) -> tuple[list[int], list[RestoredParticle]]:
    if not candidates:
        return list(ids), []
    chances = restoration.probability([candidate.features for candidate in candidates])
    words = [piece.word for piece in cut_into_words(tokens, ids)]
    best: dict[Place, tuple[float, str]] = {}
    for candidate, chance in zip(candidates, chances.tolist(), strict=True):
        place, form = candidate.place, candidate.particle
        if chance < restoration.threshold or chance <= best.get(place, (0.0, ""))[0]:
            continue
        if languages_of([*words[: place.words], form, *words[place.words :]])[place.words] == "particle":
            best[place] = (chance, form)
    new_ids, restored = list(ids), []
    chosen = sorted(best.items(), key=lambda item: item[0].token)
    for number, (place, (chance, form)) in enumerate(chosen):
        restored.append(RestoredParticle(place.words + number, form, round(chance, 4)))
    for place, (_, form) in reversed(chosen):
        new_ids[place.token : place.token] = particle_ids(tokens, form)
    return new_ids, restored


def particle_ids(tokens: SpeechTokens, form: str) -> list[int]:
    """Give the tokens that spell a particle inside a sentence: its own, if the model has one."""
    own = tokens.labelling.particle_tokens.get(form)
    return tokens.encode(form) if own is None else [own]


def find_places(tokens: SpeechTokens, ids: Sequence[int], language: str) -> list[Place]:
    """Give the places at which a particle may stand: before, between and behind words, but not beside a particle."""
    pieces = cut_into_words(tokens, ids)
    said = word_languages(tokens, ids, pieces, language)
    places = []
    for number in range(len(pieces) + 1):
        if not pieces or "particle" in said[max(0, number - 1) : number + 1]:
            continue
        place = Place(_behind(tokens, ids, pieces[number - 1]) if number else 0, number, len(pieces))
        if _leaves_words_alone(tokens, ids, pieces, place):
            places.append(place)
    return places


def _leaves_words_alone(tokens: SpeechTokens, ids: Sequence[int], pieces: Sequence[Piece], place: Place) -> bool:
    """Whether a particle put there is a word of its own, with the same words before and behind it.

    It is not between Han characters of one token, before a word without a space, and before a sign that opens the text.
    """
    probe = "lah"
    mended = [*ids[: place.token], *particle_ids(tokens, probe), *ids[place.token :]]
    words = [normalize(piece.word) for piece in pieces]
    words.insert(place.words, probe)
    return words == [normalize(piece.word) for piece in cut_into_words(tokens, mended)]


def _behind(tokens: SpeechTokens, ids: Sequence[int], piece: Piece) -> int:
    """Give the place behind a word's last letter and its language tag, and before its punctuation."""
    last = len(piece.tokens) - 1
    while last > 0 and not normalize(tokens.decode([ids[piece.tokens[last]]])) and piece.word[-1] in ".,!?;:…。，！？":
        last -= 1
    place = piece.tokens[last] + 1
    while tokens.labelling.language_tags == "word" and place < len(ids) and ids[place] > tokens.end:
        place += 1
    return place


def find_candidates(
    whisper: Whisper, encoded: torch.Tensor, languages: Sequence[str], ids: Sequence[Sequence[int]],
    samples: Sequence[Samples], priors: dict[str, float],
) -> list[list[Candidate]]:  # fmt: skip
    """Give for each clip the particles that the model finds likeliest, where, and what is known of each.

    Args:
        whisper: Model.
        encoded: As for `restore`.
        languages: As for `restore`.
        ids: As for `restore`.
        samples: As for `restore`.
        priors: The particles that may be found, with the log of their share.
    """
    durations = [len(sound) / SAMPLE_RATE for sound in samples]
    plain = align_tokens(whisper, encoded, languages, ids, durations)
    likely = [
        _likeliest(whisper.tokens, aligned, find_places(whisper.tokens, row, language), priors)
        for aligned, row, language in zip(plain, ids, languages, strict=True)
    ]
    jobs = [(clip, candidate) for clip, some in enumerate(likely) for candidate in some]
    found: list[list[Candidate]] = [[] for _ in ids]
    sounds: dict[int, Sound] = {}
    for first in range(0, len(jobs), _BATCH):
        part = jobs[first : first + _BATCH]
        clips = [clip for clip, _ in part]
        sequences = [
            [*ids[clip][: c.place.token], *particle_ids(whisper.tokens, c.particle), *ids[clip][c.place.token :]]
            for clip, c in part
        ]
        read = align_tokens(
            whisper, encoded[clips], [languages[i] for i in clips], sequences, [durations[i] for i in clips]
        )
        for (clip, candidate), aligned in zip(part, read, strict=True):
            if clip not in sounds:
                sounds[clip] = Sound.of(samples[clip], _pace(whisper.tokens, ids[clip], plain[clip]))
            size = len(particle_ids(whisper.tokens, candidate.particle))
            features = describe(candidate, size, plain[clip], aligned, sounds[clip])
            found[clip].append(Candidate(candidate.particle, candidate.place, features))
    return [_against_each_other(candidates, priors) for candidates in found]


def _against_each_other(candidates: Sequence[Candidate], priors: dict[str, float]) -> list[Candidate]:
    """Add what needs all candidates of a place: how far each is ahead of the others, its share of them, the prior."""
    compared = []
    for one in candidates:
        rivals = [0.0, *(other.features[0] for other in candidates if other is not one and other.place == one.place)]
        share = one.features[0] - float(np.logaddexp.reduce([one.features[0], *rivals]))
        extra = (one.features[0] - max(rivals), share, priors[one.particle])
        compared.append(Candidate(one.particle, one.place, one.features + extra))
    return compared


def _likeliest(
    tokens: SpeechTokens, aligned: AlignedTokens, places: Sequence[Place], priors: dict[str, float]
) -> list[Candidate]:
    """Choose by the model's own next-token chances: a particle's first token against what it decoded there."""
    forms = list(priors)
    firsts = [particle_ids(tokens, form)[0] for form in forms]
    gains = []
    for place in places:
        chances = aligned.chances[place.token, firsts].tolist()
        gains += [
            (chance - aligned.log_chance(place.token), Candidate(form, place))
            for chance, form in zip(chances, forms, strict=True)
        ]
    gains.sort(key=lambda pair: -pair[0])
    return [candidate for _, candidate in gains[:CANDIDATES_A_CLIP]]


@dataclass(frozen=True)
class Sound:
    """A clip's frames: where somebody speaks, the pitch, and how long each word takes for its letters."""

    active: np.ndarray
    pitch: Track
    level_db: Track
    lengthening: tuple[float, ...]

    @classmethod
    def of(cls, samples: Samples, lengthening: tuple[float, ...]) -> "Sound":
        """Analyse a clip once for all its candidates."""
        cut = frames(samples)
        level = level_db(cut)
        return cls(speech_active(cut), pitch_semitones(cut), level - np.percentile(level, 95), lengthening)

    def level(self, first: int, last: int) -> float:
        """Give the level of the loudest frames of a stretch against the clip's, dB; -60 where it is empty."""
        part = self.level_db[first:last]
        return max(-60.0, float(np.percentile(part, 90))) if len(part) else -60.0


def _pace(tokens: SpeechTokens, ids: Sequence[int], aligned: AlignedTokens) -> tuple[float, ...]:
    """Give for each word the log of its seconds a letter against the clip's median."""
    pieces = cut_into_words(tokens, ids)
    seconds = [
        (aligned.borders_s[aligned.rank[p.tokens[-1]] + 1] - aligned.borders_s[aligned.rank[p.tokens[0]]] + 0.02)
        / len(p.word)
        for p in pieces
    ]
    return tuple((np.log(seconds) - np.log(np.median(seconds))).tolist()) if seconds else ()


def describe(
    candidate: Candidate, num_tokens: int, plain: AlignedTokens, aligned: AlignedTokens, sound: Sound
) -> tuple[float, ...]:
    """Measure a candidate, in the order of `restoration.FEATURES` but for the last three.

    The model's own scores (gain of the whole text's log-probability by the particle; chance of its first token and of
    what was decoded instead; mean chance of its tokens), how sharply it looks at a stretch of its own and how much
    better the text fits the sound with it, seconds of that stretch, of speech in it and of silence behind it, its level
    against the clip's (dB), the lengthening of the word before, the pitch at its end against the clip's median and its
    rise (semitones), and whether it closes or opens the text.
    """
    place = candidate.place
    own = range(place.token, place.token + num_tokens)
    ranks = [aligned.rank[token] for token in own]
    first, last = (round(aligned.borders_s[rank] / HOP_S) for rank in (ranks[0], ranks[-1] + 1))
    behind = sound.active[last : last + round(_PAUSE_S / HOP_S)]
    pitch = sound.pitch[max(0, first - 5) : last + 1]
    half = len(pitch) // 2
    median = _mean(sound.pitch)
    return (
        aligned.total() - plain.total(),
        float(plain.chances[place.token, aligned.ids[place.token]]),
        plain.log_chance(place.token),
        float(np.mean([aligned.log_chance(token) for token in own])),
        float(np.mean([aligned.sharpness[rank] for rank in ranks])),
        aligned.fit() - plain.fit(),
        (last - first) * HOP_S,
        float(sound.active[first:last].sum() * HOP_S),
        sound.level(first, last),
        _PAUSE_S - float(behind.sum() * HOP_S),
        sound.lengthening[place.words - 1] if place.words else 0.0,
        _mean(pitch[half:], median) - median,
        _mean(pitch[half:], median) - _mean(pitch[:half], median),
        float(place.words == place.of),
        float(place.words == 0),
    )


def _mean(pitch: Track, otherwise: float = 0.0) -> float:
    """Give the median of the voiced frames."""
    voiced = pitch[~np.isnan(pitch)]
    return float(np.median(voiced)) if len(voiced) else otherwise
