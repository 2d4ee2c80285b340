"""Read predictions for `rojak score`: JSON Lines, or a table with a header (CSV, TSV), of any system.

Every row is checked; the first one that cannot be used stops the reading with a sentence naming file, line and remedy.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from rojak.errors import InputError, ManifestError
from rojak.evaluate.prediction import MAX_CHARACTERS, Prediction
from rojak.runs import explain_os_error

Row = tuple[str, dict[str, Any]]
"""Where it stands ("FILE, line 3") and its fields."""

_JSON_FIELDS = ("words", "hypothesis_words")
_SHOWN = 3  # Examples of audio ids in an error message.


def read_predictions(path: Path, reference_path: Path | None = None, allow_empty: bool = False) -> list[Prediction]:
    """Read a file of predictions.

    Args:
        path: `.jsonl` (objects), `.csv` or `.tsv` (columns) with `audio_id`, `reference`, `hypothesis`; any other field
            may be used for slicing. In tables `words` and `hypothesis_words` hold JSON.
        reference_path: A second file of the same kinds with `audio_id` and `reference` (or `text`) and the other
            fields; then `path` needs only `audio_id` and `hypothesis`, and both must hold the same ids.
        allow_empty: Whether a reference may be empty, which means a clip without speech.

    Raises:
        InputError: A file cannot be read, is not UTF-8 or holds no rows.
        ManifestError: A row cannot be used, an id stands twice, or the ids of the two files differ.
    """
    rows = list(_read_rows(path))
    if reference_path is not None:
        rows = _join(path, rows, reference_path)
    if not rows:
        raise InputError(f"{path} holds no predictions; give one row an utterance.")
    places: dict[str, str] = {}
    predictions = []
    for where, fields in rows:
        prediction = Prediction.from_dict(fields, where)
        first = places.setdefault(prediction.audio_id, where)
        if first != where:
            raise ManifestError(f"{where}: audio_id {prediction.audio_id} stands at {first} already; keep one of them.")
        if not prediction.reference.strip() and not allow_empty:
            raise ManifestError(
                f"{where}: the reference of {prediction.audio_id} is empty; "
                "fill it in, or give --allow-empty if it is a clip without speech."
            )
        predictions.append(prediction)
    return predictions


def _join(path: Path, rows: list[Row], reference_path: Path) -> list[Row]:
    """Put the fields of the reference file under those of the predictions; both must hold the same utterances."""
    references: dict[str, dict[str, Any]] = {}
    for where, fields in _read_rows(reference_path):
        if references.setdefault(audio_id := _id(fields, where), fields) is not fields:
            raise ManifestError(f"{where}: audio_id {audio_id} stands before already; keep one of them.")
    ids = [_id(fields, where) for where, fields in rows]
    given = set(ids)
    missing = [audio_id for audio_id in references if audio_id not in given]
    unknown = [audio_id for audio_id in ids if audio_id not in references]
    if missing or unknown:
        sides = [(unknown, f"only in {path}"), (missing, f"only in {reference_path}")]
        said = " and ".join(f"{len(found)} {where} ({_examples(found)})" for found, where in sides if found)
        raise ManifestError(f"The audio ids do not match: {said}; both files must hold the same utterances.")
    joined = []
    for (where, fields), audio_id in zip(rows, ids, strict=True):
        reference = references[audio_id]
        if "text" in reference and "reference" not in reference:
            reference = {**reference, "reference": reference["text"]}
        joined.append((where, {**reference, **{name: value for name, value in fields.items() if name != "reference"}}))
    return joined


def _id(fields: dict[str, Any], where: str) -> str:
    if fields.get("audio_id") in (None, ""):
        raise ManifestError(f"{where}: audio_id is missing; every row needs one.")
    return str(fields["audio_id"])


def _examples(ids: list[str]) -> str:
    return ", ".join(ids[:_SHOWN]) + (" …" if len(ids) > _SHOWN else "")


def _read_rows(path: Path) -> Iterator[Row]:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} ends in {path.suffix or 'nothing'}; scores are read from .jsonl, .csv or .tsv files.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise explain_os_error(error, path) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8."
        ) from None
    return reader(path, text)


def _read_jsonl(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as error:
            raise ManifestError(f"{where}, column {error.colno}: not valid JSON ({error.msg.lower()}).") from None
        except RecursionError:
            raise ManifestError(f"{where}: the JSON is nested too deeply.") from None
        if not isinstance(fields, dict):
            raise ManifestError(f"{where}: a line must be a JSON object with audio_id, reference and hypothesis.")
        yield where, fields


def _read_table(path: Path, text: str, delimiter: str, quoting: Literal[0, 3]) -> Iterator[Row]:
    limit = csv.field_size_limit(4 * MAX_CHARACTERS)  # Too long is for `Prediction` to say.
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
        header = [name.strip() for name in next(reader, [])]
        if "audio_id" not in header or len(set(header)) < len(header):
            fault = "names a column twice" if "audio_id" in header else "has no column audio_id"
            raise ManifestError(f"{path}: the header {fault}; it holds {', '.join(header) or 'nothing'}.")
        for values in reader:
            where = f"{path}, line {reader.line_num}"
            if not values:
                continue
            if len(values) != len(header):
                raise ManifestError(f"{where}: {len(values)} fields, but the header names {len(header)}.")
            yield where, _table_fields(dict(zip(header, values, strict=True)), where)
    except csv.Error as error:
        raise ManifestError(f"{path}, line {reader.line_num}: not a readable table ({error}).") from None
    finally:
        csv.field_size_limit(limit)


def _table_fields(values: dict[str, str], where: str) -> dict[str, Any]:
    """Leave empty cells out, except in the two texts, and read the JSON in the columns that hold words."""
    fields: dict[str, Any] = {
        name: value for name, value in values.items() if value != "" or name in ("reference", "hypothesis")
    }
    for name in _JSON_FIELDS:
        if name in fields:
            try:
                fields[name] = json.loads(fields[name])
            except (json.JSONDecodeError, RecursionError):
                raise ManifestError(f"{where}: {name} must hold a JSON list of words with languages.") from None
    return fields


_READERS: dict[str, Callable[[Path, str], Iterator[Row]]] = {
    ".jsonl": _read_jsonl,
    ".csv": lambda path, text: _read_table(path, text, ",", csv.QUOTE_MINIMAL),
    # Common Voice and most tools write TSV without quotes; the normaliser drops any that are there.
    ".tsv": lambda path, text: _read_table(path, text, "\t", csv.QUOTE_NONE),
}
