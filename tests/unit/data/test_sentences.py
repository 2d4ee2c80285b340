import re
from collections import Counter, defaultdict

import numpy as np
import pytest

from rojak.data import sentences, switching
from rojak.data.sentences import Sentence, lexicon, mixed_templates, templates
from rojak.data.switching import MAX_WORDS, mixed_sentence, monolingual_sentence
from rojak.records import LANGUAGES

PARTICLES = set("lah leh meh lor mah ah hor sia liao wei kan je pun kot tau eh nah one what".split())  # noqa: SIM905
NEVER_WORDS = PARTICLES | {"la", "lorh", "weh"}
SCRIPTS = {"ms": r"[A-Za-z-]+", "en": r"[A-Za-z-]+", "zh": "[\u4e00-\u9fff]+", "ta": "[\u0b80-\u0bff]+"}
ALLOWED_PAIRS = [{"ms", "en"}, {"en", "zh"}, {"ms", "zh"}, {"en", "ta"}, {"ms", "ta"}]


def vocabulary() -> dict[str, set[str]]:
    found = defaultdict(set)
    for language in LANGUAGES:
        for entries in lexicon(language).values():
            for entry in entries:
                found[language].update(entry)
        for template in (*templates(language), *mixed_templates()):
            for part in template.parts:
                found[part.language].update(part.words)
    return found


def draw(num: int, make) -> list[Sentence]:
    rng = np.random.default_rng(11)
    return [make(rng) for _ in range(num)]


@pytest.fixture(scope="module")
def mixed() -> list[Sentence]:
    return draw(3000, lambda rng: mixed_sentence(rng, 0.5))


def test_vocabulary_is_wide_enough():
    sizes = {language: len(words) for language, words in vocabulary().items()}
    assert sum(sizes.values()) > 2000
    assert min(sizes.values()) > 450


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_are_in_their_script_and_no_particle_is_a_word(language):
    for word in vocabulary()[language]:
        assert re.fullmatch(SCRIPTS[language], word), f"{word!r} is not written in the script of {language}"
        assert word.lower() not in NEVER_WORDS, f"{word!r} must be left to the particles"


def test_no_entry_is_listed_twice_in_a_slot():
    for language in LANGUAGES:
        for slot, entries in lexicon(language).items():
            doubles = [entry for entry, count in Counter(entries).items() if count > 1]
            assert not doubles, (language, slot, doubles)


def test_every_slot_of_every_template_has_entries():
    for template in [*mixed_templates(), *(t for language in LANGUAGES for t in templates(language))]:
        for part in template.parts:
            assert not part.slot or lexicon(part.language)[part.slot], (template, part)


@pytest.mark.parametrize("language", LANGUAGES)
def test_particle_free_sentences_hold_one_language_and_no_particle(language):
    for sentence in draw(1500, lambda rng: monolingual_sentence(language, rng, 0.0)):
        assert {tag for _, tag in sentence.words} <= {language, "other"}, sentence.text
        assert sentence.language == language
        assert sentence.code_switches == ()
        assert 2 <= len(sentence.words) <= MAX_WORDS
        assert not NEVER_WORDS & {word.lower() for word, _ in sentence.words}


def test_particles_take_their_share_and_keep_the_language():
    for language in ("ms", "en"):
        made = draw(1500, lambda rng, language=language: monolingual_sentence(language, rng, 0.5))
        with_particle = [s for s in made if "particle" in {tag for _, tag in s.words}]
        assert 0.40 < len(with_particle) / len(made) < 0.55
        assert {s.language for s in made} == {language}
    made = draw(300, lambda rng: monolingual_sentence("zh", rng, 1.0))
    assert not any(tag == "particle" for s in made for _, tag in s.words)


def test_every_particle_is_said_and_only_known_ones(mixed):
    said = Counter(word for s in mixed for word, tag in s.words if tag == "particle")
    assert set(said) == PARTICLES
    assert said.most_common(1)[0][0] == "lah"


def test_particles_stand_at_the_edges_of_clauses_except_pun(mixed):
    openers = {"eh", "wei", "nah"}
    turns = {word for language in LANGUAGES for turn in switching._turns(language) for word, _ in turn.words}
    for sentence in mixed:
        for index, (word, tag) in enumerate(sentence.words):
            if tag != "particle" or word == "pun":
                continue
            at_end = index == len(sentence.words) - 1 or sentence.words[index + 1][0] in turns
            assert at_end or (index == 0 and word in openers), sentence.text


def test_mixed_sentences_switch_between_languages_that_people_mix(mixed):
    for sentence in mixed:
        spoken = {tag for _, tag in sentence.words} & set(LANGUAGES)
        assert sentence.language == "mixed"
        assert len(spoken) == 3 or spoken in ALLOWED_PAIRS, sentence.text
        assert sentence.code_switches
        assert 3 <= len(sentence.words) <= MAX_WORDS


def test_switches_cover_exactly_the_words_outside_the_matrix_language(mixed):
    for sentence in mixed[:500]:
        covered = set()
        for switch in sentence.code_switches:
            span = sentence.words[switch.start_word : switch.end_word]
            assert span
            assert {tag for _, tag in span} == {switch.language}
            covered |= set(range(switch.start_word, switch.end_word))
        outside = {i for i, (_, tag) in enumerate(sentence.words) if tag in LANGUAGES and tag != sentence.matrix}
        assert covered == outside


def test_sentences_hardly_repeat(mixed):
    assert len({sentence.text for sentence in mixed}) > 0.9 * len(mixed)


def test_text_has_spaces_between_scripts_and_none_inside_mandarin():
    words = (("saya", "ms"), ("beli", "ms"), ("新鲜", "zh"), ("水果", "zh"), ("lah", "particle"), ("小明", "other"))
    assert Sentence(words, "ms", "food").text == "saya beli 新鲜水果 lah 小明"


def test_split_is_the_sentences_own_and_ignores_particles(mixed):
    bare = Sentence((("jom", "ms"), ("balik", "ms")), "ms", "general")
    ended = Sentence((*bare.words, ("lah", "particle")), "ms", "general")
    assert bare.split == ended.split
    shares = Counter(sentence.split for sentence in mixed)
    assert shares["train"] / len(mixed) == pytest.approx(0.80, abs=0.04)
    assert shares["test"] / len(mixed) == pytest.approx(0.12, abs=0.03)


def test_templates_name_known_clause_types():
    with pytest.raises(AssertionError, match="clause type"):
        sentences._parse_template("ms food x", "saya makan")
