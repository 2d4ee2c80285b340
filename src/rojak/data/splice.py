"""New code-switched utterances cut together from real ones: phrases of two languages, joined where words end.

Needs words with times, such as those of synthetic speech, forced alignment, or recordings that came with them. Reads no
files: `plan_splices` decides from records alone, `render_splice` is given the sound. (Approach: Du et al., "Data
Augmentation for end-to-end code-switching speech recognition", SLT 2021.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rojak.audio import SAMPLE_RATE, Samples
from rojak.data.annotate import annotate
from rojak.data.longclips import locate_words
from rojak.data.noise import speech_power
from rojak.errors import TrainingError
from rojak.records import LANGUAGES, Utterance, Word

OVERLAP_S = 0.02
"""Length of the cross-fade at a join."""
MARGIN_S = 0.04
"""Sound kept around a phrase, where the neighbouring words leave so much."""
MIN_PHRASE_S = 0.3
MAX_SPLICE_S = 28.0
MAX_INSERTED_WORDS = 5
MAX_GAIN_DB = 12.0
CANDIDATES = 24
"""Phrases of other speakers that are compared with the first one."""
RETURN_SHARE = 0.5
"""Share of splices that go back to the first language: `saya nak [buy fruits] di pasar`."""

_INNER_ENDS = " .,!?;:…。，！？；："


@dataclass(frozen=True)
class Phrase:
    """Words `[first, last)` of an utterance, all in one language but for particles and names, and where they sound."""

    index: int
    first: int
    last: int
    language: str
    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """Seconds of sound."""
        return self.end_s - self.start_s


@dataclass(frozen=True)
class Splice:
    """Phrases in the order in which they are said, and the record that they make."""

    phrases: tuple[Phrase, ...]
    record: Utterance


def plan_splices(
    utterances: Sequence[Utterance], members: Sequence[int], count: int, seed: int, name: str
) -> list[Splice]:
    """Choose what is cut together: phrases of two languages, of one speaker where one speaks both, else of like sound.

    Args:
        utterances: Of the training set.
        members: Which of them may be used.
        count: How many splices.
        seed: Everything random.
        name: Begins the new audio_ids.

    Raises:
        TrainingError: The members hold no timed phrases of two languages.
    """
    phrases = [phrase for index in members for phrase in find_phrases(utterances[index], index)]
    languages = {phrase.language for phrase in phrases}
    if len(languages) < 2:
        raise TrainingError(
            f"spliced: the {len(members)} selected utterances hold phrases with word times in "
            f"{', '.join(sorted(languages)) or 'no language'}; at least two languages are needed."
        )
    by_speaker: dict[str | None, list[Phrase]] = {}
    for phrase in phrases:
        by_speaker.setdefault(utterances[phrase.index].speaker_id, []).append(phrase)
    splices: list[Splice] = []
    number = 0
    while len(splices) < count:
        rng = np.random.default_rng((seed, number, 11))
        number += 1
        matrix = phrases[int(rng.integers(len(phrases)))]
        guest = _find_guest(matrix, phrases, by_speaker, utterances, rng)
        parts = _arrange(matrix, guest, utterances, rng) if guest else None
        if parts and sum(part.duration_s for part in parts) <= MAX_SPLICE_S:
            splices.append(Splice(parts, _record(parts, utterances, f"{name}-{len(splices):06d}")))
        elif number > 50 * count + 1000:
            raise TrainingError("spliced: hardly any two phrases fit together; select more utterances with word times.")
    return splices


def find_phrases(utterance: Utterance, index: int) -> list[Phrase]:
    """Find the stretches of one language; none where a word lacks its time or is not found in the text."""
    words = utterance.words or ()
    if not words or any(word.start is None or word.end is None for word in words):
        return []
    if locate_words(utterance.text, [word.word for word in words]) is None:
        return []
    runs: list[tuple[int, int, str]] = []
    for place, word in enumerate(words):
        if word.language in LANGUAGES and (not runs or runs[-1][2] != word.language):
            runs.append((place, place + 1, word.language))
        elif runs:
            first, _, language = runs[-1]
            runs[-1] = (first, place + 1, language)
    found = [_phrase(utterance, index, *run) for run in runs]
    return [phrase for phrase in found if phrase.duration_s >= MIN_PHRASE_S]


def _phrase(utterance: Utterance, index: int, first: int, last: int, language: str) -> Phrase:
    """Take some of the silence around the words along, at most half of it."""
    words = utterance.words or ()
    start, end = _time(words[first].start), _time(words[last - 1].end)
    before = (start - _time(words[first - 1].end)) / 2 if first else start
    after = (_time(words[last].start) - end) / 2 if last < len(words) else utterance.duration - end
    start_s = max(0.0, start - min(MARGIN_S, max(before, 0.0)))
    end_s = min(utterance.duration, end + min(MARGIN_S, max(after, 0.0)))
    return Phrase(index, first, last, language, start_s, end_s)


def _time(value: float | None) -> float:
    assert value is not None
    return value


def _find_guest(
    matrix: Phrase,
    phrases: Sequence[Phrase],
    by_speaker: dict[str | None, list[Phrase]],
    utterances: Sequence[Utterance],
    rng: np.random.Generator,
) -> Phrase | None:
    """Give a phrase of another language: the speaker's own, else the likest of some by accent, place and noise."""
    host = utterances[matrix.index]
    own = by_speaker[host.speaker_id] if host.speaker_id else []
    own = [phrase for phrase in own if phrase.language != matrix.language]
    if own:
        return own[int(rng.integers(len(own)))]
    drawn = [phrases[int(number)] for number in rng.integers(len(phrases), size=CANDIDATES)]
    others = [phrase for phrase in drawn if phrase.language != matrix.language]
    return min(others, key=lambda phrase: _unlikeness(host, utterances[phrase.index]), default=None)


def _unlikeness(one: Utterance, other: Utterance) -> float:
    """How differently two recordings sound, in dB of noise; another accent or room counts as 10 dB."""
    fields = ("accent", "recording_environment", "source")
    unlike: float = 10.0 * sum(getattr(one, field) != getattr(other, field) for field in fields)
    if one.snr_db is None or other.snr_db is None:
        return unlike + 10.0
    return unlike + abs(one.snr_db - other.snr_db)


def _arrange(
    matrix: Phrase, guest: Phrase, utterances: Sequence[Utterance], rng: np.random.Generator
) -> tuple[Phrase, ...] | None:
    """Put the guest into the matrix phrase or after its beginning; None where a piece would be too short to hear."""
    host, other = utterances[matrix.index], utterances[guest.index]
    length = int(rng.integers(1, min(guest.last - guest.first, MAX_INSERTED_WORDS) + 1))
    first = int(rng.integers(guest.first, guest.last - length + 1))
    inserted = _phrase(other, guest.index, first, first + length, guest.language)
    cut = int(rng.integers(matrix.first + 1, matrix.last + 1))
    parts = [_phrase(host, matrix.index, matrix.first, cut, matrix.language), inserted]
    if cut < matrix.last and rng.random() < RETURN_SHARE:
        parts.append(_phrase(host, matrix.index, cut, matrix.last, matrix.language))
    if any(part.duration_s < MIN_PHRASE_S for part in parts) or not _speaks(inserted, other):
        return None
    return tuple(parts)


def _speaks(phrase: Phrase, utterance: Utterance) -> bool:
    """Say whether a phrase holds a word of its language, and not only particles and names."""
    return any(word.language == phrase.language for word in (utterance.words or ())[phrase.first : phrase.last])


def _record(parts: Sequence[Phrase], utterances: Sequence[Utterance], audio_id: str) -> Utterance:
    """Make the record: text as written, words with their new times, and everything else from the words."""
    texts, words, at = [], [], 0.0
    for number, part in enumerate(parts):
        source = utterances[part.index]
        text = phrase_text(part, source)
        texts.append(text if number == len(parts) - 1 else text.rstrip(_INNER_ENDS))
        shift = at - part.start_s
        for word in (source.words or ())[part.first : part.last]:
            start, end = round(_time(word.start) + shift, 4), round(_time(word.end) + shift, 4)
            words.append(Word(word=word.word, language=word.language, start=max(start, 0.0), end=end))
        at += part.duration_s - OVERLAP_S
    hosts = [utterances[part.index] for part in parts]
    speakers = list(dict.fromkeys(host.speaker_id or host.audio_id for host in hosts))
    ratios = [host.snr_db for host in hosts if host.snr_db is not None]
    return annotate(
        Utterance.model_validate(
            {
                "audio_id": audio_id,
                "audio_filepath": "",
                "text": " ".join(texts),
                "duration": round(at + OVERLAP_S, 4),
                "speaker_id": "+".join(speakers),
                "words": words,
                "snr_db": min(ratios) if ratios else None,
                "source": "spliced",
                "split": hosts[0].split,
                "spliced_from": list(dict.fromkeys(host.audio_id for host in hosts)),
            }
        )
    )


def phrase_text(phrase: Phrase, utterance: Utterance) -> str:
    """Give a phrase as it is written in its utterance."""
    places = locate_words(utterance.text, [word.word for word in utterance.words or ()])
    assert places is not None
    end = places[phrase.last] if phrase.last < len(places) else len(utterance.text)
    return utterance.text[places[phrase.first] : end].strip()


def render_splice(splice: Splice, read_audio: Callable[[int], Samples]) -> Samples:
    """Cut the phrases out, bring them to the loudness of the first and lay them end to end with short cross-fades.

    Args:
        splice: What.
        read_audio: Gives the sound of an utterance, (samples,) at 16 kHz.
    """
    overlap = round(OVERLAP_S * SAMPLE_RATE)
    rise = np.sin(np.linspace(0, np.pi / 2, overlap)).astype(np.float32)
    joined = np.zeros(round(splice.record.duration * SAMPLE_RATE) + 1, np.float32)
    at_s, first_level = 0.0, 0.0
    for number, phrase in enumerate(splice.phrases):
        samples = read_audio(phrase.index)
        piece = samples[round(phrase.start_s * SAMPLE_RATE) : round(phrase.end_s * SAMPLE_RATE)].copy()
        level = np.sqrt(speech_power(piece))
        if number == 0:
            first_level = level
        elif level > 0 and first_level > 0:
            limit = 10 ** (MAX_GAIN_DB / 20)
            piece *= np.float32(np.clip(first_level / level, 1 / limit, limit))
        if number > 0:
            piece[:overlap] *= rise[: len(piece)]
        if number < len(splice.phrases) - 1:
            piece[-overlap:] *= rise[::-1][-len(piece) :]
        at = round(at_s * SAMPLE_RATE)
        room = joined[at : at + len(piece)]
        room += piece[: len(room)]
        at_s += phrase.duration_s - OVERLAP_S
    return joined[: round(splice.record.duration * SAMPLE_RATE)]
