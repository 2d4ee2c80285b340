"""Fill in what a corpus does not say: language of words and utterance, switches, particles, mixing, quality."""

from collections.abc import Sequence

from rojak.records import LANGUAGES, Utterance, Word, quality_from_snr
from rojak.text.language import TaggedWord, code_mixing_index, code_switches, tag_words, utterance_language
from rojak.text.particles import canonical_particle


def annotate(record: Utterance) -> Utterance:
    """Complete a record without touching what is there.

    Absent or empty `words` come from the tagger; `language` and `code_switches` follow from the words. The fields
    `particles` (canonical forms, in order) and `cmi` (code-mixing index, 0 to 75) are added. Absent `quality_score`
    follows from `snr_db`.
    """
    words, switches = record.words, record.code_switches
    if not words:
        switches = None
        words = tuple(Word(word=tagged.word, language=tagged.language) for tagged in tag_words(record.text))
    tagged = [TaggedWord(word.word, word.language, 1.0) for word in words]
    changes: dict[str, object] = {"words": words}
    if record.language is None:
        changes["language"] = utterance_language(tagged)
    if switches is None:
        changes["code_switches"] = code_switches(tagged)
    if record.quality_score is None and record.snr_db is not None:
        changes["quality_score"] = quality_from_snr(record.snr_db)
    extra = record.model_extra or {}
    if "particles" not in extra:
        changes["particles"] = particle_forms(words)
    if "cmi" not in extra:
        changes["cmi"] = round(code_mixing_index(tagged), 1)
    return record.model_copy(update=changes)


def switch_pair(words: Sequence[Word]) -> str | None:
    """Name the pair of languages that an utterance mixes, that of most words first (`ms-en`).

    One language alone is its own name (`ms`); None where no word has a language.
    """
    spoken = [word.language for word in words if word.language in LANGUAGES]
    ranked = sorted(dict.fromkeys(spoken), key=spoken.count, reverse=True)
    return "-".join(ranked[:2]) or None


def particle_forms(words: Sequence[Word]) -> list[str]:
    """List the particles among words in their canonical forms (`laa` as `lah`), in order."""
    return [canonical_particle(word.word) or word.word.lower() for word in words if word.language == "particle"]
