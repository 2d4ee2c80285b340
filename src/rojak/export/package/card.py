"""The package's README: a Hugging Face model card with warnings first, how to use each export, what was measured."""

import json
from typing import Any

import yaml

from rojak.export.bench.bench import BenchResult
from rojak.export.bench.show import to_markdown
from rojak.export.folder import ExportRecord
from rojak.export.package.facts import Facts, describe_target, describe_value
from rojak.export.verify import Loss

EXAMPLE_WAV = "example/clip.wav"

_MEASURES = (
    ("wer", "WER", "%"),
    ("cer", "CER", "%"),
    ("mer", "MER", "%"),
    ("language_accuracy", "Language of each word", "%"),
    ("switch_f1", "Switch F1", "%"),
    ("pier", "PIER", "%"),
    ("particle_recall", "Particle recall", "%"),
    ("particle_precision", "Particle precision", "%"),
    ("rtf", "Real-time factor", ""),
)
"""Shown where the evaluation holds them."""


def write_card(
    name: str,
    facts: Facts,
    records: dict[str, ExportRecord],
    warnings: list[str],
    bench: BenchResult | None,
    language: str,
) -> str:
    """Give the text of README.md.

    Args:
        name: Of the model.
        facts: What is known of it.
        records: Folder in the package → its export record.
        warnings: Shown at the very top.
        bench: Measured speed.
        language: Prompted in the examples.
    """
    parts = [
        f"---\n{yaml.safe_dump(_front_matter(name, facts), sort_keys=False, allow_unicode=True)}---",
        f"# {name}",
        *(f"> **Warning.** {warning}" for warning in warnings),
        f"A Whisper model fine-tuned from `{facts.base}` with [Rojak](https://pypi.org/project/rojak/)."
        if facts.base != facts.model
        else f"The Whisper model `{facts.model}`, packed by Rojak.",
        "## Use it",
        f"Paths are relative to this folder; `{EXAMPLE_WAV}` is a clip to try.",
        *_usage(records, language),
        "## What was measured",
        *_results(facts),
        "## Do the files say the same as the trained model?",
        _verification(records),
        "## Speed",
        to_markdown(bench).strip() if bench else "Not measured.",
        "## Where it comes from",
        *_origin(facts),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(name: str, facts: Facts) -> dict[str, Any]:
    front: dict[str, Any] = {
        "license": facts.licence or "unknown",
        "language": ["ms", "en", "zh", "ta"],
        "pipeline_tag": "automatic-speech-recognition",
        "tags": ["whisper", "code-switching"],
        "base_model": facts.base,
    }
    wer = facts.tuned["overall"]["metrics"]["wer"]["value"] if facts.tuned else None
    if wer is not None:
        task = {"type": "automatic-speech-recognition", "name": "Speech recognition"}
        metric = {"type": "wer", "value": round(100 * wer, 2), "name": "WER"}
        result = {"task": task, "dataset": {"type": "custom", "name": "own test set"}, "metrics": [metric]}
        front["model-index"] = [{"name": name, "results": [result]}]
    return front


def _usage(records: dict[str, ExportRecord], language: str) -> list[str]:
    """Give the lines for each program: greedy and without timestamps, as everything was verified."""
    parts = []
    for folder, record in records.items():
        if record.format == "ct2":
            code = (
                "import numpy\n"
                "from faster_whisper import WhisperModel, decode_audio\n"
                f'sound = decode_audio("{EXAMPLE_WAV}")\n'
                "sound = numpy.pad(sound, (0, -len(sound) % 480_000))  # silence up to whole windows of 30 s\n"
                f'model = WhisperModel("{folder}")\n'
                f'segments, _ = model.transcribe(sound, language="{language}", beam_size=1, temperature=0.0, '
                "without_timestamps=True)\n"
                'print(" ".join(segment.text.strip() for segment in segments))'
            )
            parts.append(f"With faster-whisper (`pip install faster-whisper`):\n\n```python\n{code}\n```")
        elif record.format == "transformers":
            code = (
                "import wave, numpy, transformers\n"
                f'sound = wave.open("{EXAMPLE_WAV}")  # 16 kHz, one channel\n'
                'samples = numpy.frombuffer(sound.readframes(sound.getnframes()), "int16") / 32768\n'
                f'pipe = transformers.pipeline("automatic-speech-recognition", model="{folder}")\n'
                'print(pipe({"raw": samples.astype("float32"), "sampling_rate": 16000}, '
                f'generate_kwargs={{"language": "{language}", "num_beams": 1}})["text"])'
            )
            parts.append(f"With transformers (`pip install transformers torch`):\n\n```python\n{code}\n```")
        elif record.format == "ggml":
            file = next((name for name in record.files if name.endswith(".bin")), "")
            code = f"whisper-cli -m {folder}/{file} -l {language} -nt -bs 1 -f {EXAMPLE_WAV}"
            parts.append(f"With whisper.cpp:\n\n```sh\n{code}\n```")
        else:
            code = f"rojak transcribe {EXAMPLE_WAV} --model {folder}"
            parts.append(f"The {record.format} files with Rojak:\n\n```sh\n{code}\n```")
    return parts


def _results(facts: Facts) -> list[str]:
    tuned = facts.tuned
    if tuned is None or facts.metrics is None:
        return ["Nothing: the model was not evaluated."]
    targets = [f"| {describe_target(target)} | {target['verdict']} |" for target in tuned["targets"]]
    systems = facts.metrics["systems"]
    head = "| Measure |" + "".join(f" {system['system']} |" for system in systems)
    rows = []
    for key, title, unit in _MEASURES:
        values = [system["overall"]["metrics"].get(key) for system in systems]
        if any(value and value["value"] is not None for value in values):
            shown = (describe_value(value, unit) if value else "not measured" for value in values)
            rows.append(f"| {title} | {' | '.join(shown)} |")
    how = json.dumps(tuned["settings"].get("decode", {}), ensure_ascii=False)
    overall = tuned["overall"]
    return [
        "\n".join(["| Target | |", "|---|---|", *targets]),
        "\n".join([head, "|---|" + "---|" * len(systems), *rows]),
        f"{overall['utterances']} utterances of {overall['speakers']} speakers; 95 % intervals in brackets; normaliser "
        f"`{tuned['normalizer']}`; decoded with `{how}`. All numbers, with every slice: `evaluation/metrics.json`.",
        *(f"- {note}" for note in tuned["notes"]),
    ]


def _verification(records: dict[str, ExportRecord]) -> str:
    head = ("Folder", "Format", "Clips", "Same text", "WER of the original → here", "WER lost", "Trim-safe", "Verdict")
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for folder, record in records.items():
        kind, found = f"{record.format} {record.dtype}", record.verify
        if found is None:
            lines.append(f"| `{folder}` | {kind} | | | | | | **not verified** |")
        else:
            wer = f"{found['wer_a']:.2f} → {found['wer_b']:.2f} %"
            trim = ("yes" if record.trim_safe else "no") + ("" if found["trim_certain"] else ", uncertain")
            cells = (f"{found['num_clips']}", f"{found['same_text']:.1%}", wer, str(Loss(**found["wer_loss"])), trim)
            verdict = ("PASS" if found["passed"] else "**FAIL**") + ("" if found["certain"] else ", uncertain")
            lines.append(f"| `{folder}` | {kind} | {' | '.join(cells)} | {verdict} |")
    sources = {record.verify["data"] for record in records.values() if record.verify}
    return "\n".join([*lines, "", f"Compared on: {', '.join(sorted(sources)) or 'nothing'}."])


def _origin(facts: Facts) -> list[str]:
    parts = [f"Base model: `{facts.base}`, licence {facts.licence or 'unknown'}; see `LICENCES.md`."]
    if facts.config is not None:
        parts.append("Settings of the training: `run/config.yaml`.")
    if facts.data is not None:
        stats = facts.data["stats"]
        hours = stats.get("hours")
        size = f"{hours:.2f} hours, {stats.get('clips')} clips" if isinstance(hours, int | float) else "see there"
        parts.append(f"Data: {size}; hashes of every file and statistics: `run/data.json`.")
    return parts
