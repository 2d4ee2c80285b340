"""Write a plain Whisper folder with everything that anybody asks of one, and say which model a folder is of.

config.json   generation_config.json   model.safetensors        transformers and all who follow it
tokenizer.json   tokenizer_config.json                          transformers, faster-whisper
processor_config.json   preprocessor_config.json                transformers 5; faster-whisper and transformers 4
vocab.json   merges.txt   added_tokens.json                     whisper.cpp's converter, transformers 4
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import WhisperProcessor

from rojak.errors import InputError
from rojak.export.folder import EXPORT_FILE, read_export, sha256_of
from rojak.model.adapters import resolve_model
from rojak.model.labelling import LABELLING_FILE
from rojak.model.whisper import Whisper, save_whisper
from rojak.runs import read_json, write_bytes, write_json

FRONT_FILES = ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json", "generation_config.json")
"""What a runtime needs beside the weights to turn sound into features and tokens into text."""


def copy_front(plain_dir: Path, out_dir: Path) -> None:
    """Copy what a runtime needs beside the weights, and how the model labels where that is not plain Whisper."""
    for name in (*FRONT_FILES, LABELLING_FILE):
        if name in FRONT_FILES or (plain_dir / name).is_file():
            shutil.copy(plain_dir / name, out_dir / name)


def write_plain(whisper: Whisper, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a model folder; the weights in memory take on `dtype` too.

    Raises:
        InputError: No space, no permission.
    """
    whisper.network.to(dtype)
    config = whisper.network.config
    settings = whisper.network.generation_config
    # Defaults of the library name ids of OpenAI's vocabulary; other vocabularies may not have them.
    config.suppress_tokens = getattr(settings, "suppress_tokens", None) or None
    config.begin_suppress_tokens = getattr(settings, "begin_suppress_tokens", None) or None
    save_whisper(whisper, folder)
    WhisperProcessor(whisper.extractor, whisper.tokens.tokenizer).save_pretrained(folder)
    whisper.extractor.save_pretrained(folder)
    _write_vocabulary(folder)


def _write_vocabulary(folder: Path) -> None:
    """Write the older files of the same tokenizer: text tokens, merges, and the tokens behind them."""
    tokenizer: dict[str, Any] = read_json(folder / "tokenizer.json")
    text: dict[str, int] = tokenizer["model"]["vocab"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in tokenizer["model"]["merges"]]
    added = {entry["content"]: entry["id"] for entry in tokenizer["added_tokens"] if entry["content"] not in text}
    write_bytes(folder / "vocab.json", json.dumps(text, ensure_ascii=False).encode())
    write_bytes(folder / "merges.txt", "\n".join(["#version: 0.2", *merges, ""]).encode())
    write_json(folder / "added_tokens.json", added)


def source_hash(name: str) -> str:
    """Give a hash that is equal for a model and everything exported from it.

    For a run or folder it is that of the weight files, for an export the one it was made with, for a hub id that of
    the name.

    Raises:
        InputError: A folder without weights.
    """
    folder = resolve_model(name)
    if folder is None:
        return hashlib.sha256(name.encode()).hexdigest()
    if (folder / EXPORT_FILE).is_file():
        return read_export(folder).source_sha256
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise InputError(f"{folder} holds no model (no *.safetensors); give a run, a model folder or a hub id.")
    return hashlib.sha256("".join(sha256_of(path) for path in weights).encode()).hexdigest()
