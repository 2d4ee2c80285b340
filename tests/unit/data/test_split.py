from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rojak.data.split import ClipFacts, assign_splits, find_duplicates


def clips(*speakers_and_seconds):
    return [ClipFacts(f"c{i}", seconds, speaker) for i, (speaker, seconds) in enumerate(speakers_and_seconds)]


def divide(facts, seed=0, validation_share=0.1, test_share=0.1):
    return assign_splits(facts, validation_share=validation_share, test_share=test_share, seed=seed)


def hours_by_split(facts, splits):
    hours = defaultdict(float)
    for clip, split in zip(facts, splits, strict=True):
        hours[split] += clip.duration
    return hours


@given(
    st.lists(st.tuples(st.sampled_from([f"s{i}" for i in range(12)]), st.floats(0.2, 30)), min_size=3, max_size=80),
    st.integers(0, 5),
)
def test_speakers_are_disjoint_and_no_split_is_empty(pairs, seed):
    facts = clips(*pairs)
    splits, _ = divide(facts, seed)
    if len({s for s, _ in pairs}) >= 3:
        places = defaultdict(set)
        for clip, split in zip(facts, splits, strict=True):
            places[clip.speaker_id].add(split)
        assert all(len(found) == 1 for found in places.values())
    assert set(splits) == {"train", "validation", "test"}


@pytest.mark.parametrize("num_clips", [1, 2])
def test_fewer_clips_than_splits_serve_training_first(num_clips):
    splits, notes = divide(clips(*((f"s{i}", 3.0) for i in range(num_clips))))
    assert "train" in splits and len(set(splits)) == num_clips
    assert "cannot be divided" in notes[0]


def test_shares_are_of_hours():
    facts = clips(*[(f"s{i}", 1.0 + i % 7) for i in range(100)])
    hours = hours_by_split(facts, divide(facts)[0])
    total = sum(hours.values())
    assert hours["train"] / total == pytest.approx(0.8, abs=0.02)
    assert hours["validation"] / total == pytest.approx(0.1, abs=0.02)


def test_order_of_the_corpus_does_not_matter():
    facts = clips(*[(f"s{i % 20}", 1.0 + i % 3) for i in range(60)])
    by_id = dict(zip([c.audio_id for c in facts], divide(facts)[0], strict=True))
    reversed_ = dict(zip([c.audio_id for c in facts[::-1]], divide(facts[::-1])[0], strict=True))
    assert by_id == reversed_


def test_seed_matters_only_between_equal_speakers():
    facts = clips(*[(f"s{i}", 2.0) for i in range(30)])
    assert divide(facts, seed=1)[0] == divide(facts, seed=1)[0]
    assert divide(facts, seed=1)[0] != divide(facts, seed=2)[0]


def test_clips_without_a_speaker_stand_for_themselves():
    splits, notes = divide(clips(*[(None, 1.0)] * 10))
    assert sorted(map(splits.count, ("train", "validation", "test"))) == [1, 1, 8]
    assert notes == ["10 clip(s) name no speaker_id, so the splits may share speakers."]


def test_pieces_of_one_recording_by_nobody_stay_together():
    facts = [ClipFacts(f"c{i}", 1.0, cut_from=f"call-{i % 20}.wav") for i in range(200)]
    facts += [ClipFacts(f"d{i}", 1.0, "aini", cut_from="call-3.wav") for i in range(2)]
    splits, _ = divide(facts)
    assert set(splits) == {"train", "validation", "test"}
    assert splits[200] == splits[201] == splits[3], "a nameless piece may be of who is named in the same recording"
    assert all(len({splits[i] for i in range(call, 200, 20)}) == 1 for call in range(20))


def test_what_a_corpus_lacks_is_divided_off_from_its_train():
    facts = [replace(clip, split="train") for clip in clips(*[(f"s{i % 20}", 1.0) for i in range(200)])]
    splits, notes = divide(facts)
    assert {split: splits.count(split) for split in set(splits)} == {"train": 160, "validation": 20, "test": 20}
    assert all(len({splits[i] for i in range(speaker, 200, 20)}) == 1 for speaker in range(20))
    assert notes == ["The corpus gives no validation and no test: divided off from its train."]
    tested = [*facts, replace(facts[0], audio_id="t", speaker_id="other", split="test")]
    splits, notes = divide(tested)
    assert (splits.count("validation"), splits.count("test"), splits[-1]) == (20, 1, "test")
    assert notes == ["The corpus gives no validation: divided off from its train."]
    assert set(divide(facts, validation_share=0, test_share=0)[0]) == {"train"}, "not wanted"
    checked = [*facts, replace(facts[0], audio_id="v", speaker_id="other", split="validation")]
    assert divide(checked)[0] == ["train"] * 200 + ["validation"], "enough to train on as it is"
    assert set(divide([replace(clip, split="test") for clip in facts])[0]) == {"test"}, "a test set stays one"


def test_too_few_speakers_is_told():
    splits, notes = divide(clips(*[("only", 1.0)] * 10))
    assert set(splits) == {"train", "validation", "test"}
    assert "share speakers" in notes[0]


def test_no_wish_no_split():
    facts = clips(*[(f"s{i}", 1.0) for i in range(10)])
    assert set(divide(facts, validation_share=0, test_share=0)[0]) == {"train"}
    assert set(divide(facts, test_share=0)[0]) == {"train", "validation"}


def test_given_splits_are_kept_and_checked():
    facts = [
        ClipFacts("a", 1.0, "x", split="train"),
        ClipFacts("b", 1.0, "x", split="test"),
        ClipFacts("c", 1.0, "y", split=None),
        ClipFacts("d", 1.0, "z", split="validation"),
    ]
    splits, notes = divide(facts)
    assert splits == ["train", "test", "train", "validation"]
    assert any("1 clip(s) without a split" in note for note in notes)
    assert any("in more than one of the given splits: x" in note for note in notes)


def test_few_speakers_share_but_sentences_do_not():
    facts = [ClipFacts(f"c{i}", 1.0, "only", sentence_hash=bytes([i % 10])) for i in range(40)]
    splits, notes = divide(facts)
    places = defaultdict(set)
    for clip, split in zip(facts, splits, strict=True):
        places[clip.sentence_hash].add(split)
    assert all(len(found) == 1 for found in places.values())
    assert notes


def test_splits_are_balanced_by_what_speakers_bring():
    facts = [
        ClipFacts(
            f"c{i}",
            2.0 + i % 5,
            f"s{i % 60}",
            language=("ms", "en", "zh")[i % 60 // 20],
            quality_score=1 + i % 60 % 5,
            is_mixed=i % 60 % 4 == 0,
            has_particles=i % 60 % 3 == 0,
        )
        for i in range(600)
    ]
    splits, _ = divide(facts)

    def share(split, test):
        chosen = [clip for clip, found in zip(facts, splits, strict=True) if found == split]
        return sum(clip.duration for clip in chosen if test(clip)) / sum(clip.duration for clip in chosen)

    for test in (
        lambda c: c.language == "zh",
        lambda c: c.is_mixed,
        lambda c: c.has_particles,
        lambda c: c.quality_score == 1,
    ):
        for split in ("validation", "test"):
            assert share(split, test) == pytest.approx(share("train", test), abs=0.12)


def sounds(*clips):
    return [ClipFacts(a, 1.0, speaker, split=split, sound_hash=b, sentence_hash=c) for a, speaker, split, b, c in clips]


def test_duplicates_without_splits_keep_the_first():
    faults = find_duplicates(
        sounds(("a", "x", None, b"1", b"s"), ("b", "x", None, b"1", b"s"), ("c", "x", None, b"2", b"s"))
    )
    assert {i: f.reason for i, f in faults.items()} == {1: "duplicate_audio"}
    assert faults[1].detail == "The same sound as 'a'."


def test_duplicates_across_given_splits_keep_what_is_measured_on():
    faults = find_duplicates(
        sounds(
            ("a", "x", "train", b"1", b"s1"),
            ("b", "y", "test", b"1", b"s2"),  # the sound of a
            ("c", "x", "validation", b"2", b"s3"),
            ("d", "x", "train", b"3", b"s3"),  # the sentence of c
            ("e", "y", "train", b"4", b"s3"),  # by another speaker
            ("f", "x", "train", b"5", b"s9"),
            ("g", "x", "train", b"6", b"s9"),  # twice in one split
            ("h", None, "train", b"7", b"s3"),
        )
    )
    assert {i: f.reason for i, f in faults.items()} == {0: "audio_in_two_splits", 3: "sentence_in_two_splits"}
    assert "'b' in test" in faults[0].detail
    assert "'c' in validation" in faults[3].detail
