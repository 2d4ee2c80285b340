"""Measure the estimate of the speech-to-noise ratio against ratios that are known.

Speaks a few clean clips, mixes noise in at a known ratio, prints the error of `rojak.audio.estimate_snr` as Markdown.
Run `python benchmarks/snr.py`; `--speech DIR` takes quiet recordings of your own instead.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from rojak.audio import Samples, decode_audio, estimate_snr
from rojak.data.noise import babble, mains_hum, mix_at_snr, pink_noise
from rojak.data.synthesis_plan import Settings
from rojak.data.synthesize import synthesize

RATIOS_DB = (0, 5, 10, 15, 20, 25, 30)
CLEAN_DB = 40.0
"""A clip counts as clean, so that the noise in it is the noise added, when its own estimate lies above this."""

Noise = Callable[[int, np.random.Generator, Sequence[Samples]], Samples]
NOISES: dict[str, Noise] = {
    "white": lambda size, rng, _: rng.standard_normal(size).astype(np.float32),
    "pink": lambda size, rng, _: pink_noise(size, rng),
    "hum": lambda size, rng, _: mains_hum(size, rng),
    "babble of 4": lambda size, rng, others: babble(
        [others[i] for i in rng.choice(len(others), 4, replace=False)], size, rng
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, help="folder of quiet recordings")
    parser.add_argument("--clips", type=int, default=40)
    args = parser.parse_args()
    speech = read_speech(args.speech, args.clips)
    print(f"{len(speech)} clips of {np.mean([len(s) for s in speech]) / 16_000:.1f} s on average.\n")
    print("| noise | " + " | ".join(f"{ratio} dB" for ratio in RATIOS_DB) + " |")
    print("|---|" + "---:|" * len(RATIOS_DB))
    for name, make in NOISES.items():
        cells = []
        for ratio in RATIOS_DB:
            errors = measure(speech, make, ratio)
            cells.append(f"{errors.mean():+.1f} ± {errors.std():.1f}")
        print(f"| {name} | " + " | ".join(cells) + " |")


def measure(speech: Sequence[Samples], make: Noise, ratio_db: float) -> np.ndarray:
    errors = []
    for number, clip in enumerate(speech):
        rng = np.random.default_rng((number, round(ratio_db)))
        others = [other for index, other in enumerate(speech) if index != number]
        found = estimate_snr(mix_at_snr(clip, make(len(clip), rng, others), ratio_db))
        errors.append((0.0 if found is None else found) - ratio_db)
    return np.array(errors)


def read_speech(folder: Path | None, count: int) -> list[Samples]:
    if folder is not None:
        found = [decode_audio(path).samples for path in sorted(folder.rglob("*.*")) if path.suffix != ".json"]
    else:
        with tempfile.TemporaryDirectory() as temporary:
            corpus = Path(temporary) / "corpus"
            synthesize(corpus, 0.08, 3, settings=Settings(noisy_share=0.0), workers=1, show_progress=False)
            items = json.loads((corpus / "train" / "transcripts.json").read_text(encoding="utf-8"))
            paths = [corpus / "train" / item["audio_filepath"] for item in items.values()]
            found = [decode_audio(path).samples for path in paths]
    quiet = [clip for clip in found if len(clip) > 32_000 and (estimate_snr(clip) or 0.0) > CLEAN_DB]
    if len(quiet) < 6:
        quiet = [clip for clip in found if len(clip) > 32_000]
        print("Few clips are quiet by themselves; at high ratios their own noise adds to the error.\n")
    return quiet[:count]


if __name__ == "__main__":
    main()
