"""docs/all-settings.md is what scripts/list_settings.py prints; YAML in the docs is accepted."""

import re
import runpy
from pathlib import Path

import pytest
import yaml

from rojak.config.schema import TrainConfig

ROOT = Path(__file__).parents[3]


def test_the_page_of_settings_is_up_to_date_and_explains_every_one() -> None:
    page = runpy.run_path(str(ROOT / "scripts" / "list_settings.py"))["page"]()
    assert (ROOT / "docs" / "all-settings.md").read_text(encoding="utf-8") == page, "run scripts/list_settings.py"
    assert "|  |" not in page, "a setting without a description"
    assert "`stages[].mixture[].particle_share`" in page and "`validation.guards[].max_rise`" in page


@pytest.mark.parametrize("name", ["particles.md", "language.md", "settings.md"])
def test_training_settings_in_the_docs_are_accepted(name: str) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / name).read_text(encoding="utf-8"), flags=re.DOTALL)
    for block in blocks:
        settings = yaml.safe_load(block)
        if set(settings) <= set(TrainConfig.model_fields):
            TrainConfig.model_validate({"dataset_path": "data", "output_dir": "run", **settings})
    assert name != "particles.md" or len(blocks) >= 3
