"""An export says what it is, and a half-written or changed one is refused in a sentence."""

from dataclasses import replace
from pathlib import Path

import pytest

from rojak.errors import InputError
from rojak.export.folder import EXPORT_FILE, ExportRecord, list_files, read_export, write_export
from rojak.export.runtime import open_model
from rojak.runs import read_json, write_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.bin").write_bytes(b"weights")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "vocab.json").write_text("{}")
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines" / "a.engine").write_text("made later")
    write_export(tmp_path, ExportRecord("ct2", "int8", "runs/first", "abc", 80, list_files(tmp_path)))
    return tmp_path


def test_the_record_comes_back(folder: Path) -> None:
    record = read_export(folder, hashes=True)
    assert sorted(record.files) == ["model.bin", "more/vocab.json"]
    assert (record.format, record.dtype, record.trim_safe, record.verify) == ("ct2", "int8", False, None)
    write_export(folder, replace(record, trim_safe=True, verify={"passed": True}))
    assert read_export(folder).trim_safe


def test_a_changed_byte_is_found_by_its_hash_and_a_cut_file_by_its_size(folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"weightz")
    read_export(folder)
    with pytest.raises(InputError, match=r"model\.bin was changed after the export"):
        read_export(folder, hashes=True)
    (folder / "model.bin").write_bytes(b"weight")
    with pytest.raises(InputError, match=r"model\.bin was changed after the export"):
        read_export(folder)
    (folder / "model.bin").unlink()
    with pytest.raises(InputError, match=r"lacks model\.bin"):
        open_model(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "gguf"}, "names the format 'gguf'"),
        ({"files": {"../x": {"bytes": 1, "sha256": ""}}}, "outside the folder"),
        ({"files": {"model.bin": 3}}, "not a record"),
        ({"unknown": 1}, "not a record"),
    ],
)
def test_a_record_of_nobody_is_refused(folder: Path, change: dict, said: str) -> None:
    write_json(folder / EXPORT_FILE, read_json(folder / EXPORT_FILE) | change)
    with pytest.raises(InputError, match=said):
        read_export(folder)


@pytest.mark.parametrize(("name", "kind"), [("model.bin", "ct2"), ("encoder.onnx", "onnx"), ("ggml-f16.bin", "ggml")])
def test_a_half_written_export_is_recognised(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=rf"holds {kind} files but no export\.json"):
        open_model(tmp_path)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"folder without config\.json"):
        open_model(tmp_path)
