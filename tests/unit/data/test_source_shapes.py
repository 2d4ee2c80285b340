"""The same clips in every shape of corpus become the same records and the same sound."""

import csv
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from rojak.audio import decode_audio
from rojak.data.prepare import prepare
from rojak.data.settings import PrepareSettings
from rojak.data.shards import open_prepared
from rojak.data.sources import open_source, recognise_kind
from rojak.errors import InputError
from rojak.records import SPLITS

SPLIT_OF = {"c0": "train", "c1": "train", "c2": "validation", "c3": "test"}


@pytest.fixture
def clips(make_corpus):
    """Four clips as (folder with audio/, list of items with split and id)."""
    root = make_corpus(4)
    items = json.loads((root / "transcripts.json").read_text())
    (root / "transcripts.json").unlink()
    return root, [{"audio_id": i, **fields, "split": SPLIT_OF[i]} for i, fields in items.items()]


def as_split_folders(root, items):
    for split in SPLITS:
        (root / split / "audio").mkdir(parents=True)
        chosen = {i["audio_id"]: {k: v for k, v in i.items() if k != "split"} for i in items if i["split"] == split}
        for item in chosen.values():
            shutil.move(root / item["audio_filepath"], root / split / "audio")
        (root / split / "transcripts.json").write_text(json.dumps(chosen))
    return root


def as_list(root, items):
    (root / "transcripts.json").write_text(json.dumps(items))
    return root


def as_jsonl(root, items):
    (root / "manifest.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return root


def as_nemo(root, items):
    """A NeMo manifest: no ids, `.json` for JSONL, pieces of one long recording by offset."""
    sounds = [decode_audio(root / item["audio_filepath"]).samples for item in items]
    soundfile.write(root / "audio" / "long.wav", np.concatenate(sounds), 16_000)
    start, lines = 0, []
    for item, sound in zip(items, sounds, strict=True):
        piece = {"audio_filepath": "audio/long.wav", "offset": start / 16_000, "duration": len(sound) / 16_000}
        lines.append(json.dumps({**item, **piece}) + "\n")
        start += len(sound)
    (root / "manifest.json").write_text("".join(lines))
    return root / "manifest.json"


def as_csv(root, items):
    with (root / "clips.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["audio_id", "path", "sentence", "client_id", "locale", "split"])
        writer.writeheader()
        for item in items:
            names = ("audio_id", "audio_filepath", "text", "speaker_id", "language", "split")
            writer.writerow(dict(zip(writer.fieldnames, (item[name] for name in names), strict=True)))
    return root


def as_common_voice(root, items):
    (root / "audio").rename(root / "clips")
    for split, name in zip(SPLITS, ("train", "dev", "test"), strict=True):
        rows = ["client_id\tpath\tsentence\tlocale"]
        for item in items:
            if item["split"] == split:
                name_only = item["audio_filepath"].removeprefix("audio/")
                rows.append(f"{item['speaker_id']}\t{name_only}\t{item['text']}\t{item['language']}")
        (root / f"{name}.tsv").write_text("\n".join(rows) + "\n")
    return root


def as_kaldi(root, items):
    for split in SPLITS:
        folder = root / split
        folder.mkdir()
        chosen = [item for item in items if item["split"] == split]
        tables = {
            "wav.scp": [f"{i['audio_id']} {root / i['audio_filepath']}" for i in chosen],
            "text": [f"{i['audio_id']}\t{i['text']}" for i in chosen],
            "utt2spk": [f"{i['audio_id']} {i['speaker_id']}" for i in chosen],
        }
        for name, lines in tables.items():
            (folder / name).write_text("\n".join(lines) + "\n")
    return root


def as_parquet(root, items):
    rows = []
    for item in items:
        fields = {k: v for k, v in item.items() if k not in ("audio_filepath", "split")}
        rows.append({**fields, "audio": {"bytes": (root / item["audio_filepath"]).read_bytes(), "path": "x.flac"}})
    out = root / "shards"
    out.mkdir()
    for split in SPLITS:
        chosen = [row for row, item in zip(rows, items, strict=True) if item["split"] == split]
        pq.write_table(pa.Table.from_pylist(chosen), out / f"{split}-00000-of-00001.parquet")
    return out


def as_saved_dataset(root, items):
    datasets = pytest.importorskip("datasets")
    parts = {}
    for split in SPLITS:
        rows = [{**i, "recording": str(root / i["audio_filepath"])} for i in items if i["split"] == split]
        rows = [{k: v for k, v in row.items() if k not in ("audio_filepath", "split")} for row in rows]
        parts[split] = datasets.Dataset.from_list(rows).cast_column("recording", datasets.Audio(sampling_rate=16_000))
    datasets.DatasetDict(parts).save_to_disk(str(root / "saved"))
    return root / "saved"


def as_prepared(root, items):
    prepare(as_list(root, items), root.parent / "first", workers=0)
    return root.parent / "first"


SHAPES = {
    "split-folders": as_split_folders,
    "transcripts": as_list,
    "jsonl": as_jsonl,
    "jsonl with offsets": as_nemo,
    "table": as_csv,
    "table of Common Voice": as_common_voice,
    "kaldi": as_kaldi,
    "parquet": as_parquet,
    "parquet of prepare": as_prepared,
    "huggingface": as_saved_dataset,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_records(shape, clips, tmp_path):
    root, items = clips
    sound = {item["audio_id"]: decode_audio(root / item["audio_filepath"]).samples for item in items}
    source = SHAPES[shape](root, items)
    assert recognise_kind(source) == shape.split(" ")[0]
    settings = PrepareSettings(audio_root=root)
    prepare(source, tmp_path / "out", settings=settings, workers=0)
    expected = {item["audio_id"]: item for item in items}
    num_clips = 0
    for split in SPLITS:
        part = open_prepared(tmp_path / "out", split)
        for index, record in enumerate(part.records()):
            item = expected[record.audio_id.rpartition("/")[2]]
            assert (record.text, record.speaker_id, record.split) == (item["text"], item["speaker_id"], split)
            assert record.language == (item["language"] if shape != "kaldi" else record.language)
            assert record.words is not None and record.model_extra["particles"] == ["lah"]
            np.testing.assert_array_equal(part.read_audio(index), sound[item["audio_id"]])
            num_clips += 1
    assert num_clips == 4


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

    def fail(name):
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(InputError, match="hf:someone/corpus: cannot be loaded from the hub"):
        list(source.read())


def test_broken_parquet_is_told(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nothing more")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        list(open_source(tmp_path).read())
