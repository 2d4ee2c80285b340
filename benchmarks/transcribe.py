"""Measure what words cost `rojak transcribe`: the same clips for text alone, with words, and with word times.

    python benchmarks/transcribe.py [--data DIR] [--clips N] [--models rojak-micro EXPORT ...]

Text alone is what `--format txt` and `tsv` need, words with their times what `json`, `srt` and `vtt` need. Every model
hears the clips in all three ways, one after the other, in this process; the best of two rounds counts. Prints seconds
of sound a second of CPU time (the computation has one thread), ratios to text alone, and how long the tagger of
languages takes to load, which text alone never does.
"""

import argparse
import time
from pathlib import Path

import torch

from rojak.export.export import find_clips
from rojak.export.runtime import open_model
from rojak.export.transcribe.listen import ListenOptions, listen
from rojak.export.transcribe.sound import Recording
from rojak.text.language import tag_words

WAYS = {"text": (False, False), "words": (True, False), "words and times": (True, True)}
ROUNDS = 2


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="prepared data; default: made speech")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--context", choices=("full", "trim"), default="trim")
    parser.add_argument("--models", nargs="+", default=["rojak-micro"])
    arguments = parser.parse_args()
    clips, source = find_clips(arguments.data, max_clips=arguments.clips)
    audio_s = sum(len(clip.samples) for clip in clips) / 16000
    torch.set_num_threads(1)
    started = time.process_time()
    tag_words("satu")
    print(f"Loading the tagger: {time.process_time() - started:.1f} s, once a process.")
    print(f"{len(clips)} clips of {source}, {audio_s / len(clips):.1f} s each; context: {arguments.context}\n")
    print("| model | audio s/s, text | with words | with words and times | ratios |\n|---|---|---|---|---|")
    recordings = [Recording(Path(str(number)), str(number)) for number in range(len(clips))]
    for model in arguments.models:
        runtime = open_model(model, "cpu")
        best = dict.fromkeys(WAYS, 0.0)
        for _ in range(ROUNDS):
            for way, (words, times) in WAYS.items():
                options = ListenOptions("ms", arguments.context, vad=False, words=words, word_times=times)
                started = time.process_time()
                heard = list(listen(recordings, runtime, options, read=lambda path: clips[int(path.name)].samples))
                assert len(heard) == len(clips)
                best[way] = max(best[way], audio_s / (time.process_time() - started))
        ratios = ", ".join(f"{best['text'] / best[way]:.2f}" for way in ("words", "words and times"))
        print(f"| {runtime.name} | {' | '.join(f'{speed:.1f}' for speed in best.values())} | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
