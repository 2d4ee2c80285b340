from transformers import WhisperConfig, WhisperForConditionalGeneration

from rojak.export.bench.bench import word_error_rate
from rojak.export.bench.openai import convert_weights

LAYER = ("attn.query.weight", "attn.key.weight", "attn.value.bias", "attn.out.weight", "attn_ln.weight", "mlp_ln.bias")


def test_every_weight_gets_openais_name() -> None:
    config = WhisperConfig(
        vocab_size=51865,
        d_model=16,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
    )
    names = set(convert_weights(WhisperForConditionalGeneration(config).state_dict()))
    assert {f"encoder.blocks.1.{name}" for name in LAYER} <= names
    assert {"decoder.blocks.0.cross_attn.query.weight", "decoder.blocks.0.cross_attn_ln.weight"} <= names
    assert {"decoder.blocks.0.mlp.0.weight", "decoder.blocks.0.mlp.2.bias", "encoder.conv1.weight"} <= names
    assert {"encoder.ln_post.weight", "decoder.ln.bias", "decoder.token_embedding.weight"} <= names
    assert {"encoder.positional_embedding", "decoder.positional_embedding"} <= names
    assert not [name for name in names if "layer" in name or "proj" in name or "embed_" in name or "fc" in name]


def test_word_errors_count_only_clips_with_a_reference() -> None:
    assert word_error_rate(["satu dua tiga", None, "empat"], ["satu Dua!", "apa pun", "empat lima"]) == 0.5
    assert word_error_rate([None], ["x"]) is None
