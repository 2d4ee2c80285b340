"""One token a particle: in the place of a byte that no text holds, never behind the timestamps, kept by every save."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rojak.config.schema import TrainConfig
from rojak.errors import ConfigError
from rojak.evaluate.decode import greedy_tokens
from rojak.model.adapters import add_lora, load_any
from rojak.model.labelling import write_labelling
from rojak.model.labels import label
from rojak.model.particle_tokens import choose_tokens, free_tokens, prepare_labelling, with_particle_tokens
from rojak.model.whisper import Whisper, load_whisper, save_whisper
from rojak.records import Utterance, Word
from rojak.text.particles import load_particles
from rojak.text.wordlists import own_lists_in_force


@pytest.fixture
def plain(tiny_dir: Path) -> Whisper:
    return load_whisper(str(tiny_dir))


@pytest.fixture
def whisper(plain: Whisper) -> Whisper:
    """Of the particles, the tiny vocabulary spells some with one token already."""
    return with_particle_tokens(plain, choose_tokens(plain, load_particles().canonical_forms))


def said(text: str, *words: tuple[str, str]) -> Utterance:
    items = tuple(Word.model_validate({"word": word, "language": language}) for word, language in words)
    return Utterance(audio_id="a", audio_filepath="a", text=text, duration=1.0, words=items)


def test_no_id_is_added_and_none_that_a_text_or_a_time_uses_is_taken(plain: Whisper, whisper: Whisper) -> None:
    chosen = whisper.tokens.labelling.particle_tokens
    several = {form for form in load_particles().canonical_forms if len(plain.tokens.encode(form)) > 1}
    assert set(chosen) == several
    assert 5 < len(several) < len(load_particles().canonical_forms)
    assert len(set(chosen.values())) == len(chosen)
    assert len(whisper.tokens.tokenizer.get_vocab()) == len(plain.tokens.tokenizer.get_vocab())
    assert max(chosen.values()) < whisper.tokens.end
    for name in ("start", "end", "transcribe", "no_timestamps", "timestamp_begin", "languages"):
        assert getattr(whisper.tokens, name) == getattr(plain.tokens, name)
    assert len(whisper.tokens.tokenizer) == len(plain.tokens.tokenizer)
    texts = ["Eh boleh lah, 可以啦! நன்றி", "sekolah lahir Lahad RM3.50 100% ½ é ñ ü 😀 \n\t", "kan one what"]
    for text in texts:
        assert whisper.tokens.encode(text) == plain.tokens.encode(text)
        assert not set(plain.tokens.encode(text)) & set(chosen.values())


def test_a_particle_is_one_token_where_it_is_a_particle_and_only_there(whisper: Whisper) -> None:
    chosen = whisper.tokens.labelling.particle_tokens
    text = "the food is meh sia meh!"
    tags = ["en", "en", "en", "en", "particle", "particle"]
    ids = label(whisper.tokens, said(text, *zip(text.strip("!").split(), tags, strict=True)), "en").ids
    assert [token for token in ids if token in chosen.values()] == [chosen["sia"], chosen["meh"]]
    assert whisper.tokens.decode(ids) == text
    assert whisper.tokens.tokenizer.decode(ids) == f" {text}"


def test_a_particle_without_a_space_before_it_stays_as_it_is(whisper: Whisper) -> None:
    glued = said("水果sia", ("水果", "zh"), ("sia", "particle"))
    assert label(whisper.tokens, glued, "zh").ids == whisper.tokens.encode("水果sia")


def test_it_starts_as_the_mean_of_its_pieces(plain: Whisper, tiny_dir: Path) -> None:
    before = load_whisper(str(tiny_dir)).network.get_input_embeddings().weight
    pieces = plain.tokens.encode("sia")
    assert len(pieces) > 1
    whisper = with_particle_tokens(plain, choose_tokens(plain, ["sia"]))
    row = whisper.network.get_input_embeddings().weight[whisper.tokens.labelling.particle_tokens["sia"]]
    assert torch.allclose(row, before[pieces].mean(dim=0))


def test_a_model_can_decode_it(whisper: Whisper) -> None:
    token = whisper.tokens.labelling.particle_tokens["meh"]
    with torch.no_grad():
        weight = whisper.network.get_input_embeddings().weight
        weight[token] = 100 * weight.abs().max()
        whisper.network.model.decoder.layer_norm.weight.fill_(0.0)
        whisper.network.model.decoder.layer_norm.bias.fill_(1.0)
    encoded = torch.zeros(1, 50, whisper.network.config.d_model)
    ids = greedy_tokens(whisper, encoded, torch.tensor([whisper.tokens.prompt("ms")]), 3)[0]
    assert ids == [token] * 3
    assert whisper.tokens.decode(ids) == "meh meh meh"


def _train_a_little(whisper: Whisper, network: torch.nn.Module) -> Callable[[Whisper], torch.Tensor]:
    """Give trained weights some other value; give a function that tells what a model thinks."""
    with torch.no_grad():
        torch.manual_seed(0)
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    network.eval()
    inputs = torch.tensor([[whisper.tokens.start, *whisper.tokens.labelling.particle_tokens.values()]])
    encoded = torch.randn(1, 30, whisper.network.config.d_model)

    @torch.no_grad()
    def think(model: Whisper) -> torch.Tensor:
        hidden = model.network.model.decoder(input_ids=inputs, encoder_hidden_states=encoded).last_hidden_state
        return model.network.proj_out(hidden)

    return think


def test_particle_rows_are_trained_with_the_adapter_and_survive_save_and_merge(tiny_dir: Path, tmp_path: Path) -> None:
    config = TrainConfig(
        model_name=str(tiny_dir), dataset_path="d", output_dir="o", lora_r=2, particle_tokens=True, language_tags="word"
    )
    whisper = prepare_labelling(load_whisper(str(tiny_dir)), config)
    network = add_lora(whisper, config)
    assert any("trainable_tokens" in name for name, p in network.named_parameters() if p.requires_grad)
    think = _train_a_little(whisper, network)
    network.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    write_labelling(tmp_path / "adapter", whisper.tokens.labelling)
    adapted = load_any(str(tmp_path / "adapter"))
    torch.testing.assert_close(think(adapted), think(whisper), atol=1e-4, rtol=1e-4)
    save_whisper(adapted, tmp_path / "merged")
    rights = {path.stat().st_mode & 0o777 for path in (tmp_path / "merged").iterdir()}
    assert len(rights) == 1, "whoever may read the configuration may read the weights"
    merged = load_any(str(tmp_path / "merged"))
    torch.testing.assert_close(think(merged), think(whisper), atol=1e-4, rtol=1e-4)
    for model in (adapted, merged):
        assert model.tokens.labelling == whisper.tokens.labelling
        assert model.tokens.decode([model.tokens.labelling.particle_tokens["sia"]]) == "sia"
    settings = merged.network.generation_config
    assert settings.no_timestamps_token_id == merged.tokens.no_timestamps


def test_asked_for_twice_it_changes_nothing(whisper: Whisper) -> None:
    again = with_particle_tokens(whisper, choose_tokens(whisper, load_particles().canonical_forms))
    assert again is whisper


def test_too_many_particles_are_refused(plain: Whisper) -> None:
    with pytest.raises(ConfigError, match="43 unused tokens and 50 particles"):
        choose_tokens(plain, [f"pqx{number}" for number in range(50)])
    assert len(free_tokens(plain.tokens)) == 43


def test_particles_of_another_vocabulary_are_refused(plain: Whisper) -> None:
    with pytest.raises(ConfigError, match="particle token of lah is not free"):
        with_particle_tokens(plain, {"lah": plain.tokens.encode("boleh")[0]})


def test_a_user_s_particles_get_tokens_too(plain: Whisper, tmp_path: Path) -> None:
    lists = tmp_path / "mine.yaml"
    lists.write_text("particles: {bah: {}, one: null}")
    config = TrainConfig(dataset_path="d", output_dir="o", particle_tokens=True)
    with own_lists_in_force([lists]):
        chosen = prepare_labelling(plain, config).tokens.labelling.particle_tokens
    assert "bah" in chosen
    assert "one" not in chosen
