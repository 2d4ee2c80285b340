"""docs/all-settings.md is what scripts/list_settings.py prints; YAML in the docs is accepted."""

import re
import runpy
from pathlib import Path

import yaml

from rojak.config.schema import TrainConfig

ROOT = Path(__file__).parents[3]


def test_the_page_of_settings_is_up_to_date_and_explains_every_one() -> None:
    page = runpy.run_path(str(ROOT / "scripts" / "list_settings.py"))["page"]()
    assert (ROOT / "docs" / "all-settings.md").read_text(encoding="utf-8") == page, "run scripts/list_settings.py"
    assert not re.findall(r"\| (?:(?:One|Any) of [^|.]*\.)? *\|$", page, flags=re.MULTILINE), "one is not described"
    assert "`stages[].mixture[].particle_share`" in page and "`validation.guards[].max_rise`" in page


def test_training_settings_in_the_docs_are_accepted() -> None:
    page = (ROOT / "docs" / "particles.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        TrainConfig.model_validate({"dataset_path": "data", "output_dir": "run", **yaml.safe_load(block)})
