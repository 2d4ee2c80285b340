"""The same clips in every shape of corpus become the same records and the same sound."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rojak.audio import decode_audio
from rojak.data.prepare import prepare
from rojak.data.settings import PrepareSettings
from rojak.data.shards import open_prepared
from rojak.data.sources import open_source, recognise_kind
from rojak.errors import InputError

_SPEC = importlib.util.spec_from_file_location("shapes", Path(__file__).parents[3] / "benchmarks" / "shapes.py")
shapes = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(shapes)  # the benchmark writes 20 hours with the same functions
SHAPES, carried, differences, records = shapes.SHAPES, shapes.carried, shapes.differences, shapes.records
write_transcripts = shapes.write_transcripts

SPLIT_OF = {"c0": "train", "c1": "train", "c2": "validation", "c3": "test"}


@pytest.fixture
def clips(make_corpus):
    """Four clips as (folder with audio/, list of items with split and id)."""
    root = make_corpus(4)
    items = json.loads((root / "transcripts.json").read_text())
    (root / "transcripts.json").unlink()
    return root, [{"audio_id": i, **fields, "split": SPLIT_OF[i]} for i, fields in items.items()]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_records(shape, clips, tmp_path):
    root, items = clips
    items[0] |= {"accent": "Kelantan", "mood": "happy", "snr_db": 21.5, "quality_score": 2}
    items[1]["words"] = [
        {"word": w, "language": "particle" if w == "lah" else "ms", "start": 0.1 * i}
        for i, w in enumerate(items[1]["text"].split())
    ]
    items[1]["code_switches"] = [{"start_word": 1, "end_word": 2, "language": "en"}]
    write, fields = SHAPES[shape]
    given = carried(items, fields)
    settings = PrepareSettings(audio_root=root)
    prepare(write_transcripts(root, given), tmp_path / "expected", settings=settings, workers=0)
    (root / "transcripts.json").unlink()
    source = write(root, given)
    assert recognise_kind(source) == shape.split(" ")[0]
    prepare(source, tmp_path / "out", settings=settings, workers=0)
    found = records(tmp_path / "out")
    assert not differences(records(tmp_path / "expected"), found)
    for item in items:
        record, _ = found[item["audio_id"]]
        assert (record["text"], record["split"], record["particles"]) == (item["text"], item["split"], ["lah"])
        assert record.get("speaker_id") == (item["speaker_id"] if shape != "text-files" else None)
    first, second = found["c0"][0], found["c1"][0]
    if fields is None:
        assert (first["mood"], first["accent"], first["quality_score"]) == ("happy", "Kelantan", 2)
        assert second["words"][3] == {"word": "nombor", "language": "ms", "start": pytest.approx(0.3)}
        assert list(second["code_switches"]) == items[1]["code_switches"]
    split = open_prepared(tmp_path / "out", "test")
    np.testing.assert_array_equal(split.read_audio(0), decode_audio(root / "audio" / "c3.flac").samples)


def test_a_difference_is_found():
    same, other = ({"text": "a"}, "hash"), ({"text": "b"}, "hash")
    assert differences({"x": same, "y": same}, {"x": other, "z": same}) == [
        "y: only in one",
        "z: only in one",
        "x: text",
    ]
    assert differences({"x": same}, {"x": (same[0], "another")}) == ["x: sound"]


def test_kaldi_segments_and_faults(clips):
    root, _ = clips
    (root / "wav.scp").write_text("rec1 audio/c0.flac\nrec2 sox audio/c1.flac -t wav - |\nrec3 audio/c2.flac\n")
    (root / "text").write_text("u1 satu dua\nu2 tiga\nu3 empat\nu4 lima\n")
    (root / "segments").write_text("u1 rec1 0.25 0.75\nu2 rec2 0 1\nu3 rec9 0 1\nu4 rec1 zero 1\nu5 rec1 0 0.5\n")
    found = {item.fields["audio_id"]: item for item in open_source(root).read()}
    assert (found["u1"].start_s, found["u1"].length_s, found["u1"].fault) == (0.25, 0.5, None)
    assert found["u1"].fields["text"] == "satu dua"
    reasons = {audio_id: item.fault.reason for audio_id, item in found.items() if item.fault}
    assert reasons == {"u2": "bad_record", "u3": "missing_file", "u4": "bad_record"}
    assert "commands are not run" in found["u2"].fault.detail
    assert found["u5"].fields["text"] is None


def test_a_piece_beyond_the_end_is_named(clips, tmp_path):
    root, items = clips
    lines = [
        {**items[0], "audio_id": "late", "offset": 0.9, "duration": 1.0},
        {**items[0], "audio_id": "gone", "offset": 9.0, "duration": 1.0},
        {**items[0], "audio_id": "long", "offset": 0.0, "duration": 31.0},
        {**items[0], "audio_id": "odd", "offset": "soon", "duration": 1.0},
        {**items[0], "audio_id": "half", "offset": 0.0},
        *items[1:],
    ]
    (root / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    prepare(root, tmp_path / "out", settings=PrepareSettings(allow_bad=0.9), workers=0)
    found = map(json.loads, (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines())
    assert {line["audio_id"]: line["reason"] for line in found} == {
        "late": "truncated",
        "gone": "truncated",
        "long": "too_long",
        "odd": "bad_record",
        "half": "bad_record",
    }


def test_pieces_without_ids_get_their_own(clips):
    root, _ = clips
    line = {"audio_filepath": "audio/c0.flac", "text": "x", "duration": 0.5}
    (root / "m.jsonl").write_text("".join(json.dumps({**line, "offset": o}) + "\n" for o in (0, 0.5)))
    assert [i.fields["audio_id"] for i in open_source(root).read()] == ["audio/c0-00000000", "audio/c0-00000500"]


def test_hub(clips, monkeypatch):
    datasets = pytest.importorskip("datasets")
    root, _ = clips
    rows = datasets.Dataset.from_dict(
        {"audio": [(root / "audio" / "c0.flac").read_bytes()], "transcription": ["makan lah"], "id": ["u7"]}
    )
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda name: asked.append(name) or datasets.DatasetDict(dev=rows))
    source = open_source("hf:someone/corpus")
    (item,) = source.read()
    assert (source.kind, asked) == ("hub", ["someone/corpus"])
    assert item.fields == {"audio_id": "u7", "audio_filepath": "u7", "text": "makan lah", "split": "validation"}
    assert item.audio == (root / "audio" / "c0.flac").read_bytes()

    parts = {"train.clean.100": rows, "test_other": rows, "invalidated": rows}
    monkeypatch.setattr(datasets, "load_dataset", lambda name: datasets.DatasetDict(**parts))
    assert [one.fields["split"] for one in source.read()] == ["train", "test", "invalidated"], "the last is refused"

    def fail(name):
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(InputError, match="hf:someone/corpus: cannot be loaded from the hub"):
        list(source.read())


def test_parquet_takes_its_split_from_file_or_folder_and_a_column_named_extra(clips, tmp_path):
    root, _ = clips
    sound = {"bytes": (root / "audio" / "c0.flac").read_bytes(), "path": "c0.flac"}
    for name, extra in (
        ("default/test/0000.parquet", "5"),
        ("dev-0.parquet", "not {json"),
        ("part.parquet", '{"mood": 1}'),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([{"audio": sound, "text": "makan", "extra": extra}]), tmp_path / name)
    found = [
        (one.fields.get("split"), one.fields.get("extra"), one.fields.get("mood"))
        for one in open_source(tmp_path).read()
    ]
    assert found == [(None, None, 1), ("validation", "not {json", None), ("test", "5", None)]


def test_broken_parquet_is_told(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nothing more")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        list(open_source(tmp_path).read())
