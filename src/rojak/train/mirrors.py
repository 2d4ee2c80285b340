"""Where the log's numbers are mirrored for looking at: TensorBoard, Weights & Biases.

Writes RUN/tensorboard/ and RUN/wandb/; the latter is sent away only when the configuration says `wandb: online`.
"""

from pathlib import Path
from typing import Any, Protocol

from rojak.config.schema import TrainConfig
from rojak.errors import MissingExtraError


class Mirror(Protocol):
    """Takes numbers of a step."""

    def add(self, numbers: dict[str, float], step: int) -> None:
        """Show numbers at a step."""

    def close(self) -> None:
        """Write out what is still in memory."""


def open_mirrors(run: Path, step: int, config: TrainConfig) -> list[Mirror]:
    """Open the mirrors that the configuration asks for; `step` is where this part of the run starts.

    Raises:
        MissingExtraError: W&B is asked for and not installed.
    """
    mirrors: list[Mirror] = [_TensorBoard(run, step)] if config.tensorboard else []
    if config.wandb != "off":
        mirrors.append(_WeightsAndBiases(run, config))
    return mirrors


class _TensorBoard:
    def __init__(self, run: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def add(self, numbers: dict[str, float], step: int) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _WeightsAndBiases:
    def __init__(self, run: Path, config: TrainConfig) -> None:
        try:
            import wandb
        except ImportError:
            raise MissingExtraError(
                f"wandb: {config.wandb} needs Weights & Biases; install it with: pip install 'rojak[wandb]', "
                "or use wandb: off."
            ) from None
        settings: dict[str, Any] = config.model_dump(mode="json")
        self._run = wandb.init(project="rojak", name=run.name, dir=str(run), mode=config.wandb, config=settings)
        # A continued run logs steps anew that an interrupted process logged already; an axis of its own allows that.
        self._run.define_metric("*", step_metric="step")

    def add(self, numbers: dict[str, float], step: int) -> None:
        self._run.log({**numbers, "step": step})

    def close(self) -> None:
        self._run.finish()
