"""The prepared layout: Parquet shards of 16 kHz FLAC bytes + record, written once and read at random.

Writes and reads `DIR/data/{train,validation,test}-00000-of-0000N.parquet`; `datasets.load_dataset(DIR)` reads them too.
"""

import json
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rojak.audio import SAMPLE_RATE, Samples, decode_flac
from rojak.data.clips import Clip, extra_json
from rojak.errors import InputError
from rojak.records import SPLITS, Split, Utterance

ROW_GROUP_ROWS = 16
"""Rows read at once for one random access: about 1 MB of audio."""

SHARD_BYTES = 256 * 1024 * 1024

_TEXT = pa.string()
SCHEMA_FIELDS = [
    pa.field("audio", pa.struct([("bytes", pa.binary()), ("path", _TEXT)])),
    pa.field("audio_id", _TEXT),
    pa.field("audio_filepath", _TEXT),
    pa.field("text", _TEXT),
    pa.field("duration", pa.float64()),
    pa.field("speaker_id", _TEXT),
    pa.field("language", _TEXT),
    pa.field(
        "words",
        pa.list_(pa.struct([("word", _TEXT), ("language", _TEXT), ("start", pa.float64()), ("end", pa.float64())])),
    ),
    pa.field(
        "code_switches",
        pa.list_(pa.struct([("start_word", pa.int32()), ("end_word", pa.int32()), ("language", _TEXT)])),
    ),
    pa.field("quality_score", pa.int32()),
    pa.field("snr_db", pa.float64()),
    pa.field("added_snr_db", pa.float64()),
    pa.field("accent", _TEXT),
    pa.field("domain", _TEXT),
    pa.field("recording_environment", _TEXT),
    pa.field("source", _TEXT),
    pa.field("split", _TEXT),
    pa.field("extra", _TEXT),
]


def _hf_feature(kind: pa.DataType) -> Any:
    """Describe an Arrow type the way `datasets` does in a schema's metadata."""
    if pa.types.is_struct(kind):
        return {field.name: _hf_feature(field.type) for field in kind}
    if pa.types.is_list(kind):
        return {"feature": _hf_feature(kind.value_type), "_type": "List"}
    return {"dtype": {"double": "float64"}.get(str(kind), str(kind)), "_type": "Value"}


def _schema() -> pa.Schema:
    features = {field.name: _hf_feature(field.type) for field in SCHEMA_FIELDS}
    features["audio"] = {"sampling_rate": SAMPLE_RATE, "_type": "Audio"}
    return pa.schema(SCHEMA_FIELDS, metadata={"huggingface": json.dumps({"info": {"features": features}})})


SCHEMA = _schema()
RECORD_COLUMNS = [name for name in SCHEMA.names if name != "audio"]


def rows_to_table(clips: Sequence[Clip]) -> pa.Table:
    """Lay clips out as a table in the schema of the shards."""
    rows = []
    for clip in clips:
        row = clip.record.model_dump(include=set(RECORD_COLUMNS))
        row["audio"] = {"bytes": clip.flac, "path": clip.record.audio_id.replace("/", "_") + ".flac"}
        row["extra"] = extra_json(clip.record)
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table as one Parquet file (FLAC bytes uncompressed, the rest zstd)."""
    with _writer(path) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP_ROWS)


def _writer(path: Path) -> pq.ParquetWriter:
    compression = dict.fromkeys(_leaves(SCHEMA), "zstd")
    compression["audio.bytes"] = "none"
    return pq.ParquetWriter(
        path,
        SCHEMA,
        compression=compression,
        use_dictionary=["speaker_id", "language", "accent", "domain", "recording_environment", "source", "split"],
        write_statistics=["duration"],
    )


def _leaves(kind: Iterable[pa.Field], prefix: str = "") -> Iterator[str]:
    """Name the Parquet columns that hold values, such as `text`, `audio.bytes`, `words.list.element.word`."""
    for field in kind:
        inner, name = field.type, prefix + field.name
        if pa.types.is_list(inner):
            inner, name = inner.value_type, f"{name}.list.element"
        if pa.types.is_struct(inner):
            yield from _leaves(inner, f"{name}.")
        else:
            yield name


class ShardWriter:
    """Append tables to the shards of one split; `close` gives the files their final names.

    A new shard begins once the present one holds `shard_bytes` of audio, so equal rows in equal order make equal files.
    """

    def __init__(self, data_dir: Path, split: Split, shard_bytes: int = SHARD_BYTES) -> None:
        self.data_dir, self.split, self.shard_bytes = data_dir, split, shard_bytes
        self.paths: list[Path] = []
        self.pending: list[pa.Table] = []
        self.writer: pq.ParquetWriter | None = None
        self.bytes_in_shard = 0

    def append(self, table: pa.Table) -> None:
        """Add rows; they reach the disk in whole row groups."""
        if not len(table):
            return
        self.pending.append(table)
        if sum(map(len, self.pending)) >= ROW_GROUP_ROWS * 4:
            self._flush(whole_groups=True)

    def _flush(self, *, whole_groups: bool) -> None:
        table = pa.concat_tables(self.pending)
        num_rows = len(table) - len(table) % ROW_GROUP_ROWS if whole_groups else len(table)
        for start in range(0, num_rows, ROW_GROUP_ROWS):
            self._write_group(table.slice(start, min(ROW_GROUP_ROWS, num_rows - start)))
        self.pending = [table.slice(num_rows)] if num_rows < len(table) else []

    def _write_group(self, group: pa.Table) -> None:
        if self.writer is None:
            self.paths.append(self.data_dir / f"{self.split}-{len(self.paths):05d}.partial")
            self.writer = _writer(self.paths[-1])
            self.bytes_in_shard = 0
        self.writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
        self.bytes_in_shard += pc.sum(pc.binary_length(pc.struct_field(group["audio"], "bytes"))).as_py()
        if self.bytes_in_shard >= self.shard_bytes:
            self.writer.close()
            self.writer = None

    def close(self) -> list[Path]:
        """Write what is left and name the files `split-00000-of-0000N.parquet`."""
        if self.pending:
            self._flush(whole_groups=False)
        if self.writer is not None:
            self.writer.close()
            self.writer = None
        final = []
        for number, path in enumerate(self.paths):
            final.append(path.with_name(f"{self.split}-{number:05d}-of-{len(self.paths):05d}.parquet"))
            path.rename(final[-1])
        return final


def find_shards(prepared_dir: Path, split: Split) -> list[Path]:
    """List the shards of a split in order; empty when the split holds nothing.

    Raises:
        InputError: The folder is no prepared data, or a shard is missing.
    """
    data_dir = prepared_dir / "data"
    if not (prepared_dir / "stats.json").is_file() or not data_dir.is_dir():
        raise InputError(f"{prepared_dir}: is not prepared data; make it with `rojak prepare SOURCE {prepared_dir}`.")
    paths = sorted(data_dir.glob(f"{split}-*-of-*.parquet"))
    wanted = int(paths[0].stem.rpartition("-")[2]) if paths else 0
    if len(paths) != wanted:
        raise InputError(f"{data_dir}: {len(paths)} of {wanted} {split} shards are there; prepare the data again.")
    return paths


class PreparedSplit:
    """One split of prepared data: records in memory as Arrow columns, audio read from disk when asked for.

    Cheap to pickle (paths only), so it can be handed to loader workers; each opens the files for itself.
    """

    def __init__(self, prepared_dir: Path, split: Split, cached_groups: int = 32) -> None:
        self.prepared_dir, self.split, self.cached_groups = prepared_dir, split, cached_groups
        self.paths = find_shards(prepared_dir, split)
        self._open()

    def _open(self) -> None:
        try:
            self._files = [pq.ParquetFile(path, memory_map=True, pre_buffer=False) for path in self.paths]
            tables = [file.read(columns=RECORD_COLUMNS) for file in self._files]
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{self.prepared_dir}: a {self.split} shard is broken ({error}); prepare again.") from None
        # In one chunk, so that a single record is found at once.
        self.table = pa.concat_tables(tables).combine_chunks() if tables else SCHEMA.empty_table().drop(["audio"])
        self._first_rows: list[int] = []  # of each row group, over all shards
        self._groups: list[tuple[int, int]] = []  # (shard, row group in it)
        row = 0
        for shard, file in enumerate(self._files):
            for group in range(file.metadata.num_row_groups):
                self._first_rows.append(row)
                self._groups.append((shard, group))
                row += file.metadata.row_group(group).num_rows
        self._cache: OrderedDict[int, list[bytes]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"prepared_dir": self.prepared_dir, "split": self.split, "cached_groups": self.cached_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __len__(self) -> int:
        return len(self.table)

    @property
    def durations_s(self) -> npt.NDArray[np.float64]:
        """Seconds of every clip, shape (num_clips,)."""
        return np.asarray(self.table["duration"].to_numpy(), dtype=np.float64)

    def column(self, name: str) -> list[Any]:
        """One field of every record, None where it is not set."""
        return list(self.table[name].to_pylist())

    def record(self, index: int) -> Utterance:
        """The record of one clip, with its unknown fields restored."""
        return _to_record(self.table.slice(index, 1).to_pylist()[0])

    def records(self) -> Iterator[Utterance]:
        """All records in order."""
        for batch in self.table.to_batches(max_chunksize=256):
            yield from map(_to_record, batch.to_pylist())

    def read_flac(self, index: int) -> bytes:
        """The FLAC bytes of one clip."""
        group = bisect_right(self._first_rows, range(len(self))[index]) - 1
        rows = self._cache.get(group)
        if rows is None:
            shard, number = self._groups[group]
            table = self._files[shard].read_row_group(number, columns=["audio.bytes"], use_threads=False)
            rows = table["audio"].combine_chunks().field("bytes").to_pylist()
            self._cache[group] = rows
            if len(self._cache) > self.cached_groups:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(group)
        return bytes(rows[range(len(self))[index] - self._first_rows[group]])

    def read_audio(self, index: int) -> Samples:
        """The sound of one clip, float32 (num_samples,) at 16 kHz."""
        return decode_flac(self.read_flac(index))


def _to_record(row: dict[str, Any]) -> Utterance:
    extra = row.pop("extra", None)
    fields = {name: value for name, value in row.items() if value is not None}
    return Utterance.model_validate({**(json.loads(extra) if extra else {}), **fields})


def open_prepared(prepared_dir: Path, split: Split) -> PreparedSplit:
    """Open one split of prepared data for random access.

    Raises:
        InputError: The folder is no prepared data, or a shard is missing or broken.
    """
    if split not in SPLITS:
        raise InputError(f"{split!r} is no split; there are {', '.join(SPLITS)}.")
    return PreparedSplit(prepared_dir, split)
