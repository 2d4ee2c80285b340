"""What each format of the same model costs: size, word error rate and speed, all in one run on the same clips.

    python benchmarks/formats.py [--data DIR] [--clips N] [--context full|trim] [--formats ct2:int8 ...] [--work DIR]

Exports `rojak-micro` into every format that its program is installed for, hears the same clips with all of them and
with PyTorch, and prints a Markdown table. Losses are against PyTorch with a 95 % interval over the clips; speed is
seconds of sound a second of CPU time, of all threads together.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rojak.errors import RojakError
from rojak.export.export import DTYPES, export_model, find_clips
from rojak.export.folder import read_export
from rojak.export.runtime import RuntimeOptions, open_model
from rojak.export.verify import count_errors, measure_loss

MODEL = "rojak-micro"
ALL = [f"{kind}:{dtype}" for kind, dtypes in DTYPES.items() if kind != "tensorrt" for dtype in dtypes]
ROW = "| {} | {} | {} | {} | {} | {:.0f} |"


Counts = npt.NDArray[np.float64]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="prepared data; default: made speech")
    parser.add_argument("--clips", type=int, default=128)
    parser.add_argument("--context", choices=("full", "trim"), default="full")
    parser.add_argument("--formats", nargs="+", default=ALL)
    parser.add_argument("--work", type=Path, help="where exports are kept and found again; default: nowhere")
    arguments = parser.parse_args()
    clips, source = find_clips(arguments.data, max_clips=arguments.clips)
    options = RuntimeOptions(context=arguments.context, restore_particles=False)
    audio, languages = [clip.samples for clip in clips], [clip.language for clip in clips]
    audio_s = sum(len(samples) for samples in audio) / 16000
    print(f"{MODEL}, {len(clips)} clips of {source}, {audio_s / 60:.1f} min, context: {arguments.context}\n")
    print("| format | MB | same text | WER | WER lost | audio s / CPU s |\n|---|---|---|---|---|---|", flush=True)

    def hear(model: str | Path) -> tuple[list[str], Counts, float]:
        runtime = open_model(model, "cpu")
        runtime.transcribe(audio[:1], languages[:1], options)
        started = time.process_time()
        heard = runtime.transcribe(audio, languages, options)
        return [clip.text for clip in heard], count_errors(clips, heard), audio_s / (time.process_time() - started)

    texts, counts, speed = hear(MODEL)
    print(ROW.format("PyTorch float32", "", "", _wer(counts), "", speed), flush=True)
    with tempfile.TemporaryDirectory() as name:
        for wanted in arguments.formats:
            kind, dtype = wanted.split(":")
            folder = (arguments.work or Path(name)) / f"{kind}-{dtype}"
            try:
                if not folder.exists():
                    export_model(MODEL, folder, kind, dtype)
                found, errors, speed = hear(folder)
            except RojakError as error:
                print(f"\nLeft out: {wanted}: {error}\n")
                continue
            weights = (entry["bytes"] for file, entry in read_export(folder).files.items() if _is_weights(file))
            same = sum(one == other for one, other in zip(texts, found, strict=True)) / len(texts)
            loss = measure_loss(counts, errors)
            print(ROW.format(wanted, round(sum(weights) / 1e6), f"{same:.1%}", _wer(errors), loss, speed), flush=True)


def _is_weights(file: str) -> bool:
    return file.endswith((".bin", ".onnx", ".onnx.data"))


def _wer(counts: Counts) -> str:
    errors, total = counts.sum(axis=0)
    return f"{100 * errors / total:.2f} %"


if __name__ == "__main__":
    main()
