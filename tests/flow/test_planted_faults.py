"""A corpus of synthetic speech with every kind of fault planted: each is caught under its own name, no good clip is
refused, the rest is prepared, and the page of `rojak inspect` shows every one of them."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from rojak.cli import app
from rojak.data.checks import REASONS
from rojak.data.shards import open_prepared
from rojak.records import SPLITS

ELSEWHERE = {"unlike_model"}
"""Only `--audit-with` finds it; tests/unit/evaluate/test_audit.py."""


class Corpus:
    """A copy of the synthetic corpus as one list of items, to be spoilt item by item."""

    def __init__(self, source: Path, root: Path) -> None:
        self.root = root
        self.items: list[dict[str, Any]] = []
        (root / "audio").mkdir(parents=True)
        for split in ("train", "test"):
            found = json.loads((source / split / "transcripts.json").read_text(encoding="utf-8"))
            for audio_id, item in found.items():
                shutil.copy(source / split / item["audio_filepath"], root / "audio")
                # Noise is measured anew, so that what is planted in the sound is what is found.
                kept = {name: item[name] for name in ("audio_filepath", "text", "speaker_id", "language", "duration")}
                self.items.append({"audio_id": audio_id, "split": split, **kept})
        self.expected: dict[str, str] = {}
        self._next = 0

    def spoil(self, reason: str, **changes: Any) -> Path:
        """Take the next clip that is still good, change its fields, and expect it to be refused for a reason."""
        item = self.items[self._next]
        self._next += 1
        path = self.root / item["audio_filepath"]
        item.update(changes)
        self.expected[item["audio_id"]] = reason
        return path

    def add(self, reason: str, like: dict[str, Any], **changes: Any) -> None:
        """Add an item made of a good one."""
        item = {**like, "audio_id": f"planted-{reason}", **changes}
        self.items.append(item)
        self.expected[item["audio_id"]] = reason

    def write(self) -> None:
        (self.root / "transcripts.json").write_text(json.dumps(self.items), encoding="utf-8")


def rewrite(path: Path, change: Any, rate: int = 16_000) -> None:
    samples, _ = soundfile.read(path, dtype="float32")
    soundfile.write(path, change(samples), rate, format="FLAC")


def plant(corpus: Corpus) -> None:
    rng = np.random.default_rng(1)
    corpus.spoil("missing_file").unlink()
    (corpus.root.parent / "outside.flac").write_bytes((corpus.root / corpus.items[1]["audio_filepath"]).read_bytes())
    corpus.spoil("outside_root", audio_filepath="../outside.flac")
    corpus.spoil("no_transcript", text=None)
    corpus.spoil("bad_record", language="klingon")
    corpus.spoil("empty_file").write_bytes(b"")
    corpus.spoil("undecodable").write_bytes(rng.bytes(4000))
    cut = corpus.spoil("truncated", duration=None)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    rewrite(corpus.spoil("too_short", duration=None), lambda samples: samples[8000:10_000])
    rewrite(corpus.spoil("too_long", duration=None), lambda samples: np.resize(samples, 31 * 16_000))
    corpus.spoil("duration_mismatch", duration=25.0)
    rewrite(corpus.spoil("low_rate", duration=None), lambda samples: samples[::3], 5333)
    rewrite(corpus.spoil("nearly_silent"), lambda samples: samples * 1e-4)
    rewrite(corpus.spoil("clipped"), lambda samples: np.clip(samples * 40, -0.9, 0.9))
    rewrite(corpus.spoil("low_snr", duration=None), lambda samples: 0.05 * rng.standard_normal(5 * 16_000))
    corpus.spoil("empty_text", text="  ")
    corpus.spoil("only_markers", text="<noise> [laughter]")
    corpus.spoil("unexpected_script", text="это совсем другой язык")
    rewrite(corpus.spoil("too_slow", text="lah", duration=None), lambda samples: np.resize(samples, 12 * 16_000))
    corpus.spoil("too_fast", text="ini ialah transkrip yang sangat panjang dan milik klip yang lain " * 4)
    corpus.spoil("too_many_tokens", text="வணக்கம் " * 400)
    train = [i for i in corpus.items if i["audio_id"] not in corpus.expected and i["split"] == "train"]
    test = [i for i in corpus.items if i["audio_id"] not in corpus.expected and i["split"] == "test"]
    corpus.add("duplicate_id", train[0], audio_id=train[0]["audio_id"])
    corpus.expected = {k: v for k, v in corpus.expected.items() if k != train[0]["audio_id"]}
    shutil.copy(corpus.root / train[1]["audio_filepath"], corpus.root / "audio" / "copy.flac")
    corpus.add("duplicate_audio", train[1], audio_filepath="audio/copy.flac", speaker_id=None)
    corpus.add("audio_in_two_splits", test[0], split="train", speaker_id=None)
    said = {"text": test[1]["text"], "speaker_id": test[1]["speaker_id"]}
    shutil.copy(corpus.root / train[2]["audio_filepath"], corpus.root / "audio" / "again.flac")
    rewrite(corpus.root / "audio" / "again.flac", lambda samples: samples[::-1])
    corpus.add("sentence_in_two_splits", train[2], audio_filepath="audio/again.flac", **said)


def test_every_fault_is_named_and_shown(corpus_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rojak.model.names.token_counter", lambda _: lambda text: len(text) // 2)
    corpus = Corpus(corpus_dir, tmp_path / "corpus")
    plant(corpus)
    if os.getuid() != 0:  # root reads everything
        corpus.spoil("unreadable_file").chmod(0)
    corpus.write()
    data = tmp_path / "data"
    command = ["prepare", str(corpus.root), str(data), "--allow-bad", "0.9", "--workers", "0", "--set", "min_snr_db=-3"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in (data / "quarantine.jsonl").read_text(encoding="utf-8").splitlines()]
    found = {line["audio_id"]: line["reason"] for line in lines if line["reason"] != "duplicate_id"}
    assert found == corpus.expected
    planted = {*corpus.expected.values(), "duplicate_id"}
    assert planted >= set(REASONS) - ELSEWHERE - {"unreadable_file"} and len(planted) >= 20
    kept = {str(one) for split in SPLITS for one in open_prepared(data, split).column("audio_id")}
    assert kept == {item["audio_id"] for item in corpus.items} - set(corpus.expected)
    shown = CliRunner().invoke(app, ["inspect", str(data), "--source", str(corpus.root)], catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    page = (data / "inspect.html").read_text(encoding="utf-8")
    missing = [reason for reason in planted if f'<span class="flag">{reason}</span>' not in page]
    assert not missing
