import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from rojak import runs
from rojak.errors import InputError


def test_write_bytes_replaces_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    runs.write_json(path, {"text": "சரி lah"})
    runs.write_json(path, {"text": "好"})
    assert runs.read_json(path) == {"text": "好"}
    assert "好" in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    runs.write_json(path, 1)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runs.os, "fsync", full)
    with pytest.raises(InputError, match="disk is full"):
        runs.write_json(path, 2)
    assert json.loads(path.read_text()) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_errors_of_safetensors_are_understood_by_the_number_in_their_text() -> None:
    """As release 0.8 words them, seen on a full file system and under `ulimit -f`."""
    said = "Error while serializing: I/O error: No space left on device (os error 28)"
    assert "the disk is full" in str(runs.explain_os_error(SafetensorError(said), Path("a")))
    said = "Error while serializing: I/O error: File too large (os error 27)"
    assert "`ulimit -f`" in str(runs.explain_os_error(SafetensorError(said), Path("a")))
    assert "header too large" in str(runs.explain_os_error(SafetensorError("header too large"), Path("a")))


def test_malformed_json_names_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1,\n "b" 2}')
    with pytest.raises(InputError, match="line 2, column 6"):
        runs.read_json(path)


def test_missing_and_binary_json(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        runs.read_json(tmp_path / "no.json")
    path = tmp_path / "b.json"
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(InputError, match="not UTF-8"):
        runs.read_json(path)


def test_jsonl_forgives_only_a_cut_last_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    runs.append_jsonl(path, {"step": 1})
    with path.open("a") as file:
        file.write('{"step": 2')
    assert runs.read_jsonl(path) == [{"step": 1}]
    runs.append_jsonl(path, {"step": 3})
    assert runs.read_jsonl(path) == [{"step": 1}, {"step": 3}], "what was cut short is gone"
    path.write_text('{"step')
    runs.append_jsonl(path, {"step": 4})
    assert runs.read_jsonl(path) == [{"step": 4}]
    path.write_text('{"step": 1\n{"step": 2}\n')
    with pytest.raises(InputError, match="line 1"):
        runs.read_jsonl(path)


def test_jsonl_keeps_rows_whole_that_hold_other_line_ends(tmp_path: Path) -> None:
    row = {"text": "satu\u2028dua\u0085tiga\x0bempat\x1clima"}
    for _ in range(2):
        runs.append_jsonl(tmp_path / "log.jsonl", row)
    assert runs.read_jsonl(tmp_path / "log.jsonl") == [row, row]


def test_new_directory_is_whole_or_not_there(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    with pytest.raises(ZeroDivisionError), runs.new_directory(target) as folder:
        (folder / "half").write_text("x")
        raise ZeroDivisionError
    assert not target.exists()
    assert not list(target.parent.iterdir())
    with runs.new_directory(target) as folder:
        (folder / "whole").write_text("x")
    assert [p.name for p in target.iterdir()] == ["whole"]
    with pytest.raises(InputError, match="not empty"), runs.new_directory(target):
        pass


def test_lock_keeps_a_second_process_out_and_goes_with_the_first(tmp_path: Path) -> None:
    code = f"from pathlib import Path\nfrom rojak.runs import locked\nwith locked(Path({str(tmp_path)!r})): pass"
    with runs.locked(tmp_path):
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert second.returncode != 0
    assert "in use by another rojak process" in second.stderr
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
