"""The whole way in one call: made speech, the embedded model, three stages of training, the targets table.

Writes OUT/corpus, OUT/data, OUT/run and OUT/evaluation; each step calls the function of its command.
"""

import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from rojak.config.load import load_config
from rojak.config.schema import TrainConfig
from rojak.data.prepare import prepare
from rojak.data.synthesis_plan import Settings
from rojak.data.synthesize import synthesize
from rojak.evaluate.decode import DecodeOptions
from rojak.evaluate.evaluate import EvaluateOptions, evaluate, print_result
from rojak.model.names import MICRO_NAME, token_counter
from rojak.train.loop import train

CONFIG_PATH = Path(__file__).parent / "config" / "demo.yaml"
HOURS = 4.0
SEED = 7
SPEECH = Settings(
    kinds={"ms": 0.15, "en": 0.15, "zh": 0.08, "ta": 0.08, "mixed": 0.54},
    num_speakers=96,
    noisy_share=0.15,
    particle_share=0.6,
    mixed_particle_share=0.9,
)
"""Friends among themselves: every second sentence switches, and most end in a particle. Many voices, so that minutes of
training do not learn the voices by heart."""
SNR_RANGES = ((10.0, 15.0),)


def demo(out_dir: Path, console: Console) -> None:
    """Make speech, prepare it, fine-tune `rojak-micro` on it and evaluate base and tuned on speakers it never heard.

    Run again after an interruption, it goes on where it stopped.

    Raises:
        RojakError: The folder cannot be used.
        SystemExit: Interrupted while training; the run can be continued.
    """
    config = load_config(TrainConfig, CONFIG_PATH, dataset_path=str(out_dir / "data"), output_dir=str(out_dir / "run"))
    begun = time.monotonic()

    def step(title: str, work: Callable[[], object]) -> object:
        console.rule(f"[bold]{title}", align="left", style="dim")
        started = time.monotonic()
        result = work()
        console.print(f"{time.monotonic() - started:.0f} s", style="dim", highlight=False)
        return result

    step(f"synthesize: {HOURS:g} h of speech", lambda: synthesize(out_dir / "corpus", HOURS, SEED, settings=SPEECH))
    step(
        "prepare: check, 16 kHz FLAC, Parquet",
        lambda: prepare(
            out_dir / "corpus", out_dir / "data", count_tokens=token_counter(MICRO_NAME), show_progress=True
        ),
    )
    step("train: clean, code-switching, noise", lambda: train(config))
    console.rule("[bold]evaluate: base and tuned, unheard speakers", align="left", style="dim")
    options = EvaluateOptions(decode=DecodeOptions(context="trim"), snr_ranges=SNR_RANGES, max_utterances=200)
    result = evaluate(str(out_dir / "run"), out_dir / "data", out_dir / "evaluation", options)
    print_result(result, console)
    console.print(f"The whole way took {(time.monotonic() - begun) / 60:.1f} min.", highlight=False)
