"""`rojak merge RUN OUT`: adapter and base become one plain Whisper folder.

Reads a run, an adapter or a model; writes OUT, which transformers and every peer load, with `export.json`. The sum is
done in float32 on the base's own weights, also after QLoRA training: what was 4-bit was only the copy in memory.
"""

from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import WhisperConfig

from rojak.errors import InputError
from rojak.export.folder import ExportRecord, list_files, write_export
from rojak.export.plain import source_hash, write_plain
from rojak.model.adapters import base_name, load_any, resolve_model
from rojak.runs import new_directory

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def merge(model: str, out_dir: Path, dtype: str = "auto") -> ExportRecord:
    """Write a model, with its adapter merged in, as a plain folder.

    Args:
        model: A run, an adapter or model folder, `rojak-micro`, or a hub id.
        out_dir: New folder.
        dtype: float32, float16, bfloat16, or `auto`: the base's own, and float16 after QLoRA training.

    Raises:
        RojakError: No model there; OUT exists; unknown dtype.
    """
    if dtype != "auto" and dtype not in DTYPES:
        raise InputError(f"--dtype {dtype!r}: allowed are auto, {', '.join(DTYPES)}.")
    digest = source_hash(model)
    chosen = stored_dtype(model) if dtype == "auto" else dtype
    with new_directory(out_dir) as folder:
        whisper = load_any(model)
        write_plain(whisper, folder, DTYPES[chosen])
        num_mels = int(whisper.extractor.feature_size)
        record = ExportRecord("transformers", chosen, model, digest, num_mels, list_files(folder))
        write_export(folder, record)
    return record


def stored_dtype(model: str) -> str:
    """Give the number format that a merged model should be stored in."""
    if trained_in_4bit(model):
        return "float16"
    base = base_name(model) or model
    stored = WhisperConfig.from_pretrained(str(resolve_model(base) or base)).dtype
    return next((name for name, dtype in DTYPES.items() if stored in (dtype, name)), "float32")


def trained_in_4bit(model: str) -> bool:
    """Tell whether a run was trained with QLoRA, by its own record."""
    path = Path(model) / "config.yaml"
    if not path.is_file():
        return False
    settings: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    return isinstance(settings, dict) and bool(settings.get("use_4bit"))
