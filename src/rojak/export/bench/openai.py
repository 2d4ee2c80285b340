"""Weights of transformers under openai-whisper's names; knows neither library."""

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

_RENAMED = (
    ("model.", ""),
    (".layers.", ".blocks."),
    (".encoder_attn_layer_norm.", ".cross_attn_ln."),
    (".self_attn_layer_norm.", ".attn_ln."),
    (".final_layer_norm.", ".mlp_ln."),
    (".encoder_attn.", ".cross_attn."),
    (".self_attn.", ".attn."),
    (".q_proj.", ".query."),
    (".k_proj.", ".key."),
    (".v_proj.", ".value."),
    (".out_proj.", ".out."),
    (".fc1.", ".mlp.0."),
    (".fc2.", ".mlp.2."),
    ("encoder.layer_norm.", "encoder.ln_post."),
    ("decoder.layer_norm.", "decoder.ln."),
    ("decoder.embed_tokens.", "decoder.token_embedding."),
    ("encoder.embed_positions.weight", "encoder.positional_embedding"),
    ("decoder.embed_positions.weight", "decoder.positional_embedding"),
)


def convert_weights(weights: Mapping[str, T]) -> dict[str, T]:
    """Rename a Whisper state dictionary; the output projection is the token embedding and is left out."""
    renamed = {}
    for name, value in weights.items():
        if name == "proj_out.weight":
            continue
        for ours, theirs in _RENAMED:
            name = name.replace(ours, theirs)  # noqa: PLW2901
        renamed[name] = value
    return renamed
