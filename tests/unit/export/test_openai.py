"""OpenAI's names of weights and numbers of tokens."""

from dataclasses import replace

import pytest
import torch

from rojak.errors import InputError
from rojak.export.openai import NUM_TEXT_TOKENS, named_weights, number_tokens, require_numbering
from rojak.model.labelling import Labelling
from rojak.model.micro import build_tokenizer, build_untrained
from rojak.model.whisper import SpeechTokens, Whisper

LAYER = ("attn.query.weight", "attn.key.weight", "attn.value.bias", "attn.out.weight", "attn_ln.weight", "mlp_ln.bias")


@pytest.fixture(scope="module")
def whisper() -> Whisper:
    size = {"d_model": 16, "encoder_layers": 2, "decoder_layers": 1, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    return build_untrained("small", build_tokenizer(["saya nak makan"], 300), 0, **size, **heads)


def test_every_weight_gets_openais_name(whisper: Whisper) -> None:
    names = set(named_weights(whisper, require_numbering(whisper, "x")))
    assert {f"encoder.blocks.1.{name}" for name in LAYER} <= names
    assert {"decoder.blocks.0.cross_attn.query.weight", "decoder.blocks.0.cross_attn_ln.weight"} <= names
    assert {"decoder.blocks.0.mlp.0.weight", "decoder.blocks.0.mlp.2.bias", "encoder.conv1.weight"} <= names
    assert {"encoder.ln_post.weight", "decoder.ln.bias", "decoder.token_embedding.weight"} <= names
    assert {"encoder.positional_embedding", "decoder.positional_embedding"} <= names
    assert not [name for name in names if "layer" in name or "proj" in name or "embed_" in name or "fc" in name]
    assert len(names) == len(whisper.network.model.state_dict())


def test_control_tokens_stand_where_openais_programs_look(whisper: Whisper) -> None:
    numbering, tokens = require_numbering(whisper, "x"), whisper.tokens
    assert numbering.size == 51866, "as large-v3: a hundred languages"
    own = [numbering.own(token) for token in range(numbering.size)]
    assert own[: tokens.end] == list(range(tokens.end))
    assert set(own[tokens.end : NUM_TEXT_TOKENS]) == {tokens.tokenizer.convert_tokens_to_ids("<|startoflm|>")}
    assert own[50257:50260] == [tokens.end, tokens.start, tokens.languages["en"]]
    assert own[50363:50366] == [tokens.no_speech, tokens.no_timestamps, tokens.timestamp_begin]
    embedding = whisper.network.model.decoder.embed_tokens.weight
    laid = named_weights(whisper, numbering)["decoder.token_embedding.weight"]
    assert torch.equal(laid[50258], embedding[tokens.start])


def test_openais_own_vocabulary_stays_as_it_is() -> None:
    tokenizer = build_tokenizer(["saya"], 300, filled_up_to=50257)
    numbering = number_tokens(SpeechTokens.of(tokenizer), len(tokenizer))
    assert numbering is not None
    assert [numbering.own(token) for token in range(numbering.size)] == list(range(51866))


def test_other_orders_and_tags_are_refused(whisper: Whisper) -> None:
    tokens = whisper.tokens
    assert number_tokens(tokens, whisper.network.config.vocab_size + 1) is None
    assert number_tokens(replace(tokens, start=tokens.start + 1), whisper.network.config.vocab_size) is None
    with pytest.raises(InputError, match=r"--format x: the \d+ tokens of small are not in the order"):
        require_numbering(replace(whisper, tokens=replace(tokens, no_timestamps=5)), "--format x")
    with pytest.raises(InputError, match="writes language tags"):
        tagged = replace(tokens, labelling=Labelling(language_tags="word"))
        require_numbering(replace(whisper, tokens=tagged), "--format x")
