from pathlib import Path

import pytest

from rojak.config.load import load_config
from rojak.config.schema import TrainConfig
from rojak.errors import ConfigError, InputError

BASE = "dataset_path: data\noutput_dir: runs/x\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_file_then_overrides_then_flags(tmp_path: Path) -> None:
    path = write(tmp_path, BASE + "learning_rate: 1e-3\nwindows: {mode: pad}\nstages: [{name: a}, {name: b}]\n")
    config = load_config(
        TrainConfig, path, ["windows.mode=trim", "stages.1.max_steps=7", "seed=4"], seed=5, lora_r=None
    )
    assert config.learning_rate == 1e-3
    assert config.windows.mode == "trim"
    assert config.stages[1].max_steps == 7
    assert config.seed == 5
    assert config.lora_r == 32


def test_all_mistakes_are_told_at_once_with_the_nearest_name(tmp_path: Path) -> None:
    path = write(tmp_path, "output_dir: x\nlearning_rat: 1\nwindows: {mod: pad}\nlora_r: 0\n")
    with pytest.raises(ConfigError) as error:
        load_config(TrainConfig, path)
    message = str(error.value)
    assert "dataset_path is required" in message
    assert "unknown setting learning_rat (did you mean learning_rate?)" in message
    assert "unknown setting windows.mod (did you mean mode?)" in message
    assert "lora_r" in message
    assert "\n" not in message


def test_unknown_key_inside_a_list_of_stages(tmp_path: Path) -> None:
    path = write(tmp_path, BASE + "stages:\n- {name: a, augment: {noise_shar: 0.5}}\n")
    with pytest.raises(ConfigError, match=r"stages\.0\.augment\.noise_shar \(did you mean noise_share\?\)"):
        load_config(TrainConfig, path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "not valid YAML at line"),
        ("- a\n- b\n", "must hold settings"),
        (BASE + "use_4bit: true\nadapter: none\n", "use_4bit needs adapter"),
        (BASE + "init: random\n", "needs adapter: none"),
        (BASE + "stages: [{name: a}, {name: a}]\n", "different names"),
        (BASE + "stages: [{name: a, augment: {noise_snr_db: [20, 5]}}]\n", "must rise"),
    ],
)
def test_bad_files_get_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(TrainConfig, write(tmp_path, text))


def test_missing_file_and_bad_overrides(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_config(TrainConfig, tmp_path / "no.yaml")
    for override, message in [("seed", "key=value"), ("seed.x=1", "plain value"), ("stages.3.name=x", "from 0 to 0")]:
        with pytest.raises(ConfigError, match=message):
            load_config(TrainConfig, write(tmp_path, BASE + "seed: 1\nstages: [{name: a}]\n"), [override])


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[3] / "configs").glob("[!t]*.yaml")), ids=lambda p: p.name
)
def test_shipped_configs_are_valid(path: Path) -> None:
    load_config(TrainConfig, path)
