"""Spellings of particles, and every homograph in both of its readings."""

from pathlib import Path

import pytest

from rojak.errors import ConfigError
from rojak.text.language import load_tagger, tag_words
from rojak.text.particles import canonical_particle, is_homograph, load_particles
from rojak.text.wordlists import load_word_lists

CANONICAL = ("lah", "leh", "meh", "lor", "mah", "ah", "hor", "sia", "liao", "wei")
CANONICAL += ("kan", "je", "pun", "kot", "tau", "eh", "nah", "one", "what")

# particle, a sentence where it is one, a sentence where it is not, and the tag it has there
READINGS = [
    ("lah", "jangan macam tu la", "we saw la la land twice", "en"),
    ("lah", "boleh la, nanti aku buat", "My cousin moved to LA last year.", "other"),
    ("lah", "dia la yang salah", "Real Madrid won La Liga again", "other"),
    ("leh", "this one very expensive leh", "leh tak aku pinjam buku kau", "ms"),
    ("meh", "you think I scared meh", "the food was quite meh", "en"),
    ("meh", "like that also can meh?", "meh sini duduk dengan nenek", "ms"),
    ("lor", "then we go home lor", "I want one lor mee please", "other"),
    ("mah", "he is the boss mah", "I met Mr Mah yesterday", "other"),
    ("mah", "because it is free ma", "my ma called me just now", "en"),
    ("ah", "you coming or not ah", "Ah Chong sells fish at the market", "other"),
    ("ah", "kau nak ikut tak ah?", "ah, malasnya nak bangun pagi", "ms"),
    ("ah", "this one ah, very spicy", "Ah, I see what you mean.", "en"),
    ("hor", "remember to lock the door hor", "Encik Hor belum sampai", "other"),
    ("sia", "the queue so long sia", "penat aku tunggu sia sia", "ms"),
    ("sia", "wah damn nice sia", "She flew with SIA to London.", "other"),
    ("liao", "finish eating liao", "Yesterday Liao went home early.", "other"),
    ("wei", "jom makan wei", "wei jie is my classmate", "other"),
    ("wei", "wei, kau pergi mana?", "I saw Tan Wei at the bank", "other"),
    ("kan", "awak suka dia kan", "tak kan dia nak marah", "ms"),
    ("kan", "kan saya dah cakap", "tolong ambil kan saya air", "ms"),
    ("je", "tinggal satu je", "je ne sais pas", "other"),
    ("pun", "saya pun nak ikut", "that was a terrible pun", "en"),
    ("kot", "dia sakit kot", "ayah pakai kot hitam", "ms"),
    ("kot", "maybe he forgot kot", "kot itu mahal sangat", "ms"),
    ("tau", "jangan lupa tau", "aku tak tau nak cakap apa", "ms"),
    ("tau", "sedap tau kuih ni", "kau tau tak dia kat mana", "ms"),
    ("tau", "sayang awak tau", "mana aku tau", "ms"),
    ("nah", "nah, ambil duit ni", "nah, I am not hungry", "en"),
    ("one", "he always like that one", "I want the red one", "en"),
    ("one", "this shop very cheap one", "one day you will understand", "en"),
    ("one", "dia memang garang one", "only one seat left", "en"),
    ("what", "I already told you what", "what are you doing", "en"),
    ("what", "he is still young what", "tell me what happened", "en"),
    ("what", "can what, no problem", "so what if he is rich", "en"),
]


def _tag_of(particle: str, sentence: str) -> str:
    """Give the tag of the first word of a sentence that spells the particle."""
    return next(word.language for word in tag_words(sentence) if canonical_particle(word.word) == particle)


@pytest.mark.parametrize(("particle", "said", "other", "tag"), READINGS)
def test_homographs_are_told_apart_by_context(particle: str, said: str, other: str, tag: str) -> None:
    assert _tag_of(particle, said) == "particle"
    assert _tag_of(particle, other) == tag


@pytest.mark.parametrize(("particle", "said", "other", "tag"), READINGS)
def test_homographs_need_no_capitals_and_no_punctuation_to_be_particles(
    particle: str, said: str, other: str, tag: str
) -> None:
    bare = said.lower().translate(str.maketrans("", "", ",.?!"))
    assert _tag_of(particle, bare) == "particle"


def test_every_homograph_is_tested_in_both_readings() -> None:
    read: dict[str, set[str]] = {"particle": set(), "word": set()}
    for particle, said, other, _ in READINGS:
        for reading, sentence in (("particle", said), ("word", other)):
            words = [word.word.lower() for word in tag_words(sentence)]
            read[reading] |= {word for word in words if canonical_particle(word) == particle}
    homographs = set(load_particles().spelling_to_rules)
    assert homographs <= read["particle"] & read["word"]
    assert len(homographs) == 19
    assert {form for form in CANONICAL if form not in homographs} == {"lah", "eh"}  # never anything else


def test_the_table_holds_the_agreed_particles() -> None:
    assert load_particles().canonical_forms == CANONICAL


@pytest.mark.parametrize(
    ("spelling", "form"),
    [
        ("lah", "lah"),
        ("La", "lah"),
        ("laaaa", "lah"),
        ("lahhh", "lah"),
        ("LARH", "lah"),
        ("lorh", "lor"),
        ("weh", "wei"),
        ("jer", "je"),
        ("pon", "pun"),
        ("arh", "ah"),
        ("meeeh", "meh"),
        ("sekolah", None),
        ("lee", None),
        ("masalah", None),
        ("", None),
        ("啦", None),
    ],
)
def test_spellings_lead_to_the_canonical_form(spelling: str, form: str | None) -> None:
    assert canonical_particle(spelling) == form


def test_homographs_are_known_by_their_spelling() -> None:
    assert is_homograph("la") and is_homograph("one") and is_homograph("taaau")
    assert not is_homograph("lah") and not is_homograph("eh") and not is_homograph("sekolah")


def _write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_user_adds_a_particle_with_its_homograph_in_yaml(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        """
particles:
  bah:
    variants: ba bha
    rules:
      ba: [{tag: other, cased: upper}]
  nia: {}
""",
    )
    table, tagger = load_particles((path,)), load_tagger((path,))
    assert table.canonical("baaah") == table.canonical("bahhh") == "bah" and table.canonical("lah") == "lah"
    tags = {word.word: word.language for word in tag_words("boleh bah kalau kau, that one near nia", tagger)}
    assert tags["bah"] == tags["nia"] == "particle"
    assert [w.language for w in tag_words("Dia ada BA dari sana ba", tagger)][-1] == "particle"
    assert [w.language for w in tag_words("Dia ada BA dari sana", tagger)][2] == "other"
    assert "particle" not in {word.language for word in tag_words("boleh bah")}  # the built-in tagger is untouched


def test_a_user_takes_a_particle_out(tmp_path: Path) -> None:
    tagger = load_tagger((_write(tmp_path, "particles: {one: null, what: null}"),))
    assert [word.language for word in tag_words("he always like that one what", tagger)] == ["en"] * 6


def test_what_a_user_says_about_a_word_replaces_what_was_said_before(tmp_path: Path) -> None:
    text = "tapau bangi stadium"
    path = _write(tmp_path, "words: {other: tapau, ms: [Bangi], en: stadium}")
    assert [word.language for word in tag_words(text)][:2] == ["ms", "other"]
    assert [word.language for word in tag_words(text, load_tagger((path,)))] == ["other", "ms", "en"]


def test_a_user_adds_phrases_and_names(tmp_path: Path) -> None:
    path = _write(
        tmp_path, "phrases: {other: [Kucing Hitam], en: [main air]}\nwords: {title: bosku, maybe_name: jambu}"
    )
    tagger = load_tagger((path,))

    def tags(text: str) -> list[str]:
        return [word.language for word in tag_words(text, tagger)]

    assert tags("kedai kucing hitam tutup") == ["ms", "other", "other", "ms"]
    assert tags("ada kucing, hitam pula") == ["ms", "ms", "ms", "ms"]
    assert tags("dia suka main air") == ["ms", "ms", "en", "en"]
    assert tags("jumpa bosku jambu esok") == ["ms", "ms", "other", "ms"]


@pytest.mark.parametrize(
    ("condition", "yes", "no"),
    [
        ("at: alone", "wah, zot, wah", "wah zot wah"),
        ("at: start", "zot wah", "wah zot"),
        ("at: end", "wah zot lah", "zot wah"),
        ("at: inside", "wah zot wah", "zot"),
        ("nth: 3", "satu dua zot", "satu, dua zot"),
        ("after: dua", "satu dua zot", "dua satu zot"),
        ("before: dua", "zot dua", "zot, satu dua"),
        ("after_near: dua", "dua satu satu zot", "dua satu satu satu zot"),
        ("before_near: dua", "zot satu satu dua", "zot satu satu satu dua"),
        ("neighbour: zh", "我 zot", "zot satu 我"),
        ("name: next", "zot Ahmad", "Ahmad zot"),
        ("name: previous", "Ahmad zot", "zot Ahmad"),
        ("cased: title", "saya Zot", "Zot saya"),
        ("cased: upper", "saya dan ZOT", "SAYA DAN ZOT"),
    ],
)
def test_every_condition_of_a_rule(tmp_path: Path, condition: str, yes: str, no: str) -> None:
    path = _write(tmp_path, f"particles: {{zot: {{rules: {{ZOT: [{{tag: ta, {condition}}}]}}}}}}")
    tagger = load_tagger((path,))
    found = [
        next(word.language for word in tag_words(text, tagger) if word.word.lower() == "zot") for text in (yes, no)
    ]
    assert found == ["ta", "particle"]


def test_later_files_win(tmp_path: Path) -> None:
    first, second = tmp_path / "1.yaml", tmp_path / "2.yaml"
    first.write_text("words: {en: zorgle}")
    second.write_text("words: {ms: zorgle}")
    assert tag_words("zorgle", load_tagger((first, second)))[0].language == "ms"
    assert tag_words("zorgle", load_tagger((second, first)))[0].language == "en"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("particles: {bah: {variant: ba}}", "variant"),
        ("particles: {bah: {rules: {ba: [{tag: ms}]}}}", "ba, which is not among its variants"),
        ("particles: {bah: {variants: la}}", "both claim the spelling la"),
        ("particles: {bah: {rules: {bah: [{tag: malay}]}}}", "tag"),
        ("words: {tamil: amma}", "tamil"),
        ("wordz: {}", "wordz"),
        ("phrases: {en: ['']}", "phrases.en.0"),
        ("phrases: {en: air con}", "phrases.en"),
        ("particles: [", "not valid YAML"),
        ("just text", "mine.yaml"),
    ],
)
def test_mistakes_in_a_users_file_are_told_in_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_particles((path,))
        load_word_lists((path,))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml.*UTF-8 YAML"):
        load_tagger((tmp_path / "nowhere.yaml",))


def test_the_example_of_the_documentation_works(tmp_path: Path) -> None:
    document = (Path(__file__).parents[3] / "docs" / "language.md").read_text("utf-8")
    example = document.split("```yaml\n")[1].split("```")[0]
    tagger = load_tagger((_write(tmp_path, example),))
    words = {word.word: word.language for word in tag_words("sini bah, dekat nia, gostan sikit gua", tagger)}
    assert words["bah"] == words["nia"] == words["gua"] == "particle"
