"""Read transcript files item by item: JSON objects and lists, JSONL, CSV and TSV.

Nothing is read whole, so memory does not grow with hours. Every complaint names file, line and column.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from rojak.errors import InputError, ManifestError

CHUNK_CHARS = 1 << 20
MAX_ITEM_CHARS = 64 << 20
_BLANK = " \t\r\n"


def open_text(path: Path) -> TextIO:
    """Open a text file as UTF-8 (with or without byte order mark); a missing or unreadable one is an `InputError`."""
    try:
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None


def _chunks(file: TextIO, path: Path) -> Iterator[str]:
    while True:
        try:
            chunk = file.read(CHUNK_CHARS)
        except UnicodeDecodeError as error:
            raise ManifestError(f"{path}: not UTF-8 ({error.reason}); save the file as UTF-8.") from None
        if not chunk:
            return
        yield chunk


class _JsonReader:
    """A window on a JSON file that moves forward value by value and knows its line and column."""

    def __init__(self, file: TextIO, path: Path) -> None:
        self.path = path
        self.chunks = _chunks(file, path)
        self.text = ""
        self.at = 0
        self.line, self.column = 1, 1
        self.decoder = json.JSONDecoder()

    def grow(self) -> bool:
        """Forget what was read, take in more; False at the end of the file."""
        more = next(self.chunks, None)
        if more is None:
            return False
        passed = self.text[: self.at]
        self.line, self.column = _advance(self.line, self.column, passed)
        self.text, self.at = self.text[self.at :] + more, 0
        return True

    def fail(self, problem: str, at: int | None = None) -> ManifestError:
        line, column = _advance(self.line, self.column, self.text[: self.at if at is None else at])
        return ManifestError(f"{self.path}: not valid JSON at line {line}, column {column}: {problem}.")

    def peek(self) -> str:
        """The next character that is not blank, '' at the end of the file."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in _BLANK:
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.grow():
                return ""

    def take(self, allowed: str) -> str:
        """Consume one of the allowed characters."""
        found = self.peek()
        if not found or found not in allowed:
            wanted = " or ".join(repr(c) for c in allowed)
            raise self.fail(f"{wanted} expected, found {repr(found) if found else 'the end of the file'}")
        self.at += 1
        return found

    def value(self) -> Any:
        """Consume one whole value, reading on as long as it is not complete."""
        self.peek()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                complete = error.pos < len(self.text) - CHUNK_CHARS // 16 and not error.msg.startswith("Unterminated")
                if complete or len(self.text) - self.at > MAX_ITEM_CHARS or not self.grow():
                    raise self.fail(error.msg[:1].lower() + error.msg[1:], error.pos) from None
                continue
            except RecursionError:
                raise self.fail("nested too deeply") from None
            if end == len(self.text) and isinstance(value, (int, float)) and self.grow():
                continue
            self.at = end
            return value


def _advance(line: int, column: int, text: str) -> tuple[int, int]:
    newlines = text.count("\n")
    if not newlines:
        return line, column + len(text)
    return line + newlines, len(text) - text.rfind("\n")


def read_json_items(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give (place, item) for a JSON object of id → item or a list of items, without holding the file in memory.

    An object's key becomes `audio_id` unless the item has one. A file with a single wrapping key around the list
    (`{"utterances": [...]}`) is not guessed at.

    Raises:
        ManifestError: Malformed JSON (line and column), or something else than items inside.
    """
    with open_text(path) as file:
        reader = _JsonReader(file, path)
        opening = reader.take("{[")
        closing = "}" if opening == "{" else "]"
        number = 0
        if reader.peek() == closing:
            reader.take(closing)
        else:
            while True:
                key = None
                if opening == "{":
                    reader.peek()
                    key = reader.value()
                    if not isinstance(key, str):
                        raise reader.fail("a name in double quotes expected")
                    reader.take(":")
                item = reader.value()
                place = f"{path.name}, item {key if key is not None else number}"
                if not isinstance(item, dict):
                    raise ManifestError(f"{path}: item {key if key is not None else number} is not an object.")
                if key is not None:
                    item.setdefault("audio_id", key)
                yield place, item
                number += 1
                if reader.take("," + closing) == closing:
                    break
        if reader.peek():
            raise reader.fail("text after the end")


def read_jsonl_items(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give (place, item) for each line of a JSONL file; blank lines are passed over.

    Raises:
        ManifestError: A line is no JSON object; names line and column.
    """
    with open_text(path) as file:
        for number, line in enumerate(_lines(file, path), start=1):
            if not line.strip():
                continue
            try:
                item = json.loads(line)
            except json.JSONDecodeError as error:
                problem = error.msg[:1].lower() + error.msg[1:]
                raise ManifestError(
                    f"{path}: not valid JSON at line {number}, column {error.colno}: {problem}."
                ) from None
            except RecursionError:
                raise ManifestError(f"{path}: line {number} is nested too deeply.") from None
            if not isinstance(item, dict):
                raise ManifestError(f"{path}: line {number} is not a JSON object.")
            yield f"{path.name}, line {number}", item


def read_table_items(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give (place, row) for a CSV or TSV file with a header line; empty cells are left out.

    TSV follows Common Voice: quotation marks are letters like any other.

    Raises:
        ManifestError: No header, or a row with more cells than the header.
    """
    is_tsv = path.suffix.lower() == ".tsv"
    with open_text(path) as file:
        lines = _lines(file, path)
        rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if is_tsv else csv.reader(lines, strict=True)
        try:
            header = next(rows, None)
            if not header:
                raise ManifestError(f"{path}: is empty; the first line must name the columns.")
            for row in rows:
                if not row:
                    continue
                if len(row) > len(header):
                    raise ManifestError(
                        f"{path}: line {rows.line_num} has {len(row)} cells but the header names {len(header)}."
                    )
                yield f"{path.name}, line {rows.line_num}", {k: v for k, v in zip(header, row, strict=False) if v}
        except csv.Error as error:
            raise ManifestError(f"{path}: line {rows.line_num}: {error}.") from None


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        try:
            line = file.readline(MAX_ITEM_CHARS)
        except UnicodeDecodeError as error:
            raise ManifestError(
                f"{path}: line {number} is not UTF-8 ({error.reason}); save the file as UTF-8."
            ) from None
        if not line:
            return
        yield line


def looks_like_jsonl(path: Path) -> bool:
    """Say whether a `.json` file holds one object a line (as NeMo writes it) instead of one object or list."""
    with open_text(path) as file:
        reader = _JsonReader(file, path)
        if reader.peek() != "{":
            return False
        reader.take("{")
        try:
            if reader.peek() == "}":
                return False
            reader.value()
            reader.take(":")
            return reader.peek() != "{"
        except ManifestError:
            return False
