import pickle

import numpy as np
import pyarrow.parquet as pq
import pytest

from rojak.audio import decode_flac, encode_flac
from rojak.data.clips import Clip
from rojak.data.shards import (
    RECORD_COLUMNS,
    ROW_GROUP_ROWS,
    SCHEMA,
    ShardWriter,
    find_shards,
    open_prepared,
    rows_to_table,
)
from rojak.errors import InputError
from rojak.records import Utterance

WORD = {"word": "makan", "language": "ms", "start": 0.1, "end": 0.4}


def make_clip(number, make_speech):
    record = Utterance(
        audio_id=f"clips/c{number}",
        audio_filepath=f"c{number}.wav",
        text=f"makan {number}",
        duration=0.1,
        words=(WORD, {"word": "lah", "language": "particle"}),
        code_switches=({"start_word": 0, "end_word": 1, "language": "en"},),
        quality_score=4,
        mood={"happy": number},
    )
    return Clip(record, encode_flac(make_speech(0.1, seed=number)), b"", "here")


@pytest.fixture
def prepared(tmp_path, make_speech):
    """Forty clips in shards of one row group each."""
    clips = [make_clip(i, make_speech) for i in range(40)]
    (tmp_path / "data").mkdir()
    (tmp_path / "stats.json").write_text("{}")
    writer = ShardWriter(tmp_path / "data", "train", shard_bytes=1)
    for start in range(0, 40, 7):
        writer.append(rows_to_table(clips[start : start + 7]))
    return tmp_path, clips, writer.close()


def test_shards_are_named_and_grouped(prepared):
    _, _, paths = prepared
    assert [p.name for p in paths] == [f"train-0000{i}-of-00003.parquet" for i in range(3)]
    assert [pq.read_metadata(p).num_rows for p in paths] == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 40 - 2 * ROW_GROUP_ROWS]
    assert pq.read_schema(paths[0]).metadata == SCHEMA.metadata


def test_records_and_sound_come_back(prepared):
    root, clips, _ = prepared
    split = open_prepared(root, "train")
    assert len(split) == 40
    assert list(split.records()) == [clip.record for clip in clips]
    assert split.record(17) == clips[17].record
    assert split.record(17).model_extra == {"mood": {"happy": 17}}
    assert split.column("text")[3] == "makan 3"
    assert split.durations_s.tolist() == [0.1] * 40
    for index in (39, 0, 16, 15, 39, -1):
        np.testing.assert_array_equal(split.read_audio(index), decode_flac(clips[index].flac))
    with pytest.raises(IndexError):
        split.read_flac(40)


def test_a_small_cache_changes_nothing(prepared):
    root, clips, _ = prepared
    split = open_prepared(root, "train")
    split.cached_groups = 1
    order = np.random.default_rng(0).permutation(40)
    assert [split.read_flac(int(i)) for i in order] == [clips[i].flac for i in order]
    assert len(split._cache) == 1


def test_pickling_carries_paths_only(prepared):
    root, clips, _ = prepared
    split = open_prepared(root, "train")
    data = pickle.dumps(split)
    assert len(data) < 1000
    assert pickle.loads(data).read_flac(20) == clips[20].flac


def test_every_record_field_has_a_column():
    assert set(Utterance.model_fields) | {"extra"} == set(RECORD_COLUMNS)


def test_empty_splits_and_what_is_not_prepared(prepared, tmp_path):
    root, _, paths = prepared
    assert len(open_prepared(root, "test")) == 0
    assert list(open_prepared(root, "test").records()) == []
    with pytest.raises(InputError, match="is not prepared data"):
        open_prepared(tmp_path / "data", "train")
    with pytest.raises(InputError, match="'dev' is no split"):
        open_prepared(root, "dev")
    paths[0].write_bytes(paths[0].read_bytes()[:-100])
    with pytest.raises(InputError, match="broken"):
        open_prepared(root, "train")
    paths[1].unlink()
    with pytest.raises(InputError, match="2 of 3 train shards"):
        find_shards(root, "train")
