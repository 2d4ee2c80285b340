import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rojak.data import synthesize as module
from rojak.data.speakers import MAX_SPEAKERS, build_speakers
from rojak.data.synthesis_plan import BLOCK_SIZE, CLEAN_MONOLINGUAL, ENVIRONMENTS, Settings, build_block, plan_split
from rojak.data.synthesize import synthesize
from rojak.errors import ConfigError, InputError, RojakError
from rojak.records import SPLITS, Utterance, quality_from_snr

HOURS = 0.15


def read(out_dir: Path) -> list[Utterance]:
    return [
        Utterance.from_dict({"audio_id": audio_id, **item}, split)
        for split in SPLITS
        for audio_id, item in json.loads((out_dir / split / "transcripts.json").read_text()).items()
    ]


def every_file(out_dir: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out_dir)): path.read_bytes() for path in out_dir.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    out_dir = tmp_path_factory.mktemp("synthesis") / "corpus"
    summary = synthesize(out_dir, HOURS, 7, workers=2, show_progress=False)
    assert summary.num_utterances["train"] > BLOCK_SIZE, "the corpus must need several blocks"
    assert sum(summary.hours.values()) == pytest.approx(HOURS, rel=0.08)
    return out_dir


def test_same_seed_same_bytes_whatever_the_workers(corpus, tmp_path):
    synthesize(tmp_path / "again", HOURS, 7, workers=1, show_progress=False)
    assert every_file(tmp_path / "again") == every_file(corpus)


def test_another_seed_gives_another_corpus():
    texts = [[item.sentence.text for item in plan_split("test", 0.1, seed, Settings())] for seed in (1, 2)]
    assert texts[0][:5] != texts[1][:5]


def test_every_item_has_its_audio_and_exact_labels(corpus):
    utterances = read(corpus)
    for item in utterances:
        assert (corpus / item.split / item.audio_filepath).is_file()
        assert item.words
        assert "".join(word.word for word in item.words) == item.text.replace(" ", "")
        edges = [edge for word in item.words for edge in (word.start, word.end)]
        assert edges == sorted(edges)
        assert edges[-1] <= item.duration
        assert item.code_switches if item.language == "mixed" else item.code_switches == ()
    assert {item.language for item in utterances} == {"ms", "en", "zh", "ta", "mixed"}
    assert not list(corpus.parent.glob(".*")), "the temporary folder is left"


def test_noisy_items_say_how_noisy(corpus):
    utterances = read(corpus)
    noisy = [item for item in utterances if item.added_snr_db is not None]
    assert 0.15 < len(noisy) / len(utterances) < 0.35
    for item in noisy:
        assert 5 <= item.added_snr_db <= 25
        assert item.snr_db == item.added_snr_db
        assert item.quality_score == quality_from_snr(item.snr_db)
        assert item.recording_environment in ENVIRONMENTS
    for item in utterances:
        if item.added_snr_db is None:
            assert (item.quality_score, item.recording_environment, item.snr_db) == (5, "clean", None)


def test_splits_share_no_speaker_and_no_sentence_even_across_corpora(corpus):
    heard = {split: {item.speaker_id for item in read(corpus) if item.split == split} for split in SPLITS}
    said = {split: {item.text for item in read(corpus) if item.split == split} for split in SPLITS}
    other = {split: plan_split(split, 2.0, 8, CLEAN_MONOLINGUAL) for split in SPLITS}
    for split in SPLITS:
        heard[split] |= {item.speaker.speaker_id for item in other[split]}
        said[split] |= {item.sentence.text for item in other[split]}
    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not heard[first] & heard[second]
        assert not said[first] & said[second]


@pytest.mark.parametrize("num_speakers", [24, 48, MAX_SPEAKERS])
def test_enough_speakers_in_every_split(num_speakers):
    speakers = build_speakers(num_speakers)
    sizes = {split: sum(speaker.split == split for speaker in speakers) for split in SPLITS}
    assert len({speaker.voice for speaker in speakers}) == num_speakers
    assert sizes["test"] >= 4
    assert sizes["validation"] >= 3
    assert sizes["train"] >= 16


def test_test_voices_have_a_like_in_training():
    speakers = build_speakers(48)
    trained = {speaker.voice.variant for speaker in speakers if speaker.split == "train"}
    assert {speaker.voice.variant for speaker in speakers} == trained


def test_clean_monolingual_corpus_is_clean_and_monolingual():
    items = plan_split("train", 1.0, 3, CLEAN_MONOLINGUAL)
    assert {item.sentence.language for item in items} == {"ms", "en", "zh", "ta"}
    assert all(item.environment is None for item in items)
    assert not any(tag == "particle" for item in items for _, tag in item.sentence.words)


def test_babble_is_never_the_speaker_alone():
    items = plan_split("validation", 0.001, 1, Settings())
    block = build_block(items, 0, Path("x"), 1, 48)
    assert len({item["speaker"] for item in block["crowd"]} - {block["items"][0]["speaker"]}) >= 3


def test_order_of_kinds_does_not_matter():
    kinds = {"ms": 0.5, "zh": 0.5}
    turned = dict(reversed(kinds.items()))
    plans = [plan_split("test", 0.1, 1, replace(Settings(), kinds=shares)) for shares in (kinds, turned)]
    assert plans[0] == plans[1]


def test_a_corpus_that_is_there_is_left_alone(corpus):
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    summary = synthesize(corpus, HOURS, 7, show_progress=False)
    assert summary.already_there
    assert sum(summary.num_utterances.values()) == len(read(corpus))
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before


def test_a_folder_with_something_else_is_refused(corpus, tmp_path):
    with pytest.raises(InputError, match="another length, seed"):
        synthesize(corpus, HOURS, 8, show_progress=False)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no synthesis"):
        synthesize(tmp_path, HOURS, 7, show_progress=False)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_empty_folder_is_filled(tmp_path):
    out_dir = tmp_path / "empty"
    out_dir.mkdir()
    synthesize(out_dir, 0.002, 1, show_progress=False)
    assert len(read(out_dir)) >= 3


def test_a_place_that_cannot_be_written_is_told_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        synthesize(tmp_path / "file" / "out", 0.01, 1, show_progress=False)


@pytest.mark.parametrize(
    ("raised", "told"), [(OSError("No space left on device"), InputError), (KeyboardInterrupt(), KeyboardInterrupt)]
)
def test_nothing_is_left_when_it_is_cut_short(tmp_path, monkeypatch, raised, told):
    def fail(block):
        raise raised

    monkeypatch.setattr(module, "_run_block", fail)
    with pytest.raises(told):
        synthesize(tmp_path / "out", 0.01, 1, workers=1, show_progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_speaking_process_that_dies_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RojakError, match="ended with code 1"):
        synthesize(tmp_path / "out", 0.01, 1, show_progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hours": 0.0}, "hours is 0.0"),
        ({"hours": float("nan")}, "hours is nan"),
        ({"seed": -1}, "seed is -1"),
        ({"settings": Settings(kinds={"fr": 1.0})}, "'fr'; allowed are ms, en, zh, ta, mixed"),
        ({"settings": Settings(kinds={"ms": 0.0})}, "kinds"),
        ({"settings": Settings(kinds={"ms": float("nan")})}, "kinds"),
        ({"workers": 0}, "workers is 0"),
        ({"settings": Settings(noisy_share=1.5)}, "noisy_share is 1.5"),
        ({"settings": Settings(num_speakers=8)}, "num_speakers is 8; it must be from 24 to 480"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_made(tmp_path, arguments, message):
    with pytest.raises(ConfigError, match=message):
        synthesize(tmp_path / "out", **{"hours": 0.01, "seed": 1, "show_progress": False, **arguments})
    assert list(tmp_path.iterdir()) == []
