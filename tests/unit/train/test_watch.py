"""The terminal view: what it shows, how it follows a growing log, and how it says that there is none."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from rojak.errors import InputError
from rojak.train.watch import LogTail, has_ended, sparkline, watch

ROWS = [
    {"event": "start", "step": 0, "total_steps": 40},
    {"event": "train", "step": 10, "stage": "clean", "loss": 3.0, "grad_norm": 2.0, "learning_rate": 1e-4,
     "audio_s_per_s": 80.0, "eta_s": 90.0, "wait_s": 0.1, "step_s": 0.4},
    {"event": "validation", "step": 10, "wer": 0.5, "validation_loss": 2.5},
    {"event": "samples", "step": 10, "samples": [{"reference": "jom makan [lah]", "hypothesis": "jom makan"}]},
    {"event": "health", "step": 10, "kind": "starved", "message": "set loader_workers: 4."},
    {"event": "train", "step": 20, "stage": "noisy", "loss": 1.0, "grad_norm": float("nan"), "learning_rate": 5e-5,
     "audio_s_per_s": 90.0, "eta_s": 60.0, "wait_s": 0.1, "step_s": 0.4},
]  # fmt: skip


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def shown(run: Path) -> str:
    console = Console(width=400, force_terminal=False, record=True, file=(run / "screen").open("w"))
    watch(run, console, once=True)
    console.file.close()
    return console.export_text()


def test_once_shows_curves_samples_and_warnings(tmp_path: Path) -> None:
    write(tmp_path / "log.jsonl", ROWS)
    text = shown(tmp_path)
    assert "stage noisy · step 20 of 40 · 90 audio-s/s · waiting for audio 25% · ETA 1.0 min" in text
    assert "from 3.000  to 1.000" in text
    assert "first 50.0%  best 50.0%  now 50.0%" in text
    assert "jom makan [lah]" in text  # no markup
    assert "! step 10: set loader_workers: 4." in text
    assert "What happened" not in text


def test_an_ended_run_says_what_happened_and_the_live_view_returns(tmp_path: Path) -> None:
    write(tmp_path / "log.jsonl", [*ROWS, {"event": "end", "step": 40}, {"event": "summary", "step": 40, "lines": []}])
    assert "The training loss of stage noisy was 1.00." in shown(tmp_path)
    with (tmp_path / "screen").open("w") as file:
        watch(tmp_path, Console(file=file), interval_s=0.0)


def test_the_tail_follows_appended_half_written_and_rewritten_logs(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, ROWS[:2])
    tail = LogTail(path)
    assert len(tail.read()) == 2
    with path.open("a") as file:
        file.write('{"event": "val')
        file.flush()
        assert len(tail.read()) == 2
        file.write('idation"}\n')
    assert tail.read()[-1] == {"event": "validation"}
    write(path, ROWS[:1])
    assert tail.read() == ROWS[:1]
    assert not has_ended(tail.rows)


def test_a_folder_without_a_log_and_a_broken_log_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no log"):
        watch(tmp_path, Console())
    (tmp_path / "log.jsonl").write_text("not json\n")
    with pytest.raises(InputError, match="not valid JSON Lines"):
        watch(tmp_path, Console(), once=True)


def test_sparkline_spans_its_range() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 80) == "▁▂▃▄▅▆▇█"
    assert sparkline([1.0, 1.0], 80) == "▁▁"
    assert len(sparkline(list(range(1000)), 40)) == 40
