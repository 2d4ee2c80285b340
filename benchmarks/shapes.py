"""Send one corpus through every shape that `rojak prepare` reads and compare the records that come out.

Speaks a corpus (or takes `--corpus`), adds recordings of your own (`--add`, with a transcripts.json), writes the lot in
each shape, prepares it, and compares every field and the sound of every clip. Prints Markdown; fails on a difference.

    python benchmarks/shapes.py                                # 0.2 h, a minute or two
    python benchmarks/shapes.py --hours 20 --add my-recordings # the whole claim

With `--work-dir`, what the shapes are held against stays there, so that `--shapes` can take them in several goes.
"""

import argparse
import csv
import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from rojak.audio import decode_audio, to_pcm16
from rojak.data.prepare import prepare
from rojak.data.settings import PrepareSettings
from rojak.data.shards import open_prepared
from rojak.data.synthesize import synthesize
from rojak.records import SPLITS, Utterance

Item = dict[str, Any]
Writer = Callable[[Path, Sequence[Item]], Path]
PIECES = 40
"""Clips of one long recording where a shape cuts pieces out of long recordings."""


def write_split_folders(root: Path, items: Sequence[Item]) -> Path:
    for split in SPLITS:
        (root / "folders" / split).mkdir(parents=True)
        chosen = {i["audio_id"]: {**i, "audio_filepath": f"audio/{_name(i)}"} for i in items if i["split"] == split}
        for item in chosen.values():
            _link(root / "audio" / _name(item), root / "folders" / split / "audio" / _name(item))
            del item["split"]
        _write_json(root / "folders" / split / "transcripts.json", chosen)
    return root / "folders"


def write_transcripts(root: Path, items: Sequence[Item]) -> Path:
    _write_json(root / "transcripts.json", items)
    return root / "transcripts.json"


def write_jsonl(root: Path, items: Sequence[Item]) -> Path:
    return _write_lines(root / "manifest.jsonl", [json.dumps(item) for item in items])


def write_nemo(root: Path, items: Sequence[Item]) -> Path:
    """A NeMo manifest, named `.json`: pieces of long recordings by offset, for FLAC clips at 16 kHz."""
    pieces, lines = [item for item in items if item["audio_filepath"].endswith(".flac")], {}
    for number in range(0, len(pieces), PIECES):
        name, start = f"audio/long-{number}.flac", 0
        sounds = [decode_audio(root / item["audio_filepath"]).samples for item in pieces[number : number + PIECES]]
        soundfile.write(root / name, np.concatenate(sounds), 16_000, format="FLAC")
        for item, sound in zip(pieces[number : number + PIECES], sounds, strict=True):
            place = {"audio_filepath": name, "offset": start / 16_000, "duration": len(sound) / 16_000}
            lines[item["audio_id"]] = {**item, **place}
            start += len(sound)
    return _write_lines(root / "nemo.json", [json.dumps(lines.get(item["audio_id"], item)) for item in items])


def write_csv(root: Path, items: Sequence[Item]) -> Path:
    names = sorted({name for item in items for name in item})
    with (root / "clips.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for item in items:
            cells = {name: value for name, value in item.items() if value is not None}
            writer.writerow({k: v if isinstance(v, str) else json.dumps(v) for k, v in cells.items()})
    return root / "clips.csv"


def write_common_voice(root: Path, items: Sequence[Item]) -> Path:
    for split, name in zip(SPLITS, ("train", "dev", "test"), strict=True):
        rows = ["client_id\tpath\tsentence\tlocale"]
        for item in items:
            if item["split"] == split:
                _link(root / item["audio_filepath"], root / "voice" / "clips" / _name(item))
                cells = (item.get("speaker_id") or "", _name(item), item["text"], item.get("language") or "")
                rows.append("\t".join(cells))
        _write_lines(root / "voice" / f"{name}.tsv", rows)
    return root / "voice"


def write_kaldi(root: Path, items: Sequence[Item]) -> Path:
    for split in SPLITS:
        chosen = [item for item in items if item["split"] == split]
        tables = {
            "wav.scp": [f"{i['audio_id']} {root / i['audio_filepath']}" for i in chosen],
            "text": [f"{i['audio_id']}\t{i['text']}" for i in chosen],
            "utt2spk": [f"{i['audio_id']} {i['speaker_id']}" for i in chosen if i.get("speaker_id")],
        }
        for name, lines in tables.items():
            _write_lines(root / "kaldi" / split / name, lines)
    return root / "kaldi"


def write_text_files(root: Path, items: Sequence[Item]) -> Path:
    for item in items:
        path = root / "pairs" / item["split"] / _name(item)
        _link(root / item["audio_filepath"], path)
        path.with_suffix(".txt").write_text(item["text"], encoding="utf-8")
    return root / "pairs"


def write_parquet(root: Path, items: Sequence[Item]) -> Path:
    (root / "shards").mkdir()
    for split in SPLITS:
        chosen = _rows(items, split)
        paths = [root / item["audio_filepath"] for item in items if item["split"] == split]
        kind = pa.Table.from_pylist([{"audio": {"bytes": b"", "path": ""}, **row} for row in chosen]).schema
        with pq.ParquetWriter(root / "shards" / f"{split}-00000-of-00001.parquet", kind) as writer:
            for start in range(0, len(chosen), PIECES):
                part = zip(chosen[start : start + PIECES], paths[start : start + PIECES], strict=True)
                rows = [{"audio": {"bytes": path.read_bytes(), "path": path.name}, **row} for row, path in part]
                writer.write_table(pa.Table.from_pylist(rows, schema=kind))
    return root / "shards"


def write_saved_dataset(root: Path, items: Sequence[Item]) -> Path:
    parts = {}
    for split in SPLITS:
        paths = [root / item["audio_filepath"] for item in items if item["split"] == split]
        rows = [{**row, "recording": str(path)} for row, path in zip(_rows(items, split), paths, strict=True)]
        parts[split] = datasets.Dataset.from_list(rows).cast_column("recording", datasets.Audio())
    datasets.DatasetDict(parts).save_to_disk(str(root / "saved"))
    return root / "saved"


def write_prepared(root: Path, items: Sequence[Item]) -> Path:
    """What `prepare` itself writes is a source too."""
    workers = None if len(items) > PIECES else 0
    prepare(write_transcripts(root, items), root / "first", settings=PrepareSettings(audio_root=root), workers=workers)
    return root / "first"


FULL = None
SHAPES: dict[str, tuple[Writer, tuple[str, ...] | None]] = {
    "transcripts": (write_transcripts, FULL),
    "split-folders": (write_split_folders, FULL),
    "jsonl": (write_jsonl, FULL),
    "jsonl with offsets": (write_nemo, FULL),
    "table": (write_csv, FULL),
    "parquet": (write_parquet, FULL),
    "parquet of prepare": (write_prepared, FULL),
    "huggingface": (write_saved_dataset, FULL),
    "table of Common Voice": (write_common_voice, ("text", "speaker_id", "language")),
    "kaldi": (write_kaldi, ("text", "speaker_id")),
    "text-files": (write_text_files, ("text",)),
}
"""How each shape is written, and the fields besides split and sound that it can carry, `FULL` for all."""


def carried(items: Sequence[Item], fields: tuple[str, ...] | None) -> list[Item]:
    """Reduce items to what a shape can carry."""
    if fields is None:
        return list(items)
    names = {"audio_id", "audio_filepath", "split", *fields}
    return [{name: value for name, value in item.items() if name in names} for item in items]


def records(data: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """Every record by the last part of its id, without its path, and a hash of its sound."""
    found = {}
    for split in SPLITS:
        part = open_prepared(data, split)
        for index, record in enumerate(part.records()):
            fields = _without(record.to_dict(), "audio_id", "audio_filepath")
            sound = hashlib.blake2b(to_pcm16(part.read_audio(index)).tobytes(), digest_size=16).hexdigest()
            found[record.audio_id.rpartition("/")[2]] = (fields, sound)
    return found


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Name clips that only one has, and clips whose record or sound differs."""
    missing = [f"{audio_id}: only in one" for audio_id in sorted(one.keys() ^ other.keys())]
    for audio_id in sorted(one.keys() & other.keys()):
        (fields, sound), (others, other_sound) = one[audio_id], other[audio_id]
        unlike = [name for name in {**fields, **others} if fields.get(name) != others.get(name)]
        if unlike or sound != other_sound:
            missing.append(f"{audio_id}: {', '.join(unlike) or 'sound'}")
    return missing


def read_corpus(folder: Path, into: Path, prefix: str = "") -> list[Item]:
    """Link the recordings of a corpus with transcripts.json into `into`/audio, and give items that name them there.

    Fields that Rojak does not know are left out, since a table makes text of them.
    """
    items = []
    for manifest in sorted([*folder.glob("*/transcripts.json"), *folder.glob("transcripts.json")]):
        for audio_id, item in json.loads(manifest.read_text(encoding="utf-8")).items():
            source = manifest.parent / item["audio_filepath"]
            name = f"{prefix}{audio_id}{source.suffix}"
            _link(source, into / "audio" / name)
            known = {field: value for field, value in item.items() if field in Utterance.model_fields}
            items.append({**known, "audio_id": f"{prefix}{audio_id}", "audio_filepath": f"audio/{name}"})
            items[-1].setdefault("split", "train")
    return items


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=0.2)
    parser.add_argument("--corpus", type=Path, help="of `rojak synthesize`, instead of speaking one")
    parser.add_argument("--add", type=Path, help="folder with transcripts.json; its clips go to train")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES), help="default: all")
    parser.add_argument("--work-dir", type=Path, help="folder that is kept; default: a temporary one")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = (args.work_dir or Path(temporary)).resolve()
        corpus = args.corpus or root / "spoken"
        if args.corpus is None:
            synthesize(corpus, args.hours, 11, show_progress=False)  # nothing is done where it is there already
        items = read_corpus(corpus, root)
        if args.add:
            items += read_corpus(args.add, root, "own-")
        print("| shape | clips | refused | different | seconds |\n|---|---:|---:|---:|---:|")
        failed = compare_shapes(root, items, args.shapes)
    sys.exit(1 if failed else 0)


def compare_shapes(root: Path, items: Sequence[Item], chosen: Sequence[str]) -> int:
    """Print a row a shape; give the number of clips that are not what they are in a transcripts.json."""
    expected: dict[tuple[str, ...] | None, dict[str, Any]] = {}
    # Sentences that one voice says in two splits would be refused, but not where speakers are not known.
    settings = PrepareSettings(audio_root=root, refuse_duplicates=False)
    failed = 0
    for shape in chosen:
        write, fields = SHAPES[shape]
        if fields not in expected:
            reference = write_transcripts(root, carried(items, fields))
            known = root / f"expected-{len(fields) if fields else 'all'}"
            prepare(reference, known, settings=settings)
            expected[fields] = records(known)
        source = write(root, carried(items, fields))
        started = time.monotonic()
        done = prepare(source, root / "out", settings=settings)
        wall_s = time.monotonic() - started
        unlike = differences(expected[fields], records(root / "out"))
        shutil.rmtree(root / "out")
        shutil.rmtree(source) if source.is_dir() else source.unlink()
        for path in (root / "audio").glob("long-*"):
            path.unlink()
        failed += len(unlike)
        cells = [shape, sum(done.clips.values()), sum(done.refused.values()), len(unlike), f"{wall_s:.0f}"]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)
        print("".join(f"  {line}\n" for line in unlike[:5]), end="", file=sys.stderr)
    return failed


def _name(item: Item) -> str:
    return Path(item["audio_filepath"]).name


def _rows(items: Sequence[Item], split: str) -> list[Item]:
    """The fields of a split, the same in every row: Arrow takes the columns of the first."""
    names = dict.fromkeys(name for item in items for name in item if name not in ("audio_filepath", "split"))
    return [{name: item.get(name) for name in names} for item in items if item["split"] == split]


def _without(item: Item, *names: str) -> Item:
    return {name: value for name, value in item.items() if name not in names}


def _link(source: Path, target: Path) -> None:
    """Let a recording be in two places; a copy where the file system does not link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        return
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        shutil.copyfile(source, target)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def _write_lines(path: Path, lines: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
