"""Take clips out of prepared data after the fact: rows go, quarantine.jsonl says why, figures are summed anew.

Reads and rewrites a folder of `prepare`; what is there is replaced in one step or not at all.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rojak.data.card import corpus_stats, count_reasons, dataset_card
from rojak.data.checks import Fault
from rojak.data.clips import Refusal
from rojak.data.outfolder import put_in_place, work_folder
from rojak.data.shards import RECORD_COLUMNS, ROW_GROUP_ROWS, ShardWriter, find_shards
from rojak.data.split import ClipFacts
from rojak.errors import DataQualityError
from rojak.records import SPLITS, Split
from rojak.runs import read_jsonl, write_bytes

_FACTS = ("audio_id", "duration", "speaker_id", "language", "quality_score")


def remove_clips(prepared_dir: Path, faults: Mapping[str, Fault], note: dict[str, Any]) -> None:
    """Move clips to quarantine.

    Args:
        prepared_dir: Written by `prepare`.
        faults: Why, by audio_id; may be empty.
        note: Fields added to stats.json, which say what was done.

    Raises:
        InputError: The folder is no prepared data, or cannot be written.
        DataQualityError: Nothing would be left.
    """
    out_dir = prepared_dir.resolve()
    shards = {split: find_shards(out_dir, split) for split in SPLITS}
    stats = json.loads((out_dir / "stats.json").read_text(encoding="utf-8"))
    if not faults:
        write_bytes(out_dir / "stats.json", _stats_text({**stats, **note}).encode())
        return
    refusals = [Refusal(**line) for line in read_jsonl(out_dir / "quarantine.jsonl")]
    facts: list[ClipFacts] = []
    splits: list[Split] = []
    with work_folder(out_dir) as partial:
        for left_over in ("data", "blocks"):  # of an interrupted run
            shutil.rmtree(partial / left_over, ignore_errors=True)
        (partial / "data").mkdir()
        files: dict[str, int] = {}
        for split, paths in shards.items():
            writer = ShardWriter(partial / "data", split)
            for path in paths:
                for batch in pq.ParquetFile(path).iter_batches(batch_size=4 * ROW_GROUP_ROWS):
                    table = pa.Table.from_batches([batch])
                    rows = table.select(RECORD_COLUMNS).to_pylist()
                    kept = [row["audio_id"] not in faults for row in rows]
                    for row, keep in zip(rows, kept, strict=True):
                        if keep:
                            facts.append(ClipFacts(**{name: row[name] for name in _FACTS}))
                            splits.append(split)
                        else:
                            refusals.append(_refusal(row, split, faults[row["audio_id"]]))
                    writer.append(table.filter(pa.array(kept, pa.bool_())))
            files |= {path.name: path.stat().st_size for path in writer.close()}
        if not facts:
            raise DataQualityError(f"{prepared_dir}: every one of its {len(faults)} clips would be taken out.")
        stats |= {**corpus_stats(facts, splits), "refused": count_reasons(refusals), "files": files, **note}
        (partial / "stats.json").write_text(_stats_text(stats), encoding="utf-8")
        (partial / "README.md").write_text(dataset_card(out_dir.name, stats), encoding="utf-8")
        written = "".join(json.dumps(asdict(refusal), ensure_ascii=False) + "\n" for refusal in refusals)
        (partial / "quarantine.jsonl").write_text(written, encoding="utf-8")
        put_in_place(partial, out_dir)


def _stats_text(stats: dict[str, Any]) -> str:
    return json.dumps(stats, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _refusal(row: dict[str, Any], split: Split, fault: Fault) -> Refusal:
    where = f"prepared {split} data, {row['audio_id']}"
    return Refusal(row["audio_id"], row["audio_filepath"], fault.reason, fault.detail, where)
