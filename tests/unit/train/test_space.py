"""The search space is read strictly and makes configurations."""

from pathlib import Path

import pytest

from rojak.config.schema import TrainConfig
from rojak.errors import ConfigError
from rojak.train.space import apply, read_space, shortened

CONFIGS = Path(__file__).parents[3] / "configs"


def config(**settings: object) -> TrainConfig:
    return TrainConfig.model_validate({"dataset_path": "d", "output_dir": "r"} | settings)


def test_the_usual_grid_has_eighteen_trials_and_alpha_follows() -> None:
    space = read_space(CONFIGS / "tune-grid.yaml")
    assert space.size == 18
    chosen = apply(config(), space, {"learning_rate": 5e-5, "lora_r": 128, "batch_size": 32})
    assert (chosen.learning_rate, chosen.lora_r, chosen.lora_alpha, chosen.batch_size) == (5e-5, 128, 256, 32)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("parameters: {lora_r: {low: 1, high: 5}}\nsampler: grid", "a grid needs lists"),
        ("parameters: {lora_r: {low: 9, high: 5}}", "low must be below high"),
        ("parameters: {}", "at least 1 item"),
        ("parameters: {lora_r: [8]}\ntied: {lora_alpha: {to: rank}}", "must be tied to a searched parameter"),
        ("parameters: {lora_r: [8]}\nsampler: annealing", "'grid', 'random' or 'tpe'"),
        ("parameters: [", "not valid YAML"),
    ],
)
def test_mistakes_are_told_with_the_file(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told) as caught:
        read_space(path)
    assert str(path) in str(caught.value)


def test_names_and_values_are_checked_as_in_a_configuration() -> None:
    space = read_space(CONFIGS / "tune-grid.yaml")
    with pytest.raises(ConfigError, match=r"unknown setting lora_rank \(did you mean lora_r"):
        apply(config(), space.model_copy(update={"tied": {}}), {"lora_rank": 8})
    nested = apply(config(), space.model_copy(update={"tied": {}}), {"windows.mode": "trim"})
    assert nested.windows.mode == "trim"


def test_a_share_shortens_every_stage() -> None:
    stages = [{"name": "a", "max_steps": 30}, {"name": "b", "num_epochs": 2}, {"name": "c"}]
    short = shortened(config(stages=stages, num_epochs=4), 0.1)
    assert short.stages[0].max_steps == 3
    assert short.stages[1].num_epochs == pytest.approx(0.2)
    assert short.stages[2].num_epochs == pytest.approx(0.4)
