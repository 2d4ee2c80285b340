"""Write a model for CTranslate2 and faster-whisper.

Writes model.bin, config.json, vocabulary.json (CTranslate2's own), and tokenizer.json, preprocessor_config.json, which
faster-whisper reads without being told; `rojak export` adds `export.json`.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from rojak.errors import MissingExtraError
from rojak.export.plain import copy_front

DTYPES = ("float32", "float16", "int8", "int8_float16")
MIN_VOCABULARY = 51866
"""CTranslate2 takes a model for English-only by its vocabulary: up to 4.7 when it has fewer than 51865 tokens (one more
stands for Cantonese), since 4.8 when it lacks the empty token that OpenAI's multilingual vocabulary has."""
NEVER = -1e4
"""Bias of a token that only fills the vocabulary up."""
NEVER_FIRST = (" -", " '", *(f" {sign}" for sign in "♩♪♫♬♭♮♯"))
"""faster-whisper forbids the first token of these; where they are no tokens, that would be the space itself."""


def write_ct2(plain_dir: Path, out_dir: Path, dtype: str) -> None:
    """Convert a plain Whisper folder.

    Args:
        plain_dir: Written by `write_plain`.
        out_dir: Existing folder to write into.
        dtype: One of `DTYPES`.

    Raises:
        MissingExtraError: ctranslate2 is not installed.
    """
    converter = _converter(str(plain_dir))
    made = out_dir / "ct2"
    converter.convert(str(made), quantization=dtype)
    for path in made.iterdir():
        shutil.move(path, out_dir / path.name)
    made.rmdir()
    copy_front(plain_dir, out_dir)
    _fill_up_tokenizer(out_dir / "tokenizer.json")


def _converter(plain_dir: str) -> Any:
    try:
        from ctranslate2.converters import TransformersConverter
    except ImportError:
        raise MissingExtraError("ct2 needs ctranslate2; install it with: pip install faster-whisper.") from None

    class Filled(TransformersConverter):  # type: ignore[misc]
        """The library's converter, with a small vocabulary filled up to the size of OpenAI's."""

        def _load(self) -> Any:
            spec = super()._load()
            _fill_up(spec)
            return spec

    return Filled(plain_dir)


def _fill_up(spec: Any) -> None:
    """Add tokens that are never chosen behind the real ones until the model counts as multilingual."""
    embeddings: torch.Tensor = spec.decoder.embeddings.weight.detach().float()
    missing = MIN_VOCABULARY - len(embeddings)
    if missing <= 0:
        return
    filled = torch.cat([embeddings, embeddings.new_zeros(missing, embeddings.shape[1])])
    bias = np.zeros(MIN_VOCABULARY, np.float32)
    bias[len(embeddings) :] = NEVER
    spec.decoder.embeddings.weight = spec.decoder.projection.weight = filled
    spec.decoder.projection.bias = bias
    tokens: list[str] = spec._vocabulary
    spec.register_vocabulary([*tokens, "", *(f"<|unused_{number}|>" for number in range(missing - 1))])


def _fill_up_tokenizer(path: Path) -> None:
    """Make a single, never chosen token of each piece whose first token faster-whisper forbids."""
    tokenizer = Tokenizer.from_file(str(path))
    if tokenizer.get_vocab_size() >= MIN_VOCABULARY - 1:
        return
    space = tokenizer.encode(" ", add_special_tokens=False).ids
    split = [text for text in NEVER_FIRST if tokenizer.encode(text, add_special_tokens=False).ids[:1] == space]
    tokenizer.add_tokens(split)
    tokenizer.save(str(path))
