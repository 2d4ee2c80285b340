import pytest
import torch
from transformers import WhisperForConditionalGeneration

from rojak.errors import InputError
from rojak.model.micro import build_tokenizer, build_untrained
from rojak.model.names import token_counter
from rojak.model.whisper import IGNORED, SpeechTokens, Whisper, encode_audio, load_whisper, token_losses

TEXTS = ["saya nak makan nasi lemak", "can you help me", "你好吗", "நான் வீட்டுக்கு போறேன்", "boleh lah"] * 20


@pytest.fixture(scope="module")
def whisper() -> Whisper:
    size = {"d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    return build_untrained("tiny", build_tokenizer(TEXTS, 300), 0, **size, **heads)


@pytest.fixture(scope="module")
def tokens(whisper: Whisper) -> SpeechTokens:
    return whisper.tokens


@pytest.fixture(scope="module")
def network(whisper: Whisper) -> WhisperForConditionalGeneration:
    return whisper.network.eval()


def test_control_tokens_lie_as_in_whisper(tokens: SpeechTokens) -> None:
    assert len(tokens.languages) == 100
    assert tokens.start == tokens.end + 1
    assert tokens.timestamp_begin == tokens.no_timestamps + 1
    assert len(tokens.tokenizer) == tokens.timestamp_begin + 1501
    assert tokens.timestamp(0.0) == tokens.timestamp_begin
    assert tokens.timestamp(30.0) == len(tokens.tokenizer) - 1


@pytest.mark.parametrize("text", TEXTS[:5])
def test_text_survives_the_way_there_and_back(text: str, tokens: SpeechTokens) -> None:
    sequence = [*tokens.prompt("ms"), *tokens.encode(text), tokens.end, tokens.timestamp(1.0)]
    assert tokens.decode(sequence) == text


def test_prompts(tokens: SpeechTokens) -> None:
    assert tokens.prompt("ta") == [tokens.start, tokens.languages["ta"], tokens.transcribe, tokens.no_timestamps]
    assert tokens.no_timestamps not in tokens.prompt("ta", timestamps=True)
    with pytest.raises(InputError, match="no token for language 'xx'"):
        tokens.prompt("xx")


def test_the_encoder_over_thirty_seconds_is_the_library_s_own(network: WhisperForConditionalGeneration) -> None:
    mel = torch.randn(2, 80, 3000)
    with torch.no_grad():
        torch.testing.assert_close(encode_audio(network, mel), network.model.encoder(mel).last_hidden_state)


def test_the_encoder_takes_any_length(network: WhisperForConditionalGeneration) -> None:
    with torch.no_grad():
        assert encode_audio(network, torch.randn(2, 80, 320)).shape == (2, 160, 16)


def test_token_losses_are_the_library_s_own_mean(
    network: WhisperForConditionalGeneration, tokens: SpeechTokens
) -> None:
    mel = torch.randn(2, 80, 3000)
    inputs = torch.randint(0, tokens.end, (2, 7))
    labels = torch.randint(0, tokens.end, (2, 7))
    labels[0, 4:] = IGNORED
    with torch.no_grad():
        losses = token_losses(network, encode_audio(network, mel), inputs, labels)
        expected = network(input_features=mel, decoder_input_ids=inputs, labels=labels).loss
    assert losses.shape == (11,)
    torch.testing.assert_close(losses.mean(), expected)


@pytest.mark.parametrize("name", ["no/such-model", "/nowhere/at/all"])
def test_a_model_that_is_not_there_gets_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="Cannot load the model") as error:
        load_whisper(name)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="Cannot load the tokenizer"):
        token_counter(name)


def test_a_name_that_is_neither_folder_nor_hub_id_is_told_at_once() -> None:
    with pytest.raises(InputError, match="rojak-mirco: there is no such folder; give rojak-micro"):
        token_counter("rojak-mirco")
