"""A Whisper as OpenAI's own programs and whisper.cpp know it: their names of weights, their numbers of tokens.

Both programs have the control tokens built in at OpenAI's ids. A model with a smaller vocabulary in the same order
(`rojak-micro`) is laid out so that its control tokens stand there: its text tokens keep their ids, its control tokens
move up behind 50257 places for text, and the places between are never chosen.
"""

from dataclasses import dataclass

import torch

from rojak.errors import InputError
from rojak.model.whisper import SpeechTokens, Whisper

NUM_TEXT_TOKENS = 50257
"""Text tokens of OpenAI's multilingual vocabulary; end-of-text is the next id."""
NUM_LANGUAGES = (99, 100)
NUM_OTHER_CONTROLS = 8 + 1501
"""End, start, translate, transcribe, start of lm, of previous text, no speech, no timestamps; and the times."""

_PARTS = {
    "self_attn.q_proj": "attn.query", "self_attn.k_proj": "attn.key", "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out", "self_attn_layer_norm": "attn_ln",
    "encoder_attn.q_proj": "cross_attn.query", "encoder_attn.k_proj": "cross_attn.key",
    "encoder_attn.v_proj": "cross_attn.value", "encoder_attn.out_proj": "cross_attn.out",
    "encoder_attn_layer_norm": "cross_attn_ln", "fc1": "mlp.0", "fc2": "mlp.2", "final_layer_norm": "mlp_ln",
}  # fmt: skip
_EMBEDDING = "decoder.token_embedding.weight"
_TOPS = {
    "encoder.embed_positions.weight": "encoder.positional_embedding",
    "decoder.embed_positions.weight": "decoder.positional_embedding",
    "decoder.embed_tokens.weight": _EMBEDDING,
    "encoder.layer_norm.weight": "encoder.ln_post.weight", "encoder.layer_norm.bias": "encoder.ln_post.bias",
    "decoder.layer_norm.weight": "decoder.ln.weight", "decoder.layer_norm.bias": "decoder.ln.bias",
}  # fmt: skip


def weight_name(name: str) -> str:
    """Give OpenAI's name of a transformers weight (without its leading `model.`)."""
    if name in _TOPS:
        return _TOPS[name]
    side, rest = name.split(".", 1)
    if not rest.startswith("layers."):
        return name  # the convolutions are called the same
    _, number, part = rest.split(".", 2)
    part, kind = part.rsplit(".", 1)
    return f"{side}.blocks.{number}.{_PARTS[part]}.{kind}"


@dataclass(frozen=True)
class Numbering:
    """Where OpenAI's programs look for a model's tokens.

    Attributes:
        num_text: The model's own text tokens; they keep their ids.
        size: Of the vocabulary as those programs see it.
        never: The model's token that no text holds; its row fills the places between text and control tokens.
    """

    num_text: int
    size: int
    never: int

    def own(self, token: int) -> int:
        """Give the model's own id of the token that such a program calls `token`."""
        if token < self.num_text:
            return token
        return self.never if token < NUM_TEXT_TOKENS else token - NUM_TEXT_TOKENS + self.num_text


def number_tokens(tokens: SpeechTokens, size: int) -> Numbering | None:
    """Find a model's numbering; None where its control tokens are not in OpenAI's order.

    Args:
        tokens: The model's.
        size: Rows of its embedding.
    """
    languages = len(tokens.languages)
    in_order = (
        tokens.end <= NUM_TEXT_TOKENS
        and languages in NUM_LANGUAGES
        and size == tokens.end + languages + NUM_OTHER_CONTROLS
        and tokens.start == tokens.end + 1
        and sorted(tokens.languages.values()) == list(range(tokens.start + 1, tokens.start + 1 + languages))
        and tokens.no_timestamps == tokens.start + languages + 6
    )
    start_of_lm = tokens.no_timestamps - 3
    return Numbering(tokens.end, size - tokens.end + NUM_TEXT_TOKENS, start_of_lm) if in_order else None


def named_weights(whisper: Whisper, numbering: Numbering) -> dict[str, torch.Tensor]:
    """Give a model's weights by OpenAI's names, the embedding in OpenAI's order; the output layer is the embedding."""
    weights = {weight_name(name): tensor for name, tensor in whisper.network.model.state_dict().items()}
    weights[_EMBEDDING] = weights[_EMBEDDING][[numbering.own(token) for token in range(numbering.size)]]
    return weights


def require_numbering(whisper: Whisper, program: str) -> Numbering:
    """Give a model's numbering.

    Args:
        whisper: Model.
        program: What wants it, to begin the sentence with.

    Raises:
        InputError: Another order of tokens than OpenAI's, or language tags in the text.
    """
    size = whisper.network.config.vocab_size
    numbering = number_tokens(whisper.tokens, size)
    if numbering is None:
        raise InputError(
            f"{program}: the {size} tokens of {whisper.name} are not in the order of OpenAI's multilingual models "
            f"(text, end, start, {NUM_LANGUAGES[0]} or {NUM_LANGUAGES[1]} languages, tasks, times), which alone it "
            "knows; fine-tune one of those, or export ct2 or onnx."
        )
    if whisper.tokens.labelling.language_tags != "none":
        raise InputError(
            f"{program}: {whisper.name} writes language tags into its text, which it never lets a model do; train "
            "with language_tags: none, or export ct2 or onnx."
        )
    return numbering
