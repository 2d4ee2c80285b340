"""Prepared data in another process: the same records and sounds, and little to send."""

import pickle
from pathlib import Path

import numpy as np

from rojak.data.dataset import Dataset
from rojak.data.splice import plan_splices


def test_a_sent_dataset_reads_the_same_and_leaves_its_records_behind(data_dir: Path) -> None:
    data = Dataset(data_dir, ("train", "validation"))
    data.keep_hours(0.02, seed=3)
    data.set_splices(plan_splices(data.utterances, range(len(data)), 5, seed=1, name="made"))
    sent = pickle.dumps(data)
    there = pickle.loads(sent)
    assert len(sent) < len(pickle.dumps(data.utterances)) / 2
    assert len(there) == len(data) == len(there.utterances)
    assert list(there.utterances) == list(data.utterances)
    assert there.utterances[-1] == data.utterances[-1] and there.utterances[1:3] == list(data.utterances[1:3])
    for index in (0, len(data) - 1):
        np.testing.assert_array_equal(there.read_audio(index), data.read_audio(index))
        voices = [one.voices_beside(index)(np.random.default_rng(0), 3) for one in (there, data)]
        for here, other in zip(*voices, strict=True):
            np.testing.assert_array_equal(here, other)


def test_the_mark_changes_with_what_was_prepared(data_dir: Path, tmp_path: Path) -> None:
    data = Dataset(data_dir, ("train",))
    before = data.mark()
    assert before == Dataset(data_dir, ("validation",)).mark()
    data.prepared_dir = tmp_path
    told = (data_dir / "stats.json").read_text().replace('"inputs": "', '"inputs": "0')
    (tmp_path / "stats.json").write_text(told)
    assert data.mark() != before
