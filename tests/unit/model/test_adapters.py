import json
import shutil
from pathlib import Path

import pytest

from rojak.config.schema import TrainConfig
from rojak.errors import InputError
from rojak.model.adapters import add_lora, base_name, count_parameters, load_any
from rojak.model.names import MICRO_NAME
from rojak.model.whisper import load_whisper


def test_an_adapter_names_its_base_and_asks_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    config = TrainConfig(dataset_path="data", output_dir="run", lora_r=2, lora_target_modules=("q_proj",))
    model = add_lora(load_whisper(MICRO_NAME), config)
    count = count_parameters(model)
    assert 0 < count.trainable < 0.02 * count.total
    model.save_pretrained(tmp_path / "best", save_embedding_layers=False)
    settings = json.loads((tmp_path / "best" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == MICRO_NAME
    assert settings["task_type"] is None
    assert base_name(str(tmp_path)) == MICRO_NAME
    assert load_any(str(tmp_path)).tokens.languages["ta"]
    weights = tmp_path / "best" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match=f"{tmp_path / 'best'} does not fit its base model"):
        load_any(str(tmp_path))


def test_weights_that_were_cut_off_are_told(tiny_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_dir, tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"Cannot load the model .* not fully covered"):
        load_any(str(tmp_path / "model"))


def test_the_embedded_model_is_a_whisper_of_ten_megabytes() -> None:
    whisper = load_whisper(MICRO_NAME)
    assert len(whisper.tokens.languages) == 100
    assert whisper.network.config.max_source_positions == 1500
    assert whisper.network.config.num_mel_bins == 80
    from rojak.model.names import MICRO_DIR

    assert (MICRO_DIR / "model.safetensors").stat().st_size <= 10_000_000
    assert (MICRO_DIR / "preprocessor_config.json").is_file()
