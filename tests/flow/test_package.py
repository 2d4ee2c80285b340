"""`rojak bench` and `rojak package` on a tiny model."""

import copy
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from commands import rojak

from rojak.errors import InputError
from rojak.export.bench import bench as bench_room
from rojak.export.bench.bench import BenchOptions
from rojak.export.bench.systems import SYSTEMS, Job
from rojak.export.bench.worker import WorkerResult
from rojak.export.export import export_model
from rojak.export.package.check import check_package
from rojak.export.runtime import RuntimeOptions, open_model
from rojak.export.verify import prepared_clips

QUICK = ("--max-clips", 3, "--max-new-tokens", 8)


@pytest.fixture(scope="module")
def run_dir(tiny_dir: Path, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as training leaves it, with an evaluation."""
    run = tmp_path_factory.mktemp("ship") / "run"
    shutil.copytree(tiny_dir, run / "best")
    (run / "config.yaml").write_text(yaml.safe_dump({"model_name": str(tiny_dir), "dataset_path": str(data_dir)}))
    quick = ("--snr", "none", "--max-utterances", 3, "--max-new-tokens", 6, "--context", "trim", "--no-audio")
    assert rojak("evaluate", run, data_dir, *quick) == 0
    return run


@pytest.fixture(scope="module")
def package_dir(run_dir: Path, data_dir: Path) -> Path:
    folder = run_dir.parent / "package"
    command = ("package", run_dir, folder, "--data", data_dir, "--exports", "ct2:float32", "--no-bench", *QUICK)
    assert rojak(*command) == 0
    return folder


def test_a_package_holds_everything_and_says_what_is_wrong(
    package_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {path.relative_to(package_dir).as_posix() for path in package_dir.rglob("*") if path.is_file()}
    wanted = {
        *("README.md", "LICENCES.md", "package.json", "SHA256SUMS", "run/config.yaml", "run/data.json"),
        *("evaluation/metrics.json", "example/clip.wav", "example/clip.json"),
        *("model/model.safetensors", "model/preprocessor_config.json", "model/export.json"),
        *("ct2-float32/model.bin", "ct2-float32/tokenizer.json", "ct2-float32/export.json"),
    }
    assert wanted <= names
    contents = json.loads((package_dir / "package.json").read_text())
    card = (package_dir / "README.md").read_text()
    warnings = contents["warnings"]
    assert any(warning.startswith("Targets missed: WER") for warning in warnings)
    assert any(warning.startswith("Licence unknown") for warning in warnings)
    assert any(warning.startswith("Speed not measured") for warning in warnings)
    assert all(f"> **Warning.** {warning}" in card for warning in warnings)
    front = yaml.safe_load(card.split("---")[1])
    assert front["model-index"][0]["results"][0]["metrics"][0]["type"] == "wer"
    data = json.loads((package_dir / "run" / "data.json").read_text())
    assert all(len(entry["sha256"]) == 64 for entry in data["files"].values())
    verdict = json.loads((package_dir / "ct2-float32" / "export.json").read_text())["verify"]
    assert verdict["b"] == "ct2-float32"
    with tarfile.open(package_dir.with_name("package.tar")) as tar:
        assert {name.removeprefix("package/") for name in tar.getnames()} == names
    assert rojak("package", "--check", package_dir) == 0
    said = capsys.readouterr().out
    assert said.count("every file is there and unchanged") == 2, "the folder and the tar beside it"
    assert "Targets missed" in said


@pytest.mark.parametrize(
    ("harm", "wanted"),
    [
        (lambda d: (d / "model" / "model.safetensors").unlink(), "lacks model/model.safetensors"),
        (lambda d: (d / "README.md").write_text("all is well"), "README.md was changed"),
        (lambda d: (d / "virus.exe").touch(), "holds virus.exe"),
        (lambda d: (d / "SHA256SUMS").unlink(), "no SHA256SUMS"),
        (lambda d: (d / "SHA256SUMS").write_text(f"{'0' * 64}  ../../etc/passwd\n"), "line 1 is not a checksum"),
    ],
)
def test_a_harmed_package_is_told(
    harm: object, wanted: str, package_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(package_dir, copy)
    assert check_package(copy)
    harm(copy)  # type: ignore[operator]
    assert rojak("package", "--check", copy) == 1
    said = capsys.readouterr().err
    assert wanted in said
    assert said[said.index("Error:") :].strip().count("\n") == 0


def test_a_harmed_tar_is_told(package_dir: Path, tmp_path: Path) -> None:
    whole = package_dir.with_name("package.tar")
    assert check_package(whole) == check_package(package_dir)
    with tarfile.open(whole) as tar:
        entries = [(entry, tar.extractfile(entry).read()) for entry in tar.getmembers()]  # type: ignore[union-attr]

    def write(change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes] | None]) -> Path:
        path = tmp_path / "harmed.tar"
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            for entry, content in entries:
                if (kept := change(copy.copy(entry), content)) is not None:
                    kept[0].size = len(kept[1])
                    tar.addfile(kept[0], io.BytesIO(kept[1]))
        return path

    def renamed(entry: tarfile.TarInfo, name: str) -> tarfile.TarInfo:
        entry.name = name
        return entry

    def linked(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        return entry

    harms: list[tuple[Callable[..., tuple[tarfile.TarInfo, bytes] | None], str]] = [
        (lambda e, c: None if e.name.endswith("model.bin") else (e, c), r"lacks ct2-float32/model\.bin"),
        (lambda e, c: (e, c[:-1] + b"x") if e.name.endswith("model.bin") else (e, c), r"model\.bin was changed"),
        (lambda e, c: (renamed(e, "package/../../x"), c) if e.name.endswith("README.md") else (e, c), "no file of a"),
        (lambda e, c: (renamed(e, "other/README.md"), c) if e.name.endswith("README.md") else (e, c), "2 folders"),
        (lambda e, c: (linked(e), b"") if e.name.endswith("README.md") else (e, c), "no file of a package"),
        (lambda e, c: None if e.name.endswith("SHA256SUMS") else (e, c), "no SHA256SUMS"),
    ]
    for harm, wanted in harms:
        with pytest.raises(InputError, match=wanted):
            check_package(write(harm))
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole.read_bytes()[:-200_000])
    with pytest.raises(InputError, match=r"lacks|was changed|not a whole tar"):
        check_package(cut)
    cut.write_text("not a tar at all")
    with pytest.raises(InputError, match="not a whole tar file"):
        check_package(cut)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("--exports", "gguf"), "allowed are ct2:"),
        (("--exports", "ct2:int4"), "allowed are ct2:"),
        (("--check", "nowhere"), "does not exist"),
        (("--evaluation", "nowhere"), "nowhere holds no metrics.json"),
        (("--example", "nowhere.wav"), "nowhere.wav: there is no such recording"),
    ],
)
def test_mistakes_get_one_sentence(
    arguments: tuple[str, ...], wanted: str, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rojak("package", run_dir, tmp_path / "out", *arguments) == 1
    assert wanted in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_bench_puts_peers_beside_ours(
    tiny_dir: Path, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_model(str(tiny_dir), tmp_path / "ct2", "ct2", "float32")
    out = tmp_path / "bench"
    size = ("--lengths", "1,45", "--clips", 2, "--batch", "1,2", "--threads", 1, "--max-new-tokens", 6)
    assert rojak("bench", tmp_path / "ct2", "--data", data_dir, *size, "--out", out, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((out / "bench.json").read_text())
    rows = document["rows"]
    assert {(row["system"], row["kind"]) for row in rows} == {("rojak", "ct2"), ("faster-whisper", "ct2")}
    for row in rows:
        assert row["rtf"] == pytest.approx(1 / row["audio_per_s"], rel=1e-3)
        assert 0 < row["cpu_rtf"] < 1.2 * row["rtf"], "one thread"
        assert row["latency_p50_s"] <= row["latency_p95_s"]
        assert row["peak_mib"] > 50
        assert (row["wer"] is None) == (row["length_s"] == 1.0)
    lengths = {(row["length_s"], row["batch"]) for row in rows if row["system"] == "rojak"}
    assert lengths == {(1.0, 1), (1.0, 2), (45.0, 1), (45.0, 2)}
    assert (out / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert "| rojak ct2 float32 | 45 s |" in (out / "bench.md").read_text()
    assert rojak("bench", tmp_path / "ct2", "--peers", "kaldi") == 1
    assert rojak("bench", tmp_path / "ct2", "--lengths", "a,b") == 1


def test_the_transformers_peer_hears_short_and_long_clips(tiny_dir: Path) -> None:
    job = Job("transformers", str(tiny_dir), "ms", 1, None, (), (), max_new_tokens=4)
    clips = [
        np.random.default_rng(i).normal(0, 0.1, 16_000 * seconds).astype(np.float32)
        for i, seconds in enumerate((2, 33))
    ]
    assert [len(SYSTEMS["transformers"](job)(chosen, 2)) for chosen in (clips[:1], clips)] == [1, 2]


def test_openai_whisper_says_what_ours_says(data_dir: Path) -> None:
    pytest.importorskip("whisper", reason="openai-whisper is not installed")
    # Whole windows: openai-whisper, too, fills the features of a short clip up with zeros.
    clips = [np.pad(c.samples, (0, 480_000 - len(c.samples))) for c in prepared_clips(data_dir, ("train",), 2)]
    job = Job("openai-whisper", "rojak-micro", "ms", 1, None, (), (), max_new_tokens=40)
    ours = open_model("rojak-micro").transcribe(clips, "ms", RuntimeOptions(max_new_tokens=40, words=False))
    assert SYSTEMS["openai-whisper"](job)(clips, 1) == [heard.text for heard in ours]


def test_a_peer_that_is_not_installed_is_left_out(
    tiny_dir: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_room, "find_spec", lambda name: None)
    monkeypatch.setattr(bench_room, "_run", lambda job, folder: WorkerResult((), refused="not today"))
    result = bench_room.bench([str(tiny_dir)], BenchOptions(lengths_s=(1.0,), data_dir=data_dir, most_clips=1))
    assert result.left_out == {
        f"rojak on {tiny_dir}": "not today",
        f"transformers on {tiny_dir}": "transformers is not installed.",
        f"openai-whisper on {tiny_dir}": "openai-whisper is not installed.",
    }
    command = ("bench", tiny_dir, "--data", data_dir, "--lengths", 1, "--clips", 1, "--out", tmp_path / "bench")
    assert rojak(*command) == 1
    assert "Error: Nothing was measured. not today" in capsys.readouterr().err
    assert not (tmp_path / "bench").exists()
