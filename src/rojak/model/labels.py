"""From a transcript to label tokens with language tags and particle tokens, and from decoded tokens to languages.

Takes records and token ids; reads and writes no files. Without tags and particle tokens labels are the plain text's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from rojak.errors import TrainingError
from rojak.model.labelling import Labelling
from rojak.model.pieces import Piece, languages_of
from rojak.model.whisper import MAX_TARGET_TOKENS, SpeechTokens
from rojak.records import LANGUAGES, Utterance, Word, WordLanguage
from rojak.text.language import tag_words
from rojak.text.normalize import normalize
from rojak.text.particles import canonical_particle

PROMPT_TOKENS = 8
"""Room left in a label for the prompt, two timestamps and end-of-text."""


class Label(NamedTuple):
    """The label tokens of a text.

    `places` gives each token's character range in the stripped text, or None to a language tag; `language` is the
    language at its end, from which a text laid behind it in the same window goes on.
    """

    ids: list[int]
    places: list[tuple[int, int] | None]
    language: str


class Spoken(NamedTuple):
    """A word of a transcript, its language, and its character range in the stripped text."""

    language: WordLanguage
    word: str
    start: int
    end: int


def locate_words(text: str, words: Sequence[Word]) -> list[Spoken] | None:
    """Find each word of a record in its stripped text, in order; None when one is not there."""
    found, position = [], 0
    for word in words:
        at = text.find(word.word, position)
        if at < 0:
            return None
        position = at + len(word.word)
        found.append(Spoken(word.language, word.word, at, position))
    return found


def check_lengths(num_tokens: Mapping[str, int], model_name: str) -> None:
    """See that every transcript fits into Whisper's decoder.

    Args:
        num_tokens: Label tokens of the text, by audio_id.
        model_name: Whose tokens they are, for the message.

    Raises:
        TrainingError: Names the clips and what to do.
    """
    limit = MAX_TARGET_TOKENS - 5  # four of the prompt, and end-of-text
    long = [audio_id for audio_id, count in num_tokens.items() if count > limit]
    if long:
        shown = ", ".join(long[:3]) + (" …" if len(long) > 3 else "")
        raise TrainingError(
            f"{len(long)} transcript(s) hold more tokens of {model_name} than Whisper's decoder ({MAX_TARGET_TOKENS}): "
            f"{shown}; prepare the data again with --model {model_name}, which leaves them out."
        )


def check_texts(tokens: SpeechTokens, utterances: Sequence[Utterance], model_name: str) -> None:
    """See that plain transcripts fit into the decoder; raises as `check_lengths`."""
    check_lengths({one.audio_id: len(tokens.encode(one.text)) for one in utterances}, model_name)


def label(tokens: SpeechTokens, utterance: Utterance, language: str) -> Label:
    """Write an utterance's text as label tokens, with tags and particle tokens where the model's labelling wants them.

    A text that would not fit beside its prompt with the tags gets none: a shorter label is better than no label.

    Args:
        tokens: The model's.
        utterance: Its `words` say the languages; where they are not the text's words, the tagger says them.
        language: That of the prompt, or the one at the end of the text before in the same window.
    """
    written = _label(tokens, tokens.labelling, utterance, language)
    if len(written.ids) > MAX_TARGET_TOKENS - PROMPT_TOKENS:
        return _label(tokens, replace(tokens.labelling, language_tags="none"), utterance, language)
    return written


def _label(tokens: SpeechTokens, labelling: Labelling, utterance: Utterance, language: str) -> Label:
    text = utterance.text.strip()
    if labelling == Labelling():
        return Label(tokens.encode(text), list(tokens.places(text)), language)
    spoken = locate_words(text, utterance.words or ())
    if not spoken:
        tagged = [Word(word=word, language=lang) for word, lang, _ in tag_words(text)]
        spoken = locate_words(text, tagged) or []
    ids: list[int] = []
    places: list[tuple[int, int] | None] = []
    written = 0

    def write_text(until: int) -> None:
        nonlocal written
        part, offsets = tokens.encode_part(text, written, until)
        ids.extend(part)
        places.extend(offsets)
        written = until

    for number, word in enumerate(spoken):
        before = len(text[: word.start].rstrip())
        has_language = word.language in LANGUAGES
        if labelling.language_tags == "switch" and has_language and word.language != language:
            write_text(before)
            ids.append(tokens.languages[word.language])
            places.append(None)
            language = word.language
        token = labelling.particle_tokens.get(word.word.lower()) if word.language == "particle" else None
        if token is not None and (before < word.start or not word.start):
            write_text(before)
            ids.append(token)
            places.append((word.start, word.end))
            written = word.end
        after = spoken[number + 1] if number + 1 < len(spoken) else None
        glued = after is not None and after.start == word.end and after.language == word.language
        if labelling.language_tags == "word" and has_language and not glued:
            write_text(word.end + _attached(text[word.end : after.start if after else len(text)]))
            ids.append(tokens.languages[word.language])
            places.append(None)
            language = word.language
    write_text(len(text))
    return Label(ids, places, language)


def _attached(between: str) -> int:
    """Count the characters of punctuation that belong to the word before."""
    for count, char in enumerate(between):
        if char.isspace():
            return count
    return len(between)


def word_languages(
    tokens: SpeechTokens, ids: Sequence[int], pieces: Sequence[Piece], language: str
) -> list[WordLanguage]:
    """Give each decoded word its language: by the tags among its tokens where the model tags, else by the text.

    Script overrules a tag. A word without one is a particle, or of no language, if the text tagger thinks so, too; a
    spelling that may be a particle and was left untagged by a model that tags every word is one.

    Args:
        tokens: The model's.
        ids: Decoded tokens, tags included.
        pieces: The words and the places of their tokens, from `cut_into_words`.
        language: That of the prompt.
    """
    by_text = languages_of([piece.word for piece in pieces])
    mode = tokens.labelling.language_tags
    if mode == "none":
        return by_text
    codes: dict[int, WordLanguage] = {tokens.languages[code]: code for code in LANGUAGES}  # type: ignore[misc]
    current: WordLanguage = language if language in LANGUAGES else "other"  # type: ignore[assignment]
    found: list[WordLanguage] = []
    for number, piece in enumerate(pieces):
        guess = by_text[number]
        if mode == "word":
            following = pieces[number + 1].tokens[0] if number + 1 < len(pieces) else len(ids)
            behind = ids[piece.tokens[-1] : max(following, piece.tokens[-1] + 1)]
            tag = next((codes[token] for token in behind if token in codes), None)
            said = tag or _untagged(piece.word, guess, tokens.labelling)
        else:
            since = pieces[number - 1].tokens[-1] if number else 0
            current = next(
                (codes[token] for token in reversed(ids[since : piece.tokens[0]]) if token in codes), current
            )
            said = guess if guess in ("particle", "other") else current
        found.append(guess if guess in ("zh", "ta") else said)
    return found


def _untagged(word: str, by_text: WordLanguage, labelling: Labelling) -> WordLanguage:
    spelling = normalize(word)
    return "particle" if spelling in labelling.particle_tokens or canonical_particle(spelling) else by_text
