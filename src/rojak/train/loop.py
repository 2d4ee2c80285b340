"""The training loop, whole and in sight.

Reads a configuration and prepared data; writes a run directory:

    RUN/config.yaml   RUN/log.jsonl   RUN/tensorboard/   RUN/checkpoints/step-*/   RUN/best/
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.errors import TrainingError
from rojak.evaluate.metrics import METRICS
from rojak.features.augment import mask_features
from rojak.model.adapters import add_lora, count_parameters
from rojak.model.alignment import alignment_losses, build_head
from rojak.model.labelling import write_labelling
from rojak.model.particle_tokens import prepare_labelling
from rojak.model.whisper import IGNORED, Whisper, encode_audio, load_whisper, save_whisper, token_losses
from rojak.runs import locked, read_jsonl
from rojak.train.batch import Batch
from rojak.train.checkpoint import (
    RunState,
    checkpoint_path,
    load_checkpoint,
    load_model_into,
    newest_valid,
    remove_old,
    save_checkpoint,
)
from rojak.train.devices import Compute, choose_compute
from rojak.train.happened import tell_what_happened
from rojak.train.health import Health, not_finite
from rojak.train.memory import Parts, fit_into_memory
from rojak.train.optim import (
    build_optimizer,
    optimizer_tensors,
    restore_optimizer,
    schedule,
    set_learning_rate,
    trainable_parameters,
)
from rojak.train.rundir import replace_folder, settle_config
from rojak.train.runlog import RunLog, Throughput
from rojak.train.signals import StopRequest, stop_on_signals
from rojak.train.stages import Curriculum, StepPlan, derive_seed
from rojak.train.validate import Validator

HEAD = "alignment_head."
"""How the temporary head's parameters are named beside the model's."""


@dataclass(frozen=True)
class TrainSummary:
    """How a run ended."""

    run: Path
    steps: int
    best_metric: float
    best_step: int
    train_s: float
    audio_s: float


def train(
    config: TrainConfig, *, allow_change: bool = False, on_validation: Callable[[int, float], None] | None = None
) -> TrainSummary:
    """Train as the configuration says, or continue the run in its `output_dir`.

    Args:
        config: Everything about the run.
        allow_change: Continue even though the configuration differs from the one the run began with.
        on_validation: Told the step and the choosing measure (less is better) after each validation; may raise.

    Raises:
        RojakError: Bad input, bad settings, or training that cannot go on.
        SystemExit: 130 after Ctrl-C, 143 after SIGTERM; a checkpoint was written.
    """
    run = Path(config.output_dir)
    data = Dataset(Path(config.dataset_path), config.train_splits)
    with locked(run), stop_on_signals() as stop:
        settle_config(run, config, allow_change=allow_change)
        trainer = Trainer(config, run, data)
        with (
            RunLog(run, trainer.state.step, trainer.curriculum.total_steps, tensorboard=config.tensorboard) as log,
            tell_what_happened(log, trainer.state),
        ):
            trainer.health = Health(config, trainer.curriculum.total_steps, log.finding)
            trainer.health.replay(read_jsonl(log.path))
            trainer.on_validation = on_validation
            return trainer.run_to_end(log, stop)


class Trainer:
    """A model being trained: weights, optimiser, and where the run stands."""

    def __init__(self, config: TrainConfig, run: Path, data: Dataset) -> None:
        self.config = config
        self.run = run
        self.notes: list[str] = []
        self.compute = choose_compute(config.precision)
        self.whisper, self.model = _build_model(config, self.compute)
        self.curriculum = Curriculum(config, data, self.whisper.tokens)
        self.log_mel = self.whisper.log_mel()
        self.validator = Validator(config, self.whisper)
        self.parameters = trainable_parameters(self.model)
        self.head = None
        if config.alignment_weight:
            size = self.whisper.network.config.d_model, self.whisper.tokens.end
            self.head = build_head(*size, self.compute.device)
            self.parameters |= {f"{HEAD}{name}": value for name, value in self.head.named_parameters()}
        self.optimizer = build_optimizer(self.parameters, config.optimizer)
        self.scaler = torch.amp.GradScaler(self.compute.device.type, enabled=self.compute.precision == "fp16")
        self.on_validation: Callable[[int, float], None] | None = None
        self.state = RunState()
        # Without a log (doctor, lr-find) a finding is a note; `train` puts one in place that writes into the log.
        self.health = Health(config, self.curriculum.total_steps, lambda finding: self.notes.append(finding.message))
        self._restore()

    def _restore(self) -> None:
        folder = newest_valid(self.run, self.notes.append)
        if folder is None:
            return
        self.state, tensors = load_checkpoint(folder)
        load_model_into(self.model, folder / "model")
        if self.head is not None:
            self.head.load_state_dict({name: tensors.pop(f"{HEAD}{name}") for name in self.head.state_dict()})
        restore_optimizer(self.optimizer, self.parameters, tensors)
        if self.state.loss_scale:
            self.scaler.load_state_dict(self.state.loss_scale)
        self.notes.append(f"Continuing from {folder.name} of {self.curriculum.total_steps} steps.")

    def run_to_end(self, log: RunLog, stop: StopRequest) -> TrainSummary:
        """Take every step that is left; validate, checkpoint and log on the way."""
        total = self.curriculum.total_steps
        for note in self.notes:
            log.say(note)
        log.say(f"{count_parameters(self.model)}; {self.compute.precision} on {self.compute.device}; {total} steps.")
        log.event("start", step=self.state.step, total_steps=total, notes=self.notes)
        every = self.config.validation.every_steps or max(1, math.ceil(total / 10))
        batches = iter(self._loader())
        meter = Throughput()
        for plan in self.curriculum.steps_from(self.state.stage_index, self.state.step_in_stage):
            if plan.step_in_stage == 0:
                log.say(plan.stage.describe())
                log.event(
                    "stage", step=self.state.step, stage=plan.stage.config.name, shares=plan.stage.mixture.shares()
                )
            started = time.perf_counter()
            micro_batches = [next(batches) for _ in plan.micro_batches]
            waited_s = time.perf_counter() - started
            figures = self._step(plan, micro_batches)
            figures |= {"wait_s": waited_s, "step_s": time.perf_counter() - started}
            self.state.step += 1
            self.state.stage_index, self.state.step_in_stage = plan.stage.index, plan.step_in_stage + 1
            self.state.audio_s += figures["audio_s"]
            self.state.train_s += meter.add(figures["audio_s"], figures["tokens"], time.perf_counter() - started)
            self.health.after_step(self.state.step, plan.stage.config.name, figures)
            last = self.state.step == total
            if self.state.step % self.config.log_every_steps == 0 or last:
                figures |= {"step": self.state.step, "stage": plan.stage.config.name, "epoch": plan.epoch}
                figures |= meter.read(steps_left=total - self.state.step)
                log.event("train", **figures)
                log.show_step(plan.stage.config.name, figures)
            stage_ends = self.state.step_in_stage == plan.stage.num_steps
            validate = self.state.step % every == 0 or stage_ends
            checkpoint = self.config.checkpoint_every_steps or every
            if validate:
                self._validate(log, plan)
            if validate or self.state.step % checkpoint == 0 or stop.signum is not None:
                self._save()
            if stop.signum is not None and not last:
                log.say(f"Stopped at step {self.state.step}; the same command continues from here.")
                log.event("stopped", step=self.state.step, signal=stop.signum)
                raise SystemExit(stop.exit_code)
        return self._finish(log)

    def _loader(self) -> Iterator[Batch]:
        """Build batches in training order, ahead of need when there are loader workers."""
        jobs = (
            (plan, number)
            for plan in self.curriculum.steps_from(self.state.stage_index, self.state.step_in_stage)
            for number in range(len(plan.micro_batches))
        )
        workers = self.config.loader_workers
        if workers == 0:
            return (self.curriculum.build(plan, number) for plan, number in jobs)
        return iter(
            DataLoader(
                _Built(self.curriculum),  # type: ignore[arg-type]
                sampler=jobs,
                batch_size=None,
                num_workers=workers,
                prefetch_factor=4,
                multiprocessing_context="forkserver",
                pin_memory=self.compute.device.type == "cuda",
            )
        )

    def _step(self, plan: StepPlan, batches: list[Batch]) -> dict[str, Any]:
        """Take one optimiser step; the loss is the mean over the label tokens of all its micro-batches."""
        num_tokens = sum(int((batch.labels != IGNORED).sum()) for batch in batches)
        rate = plan.stage.learning_rate * schedule(self.state.step, self.curriculum.total_steps, self.config.optimizer)
        set_learning_rate(self.optimizer, rate)
        self.model.train()
        total_loss = fit_into_memory(
            lambda parts: self._backward(plan, batches, num_tokens, parts),
            lambda: self.optimizer.zero_grad(set_to_none=True),
            parts=self.state.parts,
            most_rows=max(len(batch.labels) for batch in batches),
            tell=self._cut_into,
        )
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.config.optimizer.max_grad_norm).item()
        if not math.isfinite(norm) and self.compute.precision != "fp16":
            ids = tuple(audio_id for batch in batches for audio_id in batch.audio_ids)
            raise TrainingError(not_finite("gradient", norm, self.state.step + 1, ids))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        speech_s = sum(batch.speech_s for batch in batches)
        return {
            "loss": total_loss,
            "learning_rate": rate,
            "grad_norm": norm,
            "audio_s": speech_s,
            "tokens": num_tokens,
            "padding_share": 1 - speech_s / sum(batch.padded_s for batch in batches),
        }

    def _backward(self, plan: StepPlan, batches: list[Batch], num_tokens: int, parts: Parts) -> float:
        """Add up the gradients of a step's micro-batches, each computed in parts; give the loss."""
        seed = derive_seed(self.config.seed, plan.stage.index, plan.step_in_stage)
        torch.manual_seed(seed)
        device = self.compute.device
        total_loss = 0.0
        for number, batch in enumerate(batches):
            whole = self.log_mel(batch.waveforms.to(device, non_blocking=True))
            whole = mask_features(whole, plan.stage.config.augment, derive_seed(seed, number))
            for rows in parts.rows(len(whole)):
                with self.compute.autocast():
                    encoded = encode_audio(self.whisper.network, whole[rows])
                    labels = batch.labels[rows].to(device)
                    inputs = batch.inputs[rows].to(device)
                    if self.head is None:
                        loss = token_losses(self.whisper.network, encoded, inputs, labels).sum() / num_tokens
                    else:
                        times = batch.times[rows].to(device)
                        losses, alignment = alignment_losses(
                            self.whisper.network, self.head, encoded, inputs, labels, times
                        )
                        loss = (losses.sum() + self.config.alignment_weight * alignment * len(losses)) / num_tokens
                value = loss.item()
                if not math.isfinite(value):
                    raise TrainingError(not_finite("loss", value, self.state.step + 1, batch.audio_ids))
                self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
                total_loss += value
        return total_loss

    def _cut_into(self, parts: int) -> None:
        self.state.parts = parts
        self.health.out_of_memory(self.state.step + 1, parts)

    def _validate(self, log: RunLog, plan: StepPlan) -> None:
        self.model.eval()
        with self.compute.autocast():
            result = self.validator.run()
        log.event("validation", step=self.state.step, stage=plan.stage.config.name, **result.metrics, **result.signs)
        log.event("samples", step=self.state.step, samples=result.samples)
        log.show_validation(result.metrics.get("wer"))
        self.health.after_validation(self.state.step, result.metrics | result.signs)
        figures = " · ".join(f"{METRICS[name].title} {value:.1%}" for name, value in result.metrics.items())
        log.say(f"Step {self.state.step}: validation {figures}")
        entry = (result.badness(self.config.validation.metric), self.state.step)
        self.state.best = sorted([*self.state.best, entry])[: self.config.validation.keep_best]
        if self.on_validation:
            self.on_validation(self.state.step, entry[0])

    def _save(self) -> None:
        """Checkpoint; then, when this step is the best yet, make it `best/`; then let old checkpoints go."""
        self.state.loss_scale = self.scaler.state_dict() or None
        tensors = optimizer_tensors(self.optimizer, self.parameters)
        if self.head is not None:
            tensors |= {f"{HEAD}{name}": value.detach().cpu() for name, value in self.head.state_dict().items()}
        folder = save_checkpoint(self.run, self.state, tensors, self._save_model)
        if self.state.best and self.state.best[0][1] == self.state.step:
            replace_folder(folder / "model", self.run / "best")
        remove_old(self.run, {self.state.step} | {step for _, step in self.state.best})

    def _save_model(self, folder: Path) -> None:
        if self.config.adapter == "none":
            save_whisper(self.whisper, folder)
        else:
            # The vocabulary never changes; left to find out for itself, peft asks the hub.
            self.model.save_pretrained(folder, save_embedding_layers=False)  # type: ignore[operator]
            write_labelling(folder, self.whisper.tokens.labelling)

    def _finish(self, log: RunLog) -> TrainSummary:
        self.health.end(self.state.step)
        if not self.state.best:
            raise TrainingError(f"{self.run} ended without a validation; set validation.every_steps lower.")
        badness, step = self.state.best[0]
        if not (self.run / "best").is_dir():
            replace_folder(checkpoint_path(self.run, step) / "model", self.run / "best")
        speed = self.state.audio_s / self.state.train_s
        name = self.config.validation.metric
        metric = abs(badness)
        log.say(f"Done: best {METRICS[name].title} {metric:.1%} at step {step}; {speed:.0f} audio-s/s.")
        log.say(f"The model is in {self.run / 'best'}.")
        log.event("end", step=self.state.step, best_metric=metric, best_step=step, train_s=self.state.train_s)
        return TrainSummary(self.run, self.state.step, metric, step, self.state.train_s, self.state.audio_s)


class _Built:
    """The micro-batches of a run as a torch data set whose keys are (plan, number)."""

    def __init__(self, curriculum: Curriculum) -> None:
        self._curriculum = curriculum

    def __getitem__(self, job: tuple[StepPlan, int]) -> Batch:
        return self._curriculum.build(*job)


def _build_model(config: TrainConfig, compute: Compute) -> tuple[Whisper, torch.nn.Module]:
    """Load the base and put the adapter on; frozen weights are held in the compute format, trained ones in float32."""
    torch.manual_seed(config.seed)
    frozen = config.adapter != "none"
    whisper = load_whisper(
        config.model_name,
        random_weights=config.init == "random",
        quantize_4bit=config.use_4bit,
        dtype=compute.dtype if frozen else torch.float32,
    )
    if not config.use_4bit:
        whisper.network.to(compute.device)
    # Fused attention is made for GPUs; on a CPU its backward pass costs more than it saves (benchmarks/windows_cpu.py).
    whisper.network.set_attn_implementation("eager" if compute.device.type == "cpu" else "sdpa")
    if config.gradient_checkpointing == "on":
        whisper.network.gradient_checkpointing_enable({"use_reentrant": False})
    whisper = prepare_labelling(whisper, config)
    model = add_lora(whisper, config) if frozen else whisper.network
    return whisper, model
