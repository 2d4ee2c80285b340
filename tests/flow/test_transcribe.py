"""`rojak transcribe` on the command line: folders, formats, bad files, interruptions, the embedded default."""

import json
import shutil
from pathlib import Path

import pytest
from commands import rojak

from rojak.export.runtimes import batches
from rojak.export.runtimes import whisper as whisper_runtime
from rojak.export.transcribe import transcribe as room
from rojak.export.transcribe.listen import listen
from rojak.model import word_times
from rojak.model.names import model_path
from rojak.model.restoration import FEATURES, Restoration, write_restoration
from rojak.text.units import words as split_words


@pytest.fixture
def calls_dir(tmp_path: Path, corpus_dir: Path) -> Path:
    """Three recordings in a folder and a subfolder."""
    folder = tmp_path / "calls"
    clips = sorted((corpus_dir / "train" / "audio").glob("*.flac"))[:3]
    for clip, name in zip(clips, ("a.flac", "b.flac", "deep/c.flac"), strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, folder / name)
    return folder


def times(out: Path) -> dict[str, int]:
    return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in out.rglob("*.json")}


def test_a_folder_is_transcribed_continued_and_a_bad_file_tells(
    calls_dir: Path, tiny_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ("transcribe", calls_dir, "--model", tiny_dir, "--out", out, "--format", "all", "--context", "trim")
    (calls_dir / "bad.wav").write_bytes(b"no sound at all")
    assert rojak(*command) == 1
    said = capsys.readouterr().err
    assert "1 of 4 recordings could not be transcribed: bad.wav" in said
    assert "Traceback" not in said
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    made = {f"{stem}.{kind}" for stem in ("a", "b", "deep/c") for kind in ("txt", "json", "srt", "vtt", "tsv")}
    assert names == made | {"transcribe.jsonl", "LOCK"}
    document = json.loads((out / "deep" / "c.json").read_text())
    assert document["text"]
    assert document["times"] == "words"
    assert 0 < document["segments"][-1]["end"] <= document["duration"]
    words = [word for segment in document["segments"] for word in segment["words"]]
    assert words
    assert all(0 <= word["start"] <= word["end"] <= document["duration"] for word in words)

    first = times(out)
    (calls_dir / "bad.wav").unlink()
    assert rojak(*command) == 0
    assert "3 were done already" in capsys.readouterr().err
    assert times(out) == first
    (out / "a.srt").unlink()
    shutil.copy(calls_dir / "b.flac", calls_dir / "deep" / "c.flac")
    assert rojak(*command) == 0
    changed = {name for name, when in times(out).items() if when != first[name]}
    assert changed == {"a.json", "deep/c.json"}
    assert rojak(*command, "--language", "ms") == 0
    assert all(when != first[name] for name, when in times(out).items())


def test_ctrl_c_keeps_what_is_done(
    calls_dir: Path, tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    command = ("transcribe", calls_dir, "--model", tiny_dir, "--out", out, "--context", "trim", "--no-vad")

    def stops_after_one(*arguments: object, **options: object) -> object:
        yield next(listen(*arguments, **options))  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(room, "listen", stops_after_one)
        assert rojak(*command) == 130
    done = {path.name: path.stat().st_mtime_ns for path in out.rglob("*.txt")}
    assert len(done) == 1
    assert rojak(*command) == 0
    left = {path.name: path.stat().st_mtime_ns for path in out.rglob("*.txt")}
    assert len(left) == 3
    assert done.items() <= left.items()


def test_the_embedded_model_is_the_default_and_warns(calls_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rojak("transcribe", calls_dir / "a.flac", "--context", "trim") == 0
    said = capsys.readouterr()
    assert said.out.strip()
    assert "only understands synthetic voices" in said.err
    assert rojak("transcribe", calls_dir / "*.flac", "--context", "trim", "--format", "json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(Path(row["audio"]).name for row in rows) == ["a.flac", "b.flac"]


def test_particles_are_put_back_where_the_model_says_so(calls_dir: Path, tmp_path: Path) -> None:
    model, out = tmp_path / "model", tmp_path / "out"
    shutil.copytree(model_path("rojak-micro"), model)
    command = (
        "transcribe",
        calls_dir / "a.flac",
        "--model",
        model,
        "--out",
        out,
        "--format",
        "json",
        "--context",
        "trim",
    )
    assert rojak(*command) == 0
    before = json.loads((out / "a.json").read_text())
    zeros = (0.0,) * len(FEATURES)
    says_so = Restoration(zeros, (1.0,) * len(FEATURES), zeros, 5.0, 0.5, {"lah": -0.1}, {})
    write_restoration(model, says_so)
    assert rojak(*command) == 0, "the model is another one now, so it is done again"
    after = json.loads((out / "a.json").read_text())
    words = [word for segment in after["segments"] for word in segment["words"]]
    restored = [word for word in words if word.get("restored")]
    assert restored
    assert {(word["word"], word["language"]) for word in restored} == {("lah", "particle")}
    assert all(word["start"] is not None for word in restored)
    left = [word["word"] for word in words if not word.get("restored")]
    assert left == [word["word"] for segment in before["segments"] for word in segment["words"]]
    assert split_words(after["text"]) == [word["word"] for word in words]
    assert after["segments"][0]["confidence"] == before["segments"][0]["confidence"], "of what was decoded"


@pytest.mark.parametrize(("kind", "made"), [("txt", False), ("tsv", False), ("json", True)])
def test_words_are_made_only_for_a_format_that_shows_them(
    kind: str, made: bool, calls_dir: Path, tiny_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut: list[object] = []
    for module in (whisper_runtime, batches, word_times):
        for name in {"words_of", "time_words", "cut_into_words"} & set(vars(module)):
            original = getattr(module, name)
            monkeypatch.setattr(module, name, lambda *a, f=original, **k: (cut.append(f), f(*a, **k))[1])
    command = ("transcribe", calls_dir / "a.flac", "--model", tiny_dir, "--context", "trim", "--no-vad")
    assert rojak(*command, "--format", kind) == 0
    assert bool(cut) == made


@pytest.mark.parametrize(
    ("extra", "wanted"),
    [
        (("--format", "docx"), "allowed are txt, json, srt, vtt, tsv, all"),
        (("--format", "txt,srt"), "add --out DIR"),
        (("--window", "45"), "1 to 30"),
        (("--language", "xx"), "language 'xx'"),
        (("--model", "nowhere/at/all"), "Cannot load the model"),
    ],
)
def test_mistakes_get_one_sentence(
    extra: tuple[str, ...], wanted: str, calls_dir: Path, tiny_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = () if "--model" in extra else ("--model", tiny_dir)
    assert rojak("transcribe", calls_dir / "a.flac", "--no-vad", *model, *extra) == 1
    said = capsys.readouterr().err
    assert wanted in said
    assert said[said.index("Error:") :].strip().count("\n") == 0
