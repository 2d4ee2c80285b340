"""One vocabulary token for each particle, in the place of tokens that no text ever uses.

Whisper takes every id behind its text tokens for a control token or a time, so particles must not be added at the end.
Byte-level vocabularies hold all 256 bytes; 13 of them never occur in UTF-8, and control characters in no transcript.
Such an id is spelt anew (`Ġlah`), so that every program that reads the vocabulary from the model's folder prints the
particle; the particle is written into labels by `labels.label`. Its embedding starts as the mean of its sub-words'.
A particle that the vocabulary spells with one token already (`Ġone`) keeps it: two ids cannot have one spelling.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import WhisperTokenizer

from rojak.config.schema import TrainConfig
from rojak.errors import ConfigError
from rojak.model.pieces import token_bytes
from rojak.model.whisper import SpeechTokens, Whisper
from rojak.text.particles import load_particles

_NEVER_BYTES = frozenset([0xC0, 0xC1, *range(0xF5, 0x100), *range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F])
"""Bytes that UTF-8 has no use for (RFC 3629), and control characters other than tab and line ends."""


def prepare_labelling(whisper: Whisper, config: TrainConfig) -> Whisper:
    """Give the model as a run wants it to label: with language tags or none, with particle tokens where asked for."""
    if config.particle_tokens:
        forms = load_particles().canonical_forms
        whisper = with_particle_tokens(whisper, choose_tokens(whisper, forms))
    labelling = replace(whisper.tokens.labelling, language_tags=config.language_tags)
    return replace(whisper, tokens=replace(whisper.tokens, labelling=labelling))


def free_tokens(tokens: SpeechTokens, forbidden: Sequence[int] = ()) -> list[int]:
    """Give the ids of tokens that stand for a single byte which no transcript holds, and of which no merge is made.

    Args:
        tokens: The model's.
        forbidden: Ids that the generation settings suppress.
    """
    state = json.loads(tokens.tokenizer.backend_tokenizer.to_str())["model"]
    merged = {part for merge in state["merges"] for part in (merge.split(" ") if isinstance(merge, str) else merge)}
    names = {token: name for name, token in state["vocab"].items()}
    return sorted(
        token
        for token, name in names.items()
        if len(name) == 1
        and token_bytes(tokens, token)[0] in _NEVER_BYTES
        and name not in merged
        and token not in forbidden
    )


def choose_tokens(whisper: Whisper, particles: Sequence[str]) -> dict[str, int]:
    """Choose an id for each particle that takes several tokens; those that the model already has stay as they are.

    Raises:
        ConfigError: More particles than free ids.
    """
    chosen = dict(whisper.tokens.labelling.particle_tokens)
    settings: Any = whisper.network.generation_config
    free = free_tokens(whisper.tokens, [*(settings.suppress_tokens or ()), *(settings.begin_suppress_tokens or ())])
    missing = [form for form in particles if form not in chosen and len(whisper.tokens.encode(form)) > 1]
    if len(missing) > len(free):
        raise ConfigError(
            f"particle_tokens: the vocabulary has {len(free)} unused tokens and {len(missing)} particles need one; "
            "take some out with a word list (docs/language.md)."
        )
    return chosen | dict(zip(missing, free, strict=False))


def with_particle_tokens(whisper: Whisper, particle_tokens: dict[str, int]) -> Whisper:
    """Give a model whose vocabulary has these particles; weights are changed in place, the tokenizer is a new one.

    Args:
        whisper: Model; particles that it has already are left alone.
        particle_tokens: Particle to id, from `choose_tokens`.

    Raises:
        ConfigError: An id is not free in this model's vocabulary: the particles belong to another one.
    """
    known = whisper.tokens.labelling
    new = {form: token for form, token in particle_tokens.items() if known.particle_tokens.get(form) != token}
    free = set(free_tokens(whisper.tokens))
    wrong = [form for form, token in new.items() if token not in free]
    if wrong:
        raise ConfigError(f"The particle token of {wrong[0]} is not free in the vocabulary of {whisper.name}.")
    weight = whisper.network.get_input_embeddings().weight
    with torch.no_grad():
        for form, token in new.items():
            weight[token] = weight[whisper.tokens.encode(form)].mean(dim=0)
    if not new:
        return whisper
    labelling = replace(known, particle_tokens=known.particle_tokens | new)
    return replace(whisper, tokens=SpeechTokens.of(_renamed(whisper.tokens.tokenizer, new), labelling))


def _renamed(tokenizer: WhisperTokenizer, particle_tokens: dict[str, int]) -> WhisperTokenizer:
    """Give a tokenizer in whose vocabulary these ids are spelt as the particle behind a space."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        path = Path(folder) / "tokenizer.json"
        state = json.loads(path.read_text(encoding="utf-8"))
        ids = {token: name for name, token in state["model"]["vocab"].items()}
        ids |= {token: f"Ġ{form}" for form, token in particle_tokens.items()}
        state["model"]["vocab"] = {name: token for token, name in sorted(ids.items())}
        path.write_text(json.dumps(state, ensure_ascii=False), encoding="utf-8")
        return WhisperTokenizer.from_pretrained(folder)
