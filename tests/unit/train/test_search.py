"""The search: every combination once, in one process or continued; failures and bad trials are written down."""

import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import torch
from optuna.storages.journal import JournalFileBackend, JournalStorage

from rojak.config.load import load_config
from rojak.config.schema import TrainConfig
from rojak.errors import ConfigError, TrainingError
from rojak.train import search
from rojak.train.loop import TrainSummary
from rojak.train.search import tune
from rojak.train.space import Space

GRID = Space.model_validate({"sampler": "grid", "parameters": {"learning_rate": [1e-4, 1e-3, 1e-2], "lora_r": [4, 8]}})


def config(**settings: object) -> TrainConfig:
    return TrainConfig.model_validate({"dataset_path": "d", "output_dir": "r", "stages": [{"name": "a"}]} | settings)


def wer_of(config: TrainConfig) -> float:
    """A made truth: 1e-3 is best, and the larger rank a little better."""
    return {1e-4: 0.5, 1e-3: 0.2, 1e-2: 0.9}[config.learning_rate] - config.lora_r / 1000


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """Replace training by the made truth; collect what was trained."""
    done: list[TrainConfig] = []

    def train(config: TrainConfig, on_validation) -> TrainSummary:
        done.append(config)
        for step in (1, 2, 3):
            on_validation(step, wer_of(config) + 0.01 * (3 - step))
        return TrainSummary(Path(config.output_dir), 3, wer_of(config), 3, 1.0, 1.0)

    monkeypatch.setattr(search, "train", train)
    return done


def test_a_grid_is_tried_once_and_the_best_is_ready_to_train(trained: list[TrainConfig], tmp_path: Path) -> None:
    found = tune(config(num_epochs=4), GRID, tmp_path, share=0.5, prune=False, tell=lambda _: None)
    assert len({(one.learning_rate, one.lora_r) for one in trained}) == len(trained) == 6
    assert trained[0].stages[0].num_epochs == 2.0
    assert found.best.values == {"learning_rate": 1e-3, "lora_r": 8}
    assert found.best.metric == pytest.approx(0.192)
    best = load_config(TrainConfig, found.best_path)
    assert (best.learning_rate, best.lora_r, best.output_dir, best.stages[0].num_epochs) == (1e-3, 8, "r", None)
    page = (tmp_path / "tune.html").read_text()
    assert page.count("<img") == 3
    assert "19.2%" in page
    tune(config(num_epochs=4), GRID, tmp_path, share=0.5, prune=False, tell=lambda _: None)
    assert len(trained) == 6  # nothing is left to do


def test_bad_trials_are_cut_off(trained: list[TrainConfig], tmp_path: Path) -> None:
    space = GRID.model_copy(update={"parameters": {"learning_rate": [1e-3, 1e-4, 1e-2], "lora_r": [4, 8]}})
    found = tune(config(), space, tmp_path, tell=lambda _: None)
    assert [row.state for row in found.trials] == ["complete"] * 4 + ["pruned"] * 2
    assert {row.values["learning_rate"] for row in found.trials[4:]} == {1e-2}


def test_out_of_memory_is_written_down_and_the_search_goes_on(
    trained: list[TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = search.train

    def train(config: TrainConfig, on_validation) -> TrainSummary:
        if config.lora_r == 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(config, on_validation=on_validation)

    monkeypatch.setattr(search, "train", train)
    found = tune(config(), GRID, tmp_path, prune=False, tell=lambda _: None)
    failed = [row for row in found.trials if row.state == "failed"]
    assert len(failed) == 3
    assert failed[0].reason == "CUDA out of memory"
    assert found.best.values["lora_r"] == 4


def test_when_every_trial_fails_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(config: TrainConfig, on_validation) -> TrainSummary:
        raise TrainingError("The loss became nan.")

    monkeypatch.setattr(search, "train", train)
    with pytest.raises(TrainingError, match="The loss became nan"):
        tune(config(), GRID, tmp_path, tell=lambda _: None)


def test_an_interrupted_trial_is_taken_up_in_its_folder(
    trained: list[TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = search.train
    seen: list[str] = []

    def train(config: TrainConfig, on_validation) -> TrainSummary:
        seen.append(config.output_dir)
        if len(seen) == 2:
            raise SystemExit(143)
        return whole(config, on_validation=on_validation)

    monkeypatch.setattr(search, "train", train)
    with pytest.raises(SystemExit):
        tune(config(), GRID, tmp_path, prune=False, tell=lambda _: None)
    # The process that held the trial is gone.
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    study = optuna.load_study(
        study_name="rojak", storage=JournalStorage(JournalFileBackend(str(tmp_path / "study.jsonl")))
    )
    running = next(t for t in study.trials if t.state == optuna.trial.TrialState.RUNNING)
    owner = {**running.user_attrs["owner"], "pid": gone.pid}
    optuna.Trial(study, running._trial_id).set_user_attr("owner", owner)
    found = tune(config(), GRID, tmp_path, prune=False, tell=lambda _: None)
    assert seen.count(seen[1]) == 2
    assert len(found.trials) == 6
    assert {row.state for row in found.trials} == {"complete"}


WORKER = """
import sys, time
from pathlib import Path
from rojak.config.schema import TrainConfig
from rojak.train import search
from rojak.train.loop import TrainSummary
from rojak.train.space import Space

def train(config, on_validation):
    with open(sys.argv[2], "a") as file:
        file.write(f"{sys.argv[3]} {config.learning_rate} {config.lora_r}\\n")
    time.sleep(0.4)
    return TrainSummary(Path(config.output_dir), 1, 0.5 - config.lora_r / 1000, 1, 1.0, 1.0)

search.train = train
config = TrainConfig(dataset_path="d", output_dir="r", stages=[{"name": "a"}])
while not all(Path(f"{sys.argv[2]}-{name}").exists() for name in "ab"):  # both begin together
    Path(f"{sys.argv[2]}-{sys.argv[3]}").touch()
    time.sleep(0.01)
search.tune(config, Space.model_validate_json(sys.argv[4]), Path(sys.argv[1]), tell=lambda _: None)
"""


def test_two_processes_share_a_grid_and_try_nothing_twice(trained: list[TrainConfig], tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", WORKER, str(tmp_path / "out"), str(tmp_path / "tried")]
    workers = [subprocess.Popen([*arguments, name, GRID.model_dump_json()]) for name in "ab"]
    assert [worker.wait(timeout=100) for worker in workers] == [0, 0]
    lines = (tmp_path / "tried").read_text().splitlines()
    assert len(lines) == len({line.partition(" ")[2] for line in lines}) == 6
    assert {line[0] for line in lines} == {"a", "b"}
    found = tune(config(), GRID, tmp_path / "out", tell=lambda _: None)
    assert trained == []
    assert [row.state for row in found.trials] == ["complete"] * 6


def test_random_and_tpe_take_their_number_and_share_it(trained: list[TrainConfig], tmp_path: Path) -> None:
    for sampler in ("random", "tpe"):
        space = Space.model_validate(
            {"sampler": sampler, "num_trials": 4, "parameters": {"learning_rate": [1e-4, 1e-3, 1e-2]}}
        )
        trained.clear()
        found = tune(config(lora_r=4), space, tmp_path / sampler, prune=False, tell=lambda _: None)
        assert len(found.trials) == len(trained) == 4


def test_another_search_in_the_folder_and_a_wrong_name_are_refused(trained: list[TrainConfig], tmp_path: Path) -> None:
    tune(config(), GRID, tmp_path, prune=False, tell=lambda _: None)
    with pytest.raises(ConfigError, match="another config"):
        tune(config(seed=2), GRID, tmp_path, prune=False, tell=lambda _: None)
    wrong = Space.model_validate({"parameters": {"lora_rank": [4]}})
    with pytest.raises(ConfigError, match="did you mean lora_r"):
        tune(config(), wrong, tmp_path / "other", tell=lambda _: None)
    assert not (tmp_path / "other").exists()
    assert json.loads((tmp_path / "study.jsonl").read_text().splitlines()[0])
