"""`rojak package RUN OUT`: a finished model in one folder to hand over, and the same as `OUT.tar`.

README.md          model card: warnings, use, results      LICENCES.md     of the base, of what made it
model/             merged, for transformers                ct2-int8/ …     chosen exports, each with export.json
evaluation/        metrics.json, report.md                 bench/          bench.json, bench.md, bench.png
run/               config.yaml, data.json (hashes)         example/        clip.wav, clip.json
package.json       what is inside, and the warnings        SHA256SUMS      of every other file
"""

import shutil
import tarfile
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import soxr

from rojak import __version__
from rojak.audio import SAMPLE_RATE, Samples, decode_audio, to_pcm16
from rojak.data.espeak import SAMPLE_RATE as VOICE_RATE
from rojak.data.espeak import Speaker, Voice
from rojak.errors import InputError
from rojak.export.bench.bench import BenchOptions, BenchResult, bench, write_bench
from rojak.export.export import DTYPES, check_export, data_of, export_model, find_clips
from rojak.export.folder import ExportRecord, read_export, sha256_of, write_export
from rojak.export.merge import merge
from rojak.export.package.card import EXAMPLE_WAV, write_card
from rojak.export.package.facts import Facts, find_warnings, gather
from rojak.export.runtime import open_model
from rojak.export.verify import Clip
from rojak.runs import explain_os_error, new_directory, write_json

SCHEMA = "rojak-package-1"
SUMS_FILE = "SHA256SUMS"
PACKAGE_FILE = "package.json"
MODEL_DIR = "model"
EXAMPLE_TEXT = "tolong semak jadual ini sekarang"
"""Spoken by a synthetic voice: no recording of a person leaves the house without somebody choosing it."""


@dataclass(frozen=True)
class PackageOptions:
    """What goes into a package.

    Attributes:
        exports: `FORMAT:DTYPE` each, such as `ct2:int8`; the merged model always comes along.
        data_dir: Prepared data to verify and measure on; None takes the run's own, else made speech.
        evaluation: Folder of `rojak evaluate`; None looks in the run and beside it.
        max_clips: To verify with.
        max_new_tokens: Longest transcript of a clip while verifying.
        verify: Compare every export with the original.
        bench: What to measure; None measures nothing.
        example: A recording to put in; None makes a synthetic one.
        language: Prompted in the examples.
        tar: Also write `OUT.tar`.
    """

    exports: tuple[str, ...] = ("ct2:int8",)
    data_dir: Path | None = None
    evaluation: Path | None = None
    max_clips: int = 128
    max_new_tokens: int = 224
    verify: bool = True
    bench: BenchOptions | None = None
    example: Path | None = None
    language: str = "ms"
    tar: bool = True


@dataclass(frozen=True)
class PackageResult:
    """A finished package."""

    out_dir: Path
    exports: tuple[str, ...]
    warnings: tuple[str, ...]
    bytes: int


def parse_exports(wanted: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Read `ct2:int8` as the folder `ct2-int8`, its format and its number format.

    Raises:
        InputError: Unknown format or number format.
    """
    found = {}
    for text in wanted:
        name, _, dtype = text.partition(":")
        known = next((dtypes for other, dtypes in DTYPES.items() if other == name), None)
        if known is None or (dtype and dtype not in known):
            choices = "; ".join(f"{other}:{'|'.join(dtypes)}" for other, dtypes in DTYPES.items())
            raise InputError(f"--exports {text!r}: allowed are {choices}.")
        dtype = dtype or known[0]
        found[f"{name}-{dtype}"] = (name, dtype)
    return found


def package(
    model: str, out_dir: Path, options: PackageOptions | None = None, on_step: Callable[[str], None] | None = None
) -> PackageResult:
    """Export, verify, measure and describe a model; write everything into a new folder.

    Args:
        model: A run, an adapter or model folder, `rojak-micro`, or a hub id.
        out_dir: New folder; whole or not at all.
        options: What goes in.
        on_step: Told what is done now.

    Raises:
        RojakError: No model there, OUT exists, an unknown format, a missing extra.
    """
    options = options or PackageOptions()
    say = on_step or (lambda text: None)
    wanted = parse_exports(options.exports)
    tar_path = out_dir.with_name(f"{out_dir.name}.tar")
    if options.tar and tar_path.exists():
        raise InputError(f"{tar_path} exists; remove it or choose another folder.")
    facts = gather(model, options.evaluation)
    if options.example is not None and not options.example.is_file():
        raise InputError(f"{options.example}: there is no such recording; --example names one to put into the package.")
    with new_directory(out_dir) as folder:
        say("merging")
        merge(model, folder / MODEL_DIR)
        for name, (kind, dtype) in wanted.items():
            say(f"exporting {name}")
            export_model(model, folder / name, kind, dtype)
        names = (MODEL_DIR, *wanted)
        if options.verify:
            say("verifying")
            _verify(model, folder, names, options)
        records = {name: read_export(folder / name) for name in names}
        result = _measure(folder, names, options, say) if options.bench else None
        say("writing")
        _write_run(folder, facts)
        _write_example(folder, options, names[-1])
        warnings = find_warnings(facts, records, benchmarked=result is not None)
        card = write_card(out_dir.name, facts, records, warnings, result, options.language)
        (folder / "README.md").write_text(card, encoding="utf-8")
        (folder / "LICENCES.md").write_text(_licences(facts), encoding="utf-8")
        write_json(folder / PACKAGE_FILE, _contents(out_dir.name, facts, records, warnings))
        write_sums(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if options.tar:
        write_tar(out_dir, tar_path)
    return PackageResult(out_dir, names, tuple(warnings), size)


def _verify(model: str, folder: Path, names: Sequence[str], options: PackageOptions) -> None:
    """Compare every export with the original; what the records say of folders is what the package calls them."""
    data_dir = options.data_dir or data_of(model)
    clips: list[Clip]
    clips, source = find_clips(data_dir, max_clips=options.max_clips)
    for name in names:
        verdict = check_export(model, folder / name, clips, source, max_new_tokens=options.max_new_tokens)
        record = read_export(folder / name)
        write_export(folder / name, replace(record, verify={**verdict.as_dict(), "b": name}))


def _measure(folder: Path, names: Sequence[str], options: PackageOptions, say: Callable[[str], None]) -> BenchResult:
    assert options.bench is not None
    result = bench([str(folder / name) for name in names], options.bench, lambda step: say(f"measuring: {step}"))
    named = replace(
        result,
        rows=tuple(replace(row, model=Path(row.model).name) for row in result.rows),
        left_out={name.replace(f"{folder}/", ""): why for name, why in result.left_out.items()},
    )
    write_bench(named, folder / "bench")
    return named


def _write_run(folder: Path, facts: Facts) -> None:
    if facts.config is not None or facts.data is not None:
        (folder / "run").mkdir()
    if facts.config is not None:
        (folder / "run" / "config.yaml").write_text(facts.config, encoding="utf-8")
    if facts.data is not None:
        write_json(folder / "run" / "data.json", facts.data)
    if facts.metrics is not None:
        (folder / "evaluation").mkdir()
        write_json(folder / "evaluation" / "metrics.json", facts.metrics)
        assert facts.evaluation is not None
        report = facts.evaluation / "report.md"
        if report.is_file():
            shutil.copy(report, folder / "evaluation" / "report.md")


def _write_example(folder: Path, options: PackageOptions, heard_by: str) -> None:
    """Write a clip as 16-bit WAV, which every program reads, and what one export hears in it."""
    if options.example is not None:
        waveform = decode_audio(options.example, max_seconds=30.0)
        samples, said = waveform.samples, None
    else:
        samples, said = _make_example(), EXAMPLE_TEXT
    path = folder / EXAMPLE_WAV
    path.parent.mkdir()
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", "not compressed"))
        file.writeframes(to_pcm16(samples).tobytes())
    heard = open_model(folder / heard_by).transcribe([samples], options.language)[0].text
    about = {"said": said, "voice": "synthetic" if said else "given", "heard": heard, "heard_by": heard_by}
    write_json(path.with_suffix(".json"), about)


def _make_example() -> Samples:
    spoken = Speaker().speak(EXAMPLE_TEXT.split(), "ms", Voice("", 50, 40, 150))
    return soxr.resample(0.5 * spoken.samples, VOICE_RATE, SAMPLE_RATE, quality="HQ")  # type: ignore[no-any-return]


def _licences(facts: Facts) -> str:
    return (
        "# Licences\n\n"
        f"- **Weights.** They are derived from `{facts.base}`, whose licence is {facts.licence or 'not known here'}.\n"
        "- **Training data.** Its own terms hold for what was learnt from it; `run/data.json` names the data by hash.\n"
        "- **Rojak**, which trained and packed the model (Apache-2.0), is not in this package. Neither is espeak-ng\n"
        "  (GPL-3.0-or-later), whose voice speaks the example clip where `example/clip.json` says `synthetic`.\n"
    )


def _contents(name: str, facts: Facts, records: dict[str, ExportRecord], warnings: list[str]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "rojak_version": __version__,
        "name": name,
        "base": facts.base,
        "licence": facts.licence,
        "source_sha256": records[MODEL_DIR].source_sha256,
        "exports": {name: {"format": record.format, "dtype": record.dtype} for name, record in records.items()},
        "warnings": warnings,
    }


def write_sums(folder: Path) -> None:
    """Write `SHA256SUMS`, in the form of `sha256sum`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / SUMS_FILE)
    lines = (f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)
    (folder / SUMS_FILE).write_text("".join(lines), encoding="utf-8")


def write_tar(folder: Path, tar_path: Path) -> None:
    """Write a folder as a tar whose bytes depend on the files alone.

    Raises:
        InputError: No space, no permission; no half-written tar is left.
    """
    partial = tar_path.with_name(f".{tar_path.name}.part")
    try:
        with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                entry = tarfile.TarInfo(f"{folder.name}/{path.relative_to(folder).as_posix()}")
                entry.size, entry.mode = path.stat().st_size, 0o644
                with path.open("rb") as file:
                    tar.addfile(entry, file)
        partial.rename(tar_path)
    except OSError as error:
        raise explain_os_error(error, tar_path) from error
    finally:
        partial.unlink(missing_ok=True)
