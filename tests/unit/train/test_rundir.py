"""The configuration of a run that is continued must be the one that it began with."""

from pathlib import Path

import pytest
import yaml

from rojak.config.schema import TrainConfig
from rojak.errors import ConfigError
from rojak.train.rundir import CONFIG_FILE, settle_config

BEGUN = TrainConfig(dataset_path="data", output_dir="run", batch_size=8)


def test_a_setting_that_is_new_since_the_run_began_has_its_default(tmp_path: Path) -> None:
    settle_config(tmp_path, BEGUN, allow_change=False)
    stored = yaml.safe_load((tmp_path / CONFIG_FILE).read_text())
    del stored["freeze_encoder"], stored["windows"]["pack_seconds"]
    (tmp_path / CONFIG_FILE).write_text(yaml.safe_dump(stored))
    settle_config(tmp_path, BEGUN, allow_change=False)
    assert yaml.safe_load((tmp_path / CONFIG_FILE).read_text())["freeze_encoder"] is False


def test_a_changed_setting_is_refused_with_both_values(tmp_path: Path) -> None:
    settle_config(tmp_path, BEGUN, allow_change=False)
    with pytest.raises(ConfigError, match=r"batch_size: 8 → 4\)"):
        settle_config(tmp_path, BEGUN.model_copy(update={"batch_size": 4}), allow_change=False)
    settle_config(tmp_path, BEGUN.model_copy(update={"loader_workers": 2}), allow_change=False)


def test_a_setting_that_is_gone_is_told(tmp_path: Path) -> None:
    settle_config(tmp_path, BEGUN, allow_change=False)
    with (tmp_path / CONFIG_FILE).open("a") as file:
        file.write("adapter_dropout: 0.5\n")
    with pytest.raises(ConfigError, match=r"adapter_dropout: 0\.5 → None"):
        settle_config(tmp_path, BEGUN, allow_change=False)
