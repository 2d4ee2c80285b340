"""`rojak export MODEL OUT --format …`: a fine-tuned model as files for another runtime, checked against the original.

Reads a run, an adapter or model folder, a merged folder, or a hub id; writes OUT whole or not at all, with
`export.json` last.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import yaml

from rojak.data.shards import find_shards
from rojak.errors import InputError
from rojak.export import ctranslate2, ggml, onnx
from rojak.export.folder import EXPORT_FILE, ExportRecord, Format, list_files, read_export, write_export
from rojak.export.plain import source_hash, write_plain
from rojak.export.runtime import Device, open_model
from rojak.export.tensorrt import require_tensorrt
from rojak.export.verify import DEFAULT_CLIPS, Clip, Verdict, made_clips, prepared_clips, verify
from rojak.model.adapters import load_any
from rojak.records import Split
from rojak.runs import new_directory

DTYPES: dict[Format, tuple[str, ...]] = {
    "ct2": ctranslate2.DTYPES,
    "onnx": onnx.DTYPES,
    "ggml": ggml.DTYPES,
    "tensorrt": ("float32",),
}
"""The number formats of each format; the first is the default."""


def export_model(model: str, out_dir: Path, wanted: str, dtype: str | None = None) -> ExportRecord:
    """Write a model in another program's format.

    Args:
        model: A run, an adapter or model folder, `rojak-micro`, or a hub id.
        out_dir: New folder.
        wanted: ct2, onnx, ggml or tensorrt.
        dtype: Number format of the weights; default: the first in `DTYPES`.

    Raises:
        RojakError: No model there, OUT exists, an unknown format or number format, a missing extra, no GPU.
    """
    chosen: Format | None = next((name for name in DTYPES if name == wanted), None)
    if chosen is None:
        raise InputError(f"--format {wanted!r}: allowed are {', '.join(DTYPES)}.")
    dtype = dtype or DTYPES[chosen][0]
    if dtype not in DTYPES[chosen]:
        raise InputError(f"--dtype {dtype!r}: {chosen} has {', '.join(DTYPES[chosen])}.")
    if chosen == "tensorrt":
        require_tensorrt()
    _refuse_exported(model)
    digest = source_hash(model)
    with new_directory(out_dir) as folder, tempfile.TemporaryDirectory(dir=out_dir.parent) as plain:
        whisper = load_any(model)
        if chosen == "ggml":
            ggml.check_shape(whisper, dtype)
        write_plain(whisper, Path(plain))
        if chosen == "ct2":
            ctranslate2.write_ct2(Path(plain), folder, dtype)
        elif chosen == "ggml":
            ggml.write_ggml(whisper, Path(plain), folder, dtype)
        else:
            onnx.write_onnx(whisper, Path(plain), folder, dtype)
        num_mels = int(whisper.extractor.feature_size)
        record = ExportRecord(chosen, dtype, model, digest, num_mels, list_files(folder))
        write_export(folder, record)
    return record


def _refuse_exported(model: str) -> None:
    """Refuse what has left PyTorch already."""
    folder = Path(model)
    if (folder / EXPORT_FILE).is_file():
        record = read_export(folder)
        if record.format != "transformers":
            raise InputError(
                f"{model} is a {record.format} export already; export the model it was made from ({record.source})."
            )


def check_export(
    source: str, folder: Path, clips: list[Clip], data: str, *, device: Device = "auto", max_new_tokens: int = 224
) -> Verdict:
    """Verify a folder against its source and keep the result in its `export.json`, where it has one.

    Raises:
        InputError: The folder is broken, or was exported from another model.
    """
    if not (folder / EXPORT_FILE).is_file():
        return verify_models(source, str(folder), clips, data, device=device, max_new_tokens=max_new_tokens)
    record = read_export(folder)
    verdict = verify_models(source, str(folder), clips, data, device=device, max_new_tokens=max_new_tokens)
    write_export(folder, replace(record, trim_safe=verdict.trim_safe, verify=verdict.as_dict()))
    return verdict


def verify_models(
    a: str, b: str, clips: list[Clip], data: str, *, device: Device = "auto", max_new_tokens: int = 224
) -> Verdict:
    """Verify model B against A; see `verify.verify`.

    Raises:
        InputError: One of them is no model, or they are exports of different models.
    """
    if (Path(b) / EXPORT_FILE).is_file():
        record = read_export(Path(b))
        if record.source_sha256 != source_hash(a):
            raise InputError(f"{b} was exported from another model ({record.source}) than {a}; export {a} again.")
        dtype = record.dtype
    else:
        dtype = "float32"
    first, second = open_model(a, device), open_model(b, device)
    return verify(first, second, dtype, clips, data, max_new_tokens)


def data_of(model: str) -> Path | None:
    """Give the prepared data that a run was trained on, where it is still there and has a test split."""
    path = Path(model) / "config.yaml"
    if not path.is_file():
        return None
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    data_dir = Path(str(settings.get("dataset_path"))) if isinstance(settings, dict) else Path()
    try:
        return data_dir if find_shards(data_dir, "test") else None
    except InputError:
        return None


def find_clips(
    data_dir: Path | None, splits: tuple[Split, ...] = ("test",), max_clips: int = DEFAULT_CLIPS
) -> tuple[list[Clip], str]:
    """Give clips to verify with, and what they are: prepared data, or made speech where none is given.

    Raises:
        InputError: No prepared data there, or nothing in the splits.
    """
    if data_dir is None:
        return made_clips(max_clips), "synthetic speech"
    return prepared_clips(data_dir, splits, max_clips), f"{data_dir} ({', '.join(splits)})"
