"""The configuration of a run that is continued must be the one that it began with."""

from pathlib import Path

import pytest
import yaml

from rojak.config.schema import TrainConfig
from rojak.errors import ConfigError
from rojak.train.rundir import CONFIG_FILE, check_config, write_config

BEGUN = TrainConfig(dataset_path="data", output_dir="run", batch_size=8)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that has a checkpoint."""
    check_config(tmp_path, BEGUN)
    write_config(tmp_path, BEGUN)
    (tmp_path / "checkpoints" / "step-00000010").mkdir(parents=True)
    return tmp_path


def test_a_setting_that_is_new_since_the_run_began_has_its_default(run: Path) -> None:
    stored = yaml.safe_load((run / CONFIG_FILE).read_text())
    del stored["freeze_encoder"], stored["windows"]["pack_seconds"]
    (run / CONFIG_FILE).write_text(yaml.safe_dump(stored))
    check_config(run, BEGUN)
    write_config(run, BEGUN)
    assert yaml.safe_load((run / CONFIG_FILE).read_text())["freeze_encoder"] is False


def test_a_changed_setting_is_refused_with_both_values(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"batch_size: 8 → 4\)"):
        check_config(run, BEGUN.model_copy(update={"batch_size": 4}))
    check_config(run, BEGUN.model_copy(update={"loader_workers": 2}))


def test_before_the_first_checkpoint_settings_may_be_mended(run: Path) -> None:
    (run / "checkpoints" / "step-00000010").rmdir()
    other = BEGUN.model_copy(update={"model_name": "openai/whisper-small"})
    check_config(run, other)
    (run / "best").mkdir()
    with pytest.raises(ConfigError, match="model_name"):
        check_config(run, other)


def test_a_setting_that_is_gone_is_told(run: Path) -> None:
    with (run / CONFIG_FILE).open("a") as file:
        file.write("adapter_dropout: 0.5\n")
    with pytest.raises(ConfigError, match=r"adapter_dropout: 0\.5 → None"):
        check_config(run, BEGUN)
