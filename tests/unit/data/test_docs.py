"""Every corpus in docs/data.md is made as the page says and prepared by the command it gives."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from typer.testing import CliRunner

from rojak.cli import app
from rojak.config.schema import StageConfig
from rojak.data.checks import REASONS
from rojak.data.mixture import compile_selection
from rojak.data.settings import PrepareSettings
from rojak.data.shards import open_prepared
from rojak.records import SPLITS, Utterance

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
EXAMPLES = {
    title: body
    for title, body in re.findall(r"^### (.+?)\n(.*?)(?=^##)", PAGE, flags=re.MULTILINE | re.DOTALL)
    if "```sh" in body
}
BLOCK = re.compile(r"(?:^`([^`]+)`[^\n]*\n\n)?^```(\w+)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
TEXTS = {"Saya nak beli 水果 for you lah", "Can you tolong check this?"}


@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_is_prepared(title, make_speech, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rojak.model.names.token_counter", lambda _: len)
    (_, _, tree), *blocks = BLOCK.findall(EXAMPLES[title])
    listed = [Path(line) for line in tree.split()]
    for number, path in enumerate(listed):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".wav", ".flac", ".mp3"):
            speech = make_speech(5.0 if path.stem == "long" else 3.0, seed=number)
            soundfile.write(path, np.stack([speech, speech], axis=1), 16_000)
    for name, kind, content in blocks:
        if name:
            assert Path(name) in listed
            Path(name).write_text(content, encoding="utf-8")
        elif kind == "python":
            exec(compile(content, "docs/data.md", "exec"), {})
    assert all(path.exists() for path in listed)
    [command] = [content for _, kind, content in blocks if kind == "sh"]
    program, *arguments = shlex.split(command)
    assert program == "rojak"
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert f"from {title.split(' (')[0]}:" in done.output.replace("\n", " ")
    records = [record for split in SPLITS for record in open_prepared(Path("data"), split).records()]
    assert {record.text for record in records} == TEXTS


def rows_of(heading: str) -> dict[str, str]:
    """First and last cells of a section's table."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip(): row[-1].strip() for row in rows}


def test_every_field_is_in_the_table():
    fields = {name for cell in rows_of("The record") for name in re.findall(r"`(\w+)`", cell)}
    assert fields == set(Utterance.model_fields)


def test_every_reason_is_in_the_table_with_its_default():
    rows = rows_of("What is refused")
    assert {cell.strip("`") for cell in rows} == set(REASONS)
    settings = PrepareSettings()
    for cell in rows.values():
        for name, told in re.findall(r"`(\w+)`(?: ([−\d.]+))?", cell):
            value = getattr(settings, name)
            assert not told or float(told.replace("−", "-")) == value, name


def test_the_stage_on_the_page_is_a_stage():
    [block] = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    (stage,) = yaml.safe_load(block)["stages"]
    checked = StageConfig.model_validate(stage)
    for component in checked.mixture:
        compile_selection(component.select)
    assert checked.mixture[2].spliced == 2000 and checked.augment.noise_dirs == ("noises",)
