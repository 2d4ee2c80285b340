"""The training loop, whole and in sight.

Reads a configuration and prepared data; writes a run directory:

    RUN/config.yaml   RUN/log.jsonl   RUN/tensorboard/   RUN/checkpoints/step-*/   RUN/best/
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.errors import TrainingError
from rojak.evaluate.metrics import METRICS
from rojak.features.augment import mask_features
from rojak.model.adapters import count_parameters
from rojak.model.alignment import alignment_losses, build_head
from rojak.model.labelling import write_labelling
from rojak.model.whisper import encode_audio, save_whisper, token_losses
from rojak.runs import locked, read_jsonl
from rojak.text.wordlists import own_lists_in_force
from rojak.train.batch import Batch
from rojak.train.build import build_model, check_disk, memory_line
from rojak.train.checkpoint import (
    RunState,
    checkpoint_path,
    load_checkpoint,
    load_model_into,
    newest_valid,
    remove_old,
    save_checkpoint,
)
from rojak.train.devices import choose_compute
from rojak.train.feed import feed, own_micro_batches, total_sizes
from rojak.train.flops import peak_flops
from rojak.train.guards import Guarded, Guards, broken_sentence
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
from rojak.train.processes import Processes
from rojak.train.push import push
from rojak.train.rundir import bring_up_to_date, check_config, check_state, replace_folder, write_config
from rojak.train.runlog import RunLog, Throughput, used_memory
from rojak.train.signals import StopRequest, exit_code, stop_on_signals
from rojak.train.stages import Curriculum, StepPlan, derive_seed, longest_batch_s, open_training_data
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
        allow_change: Continue even though the configuration or the data differ from those that the run began with.
        on_validation: Told the step and the choosing measure (less is better) after each validation; may raise.

    Raises:
        RojakError: Bad input, bad settings, or training that cannot go on.
        SystemExit: 130 after Ctrl-C, 143 after SIGTERM; a checkpoint was written.
    """
    with own_lists_in_force(config.word_lists):
        return _train(config, allow_change, on_validation)


def _train(config: TrainConfig, allow_change: bool, on_validation: Callable[[int, float], None] | None) -> TrainSummary:
    run = Path(config.output_dir)
    processes = Processes()
    data = open_training_data(config)
    with locked(run) if processes.is_first else nullcontext(), stop_on_signals() as stop:
        if processes.is_first and not allow_change:
            check_config(run, config)
        trainer = Trainer(config, run, data, processes, allow_change=allow_change)
        if processes.is_first:
            write_config(run, config)
        total, quiet = trainer.curriculum.total_steps, not processes.is_first
        with (
            RunLog(run, trainer.state.step, total, config, quiet=quiet) as log,
            tell_what_happened(log, trainer.state),
        ):
            trainer.health = Health(config, total, log.finding)
            trainer.health.replay(read_jsonl(log.path))
            trainer.on_validation = on_validation
            return trainer.run_to_end(log, stop)


class Trainer:
    """A model being trained: weights, optimiser, and where the run stands."""

    def __init__(
        self, config: TrainConfig, run: Path, data: Dataset, processes: Processes | None = None, *,
        allow_change: bool = False,
    ) -> None:  # fmt: skip
        self.config = config
        self.run = run
        self.notes: list[str] = []
        self.processes = processes or Processes()
        self.compute = choose_compute(config.precision)
        longest_s = longest_batch_s(config.windows, config.batch_size)
        self.whisper, self.model = build_model(config, self.compute, longest_s)
        self.log_mel = self.whisper.log_mel()
        self.validator = Validator(config, self.whisper)
        self.guards = Guards(config, self.whisper, self.validator.context)
        self.parameters = trainable_parameters(self.model)
        self.head = None
        if config.alignment_weight:
            size = self.whisper.network.config.d_model, self.whisper.tokens.end
            self.head = build_head(*size, self.compute.device)
            self.parameters |= {f"{HEAD}{name}": value for name, value in self.head.named_parameters()}
        self.optimizer = build_optimizer(self.parameters, config.optimizer)
        self.scaler = torch.amp.GradScaler(self.compute.device.type, enabled=self.compute.precision == "fp16")
        self.on_validation: Callable[[int, float], None] | None = None
        self.state = RunState(num_processes=config.windows.num_processes or self.processes.count)
        self._restore()
        check_state(run, config, self.state, self.processes.from_first(data.mark()), allow_change=allow_change)
        self.curriculum = Curriculum(config, data, self.whisper.tokens, self.state.num_processes)
        self.curriculum.check_lengths()
        # Without a log (doctor, lr-find) a finding is a note; `train` puts one in place that writes into the log.
        self.health = Health(config, self.curriculum.total_steps, lambda finding: self.notes.append(finding.message))

    def _restore(self) -> None:
        found = newest_valid(self.run, self.notes.append) if self.processes.is_first else None
        name = self.processes.from_first(found.name if found else None)
        if name is None:
            return
        folder = self.run / "checkpoints" / name
        self.state, tensors = load_checkpoint(folder)
        load_model_into(self.model, folder / "model")
        if self.head is not None:
            self.head.load_state_dict({name: tensors.pop(f"{HEAD}{name}") for name in self.head.state_dict()})
        restore_optimizer(self.optimizer, self.parameters, tensors)
        if self.state.loss_scale:
            self.scaler.load_state_dict(self.state.loss_scale)
        self.notes.append(f"Continuing from {folder.name}.")

    def run_to_end(self, log: RunLog, stop: StopRequest) -> TrainSummary:
        """Take every step that is left; validate, checkpoint and log on the way."""
        self._announce(log)
        if self.state.ended_early:
            return self._finish(log)
        if self.state.step == 0:
            self._begin(log)
        with closing(feed(self.curriculum, self.state, self.config.loader_workers, self.processes)) as feeding:
            self._take_steps(log, stop, feeding)
        return self._finish(log)

    def _take_steps(self, log: RunLog, stop: StopRequest, feeding: Iterator[Batch]) -> None:
        """Take the steps that are left, unless the run ends early.

        Raises:
            SystemExit: A signal asked for it; a checkpoint was written.
        """
        total = self.curriculum.total_steps
        every = self.config.validation.every_steps or max(1, math.ceil(total / 10))
        meter = Throughput(peak_flops(self.compute.device, self.processes.count))
        for plan in self.curriculum.steps_from(self.state.stage_index, self.state.step_in_stage):
            if plan.step_in_stage == 0:
                if plan.stage.config.fresh_optimizer:
                    self.optimizer.state.clear()
                log.say(plan.stage.describe())
                log.event(
                    "stage", step=self.state.step, stage=plan.stage.config.name, shares=plan.stage.mixture.shares()
                )
            started = time.perf_counter()
            batches = [next(feeding) for _ in self._own(plan)]
            waited_s = time.perf_counter() - started
            figures = self._step(plan, batches)
            figures |= {"wait_s": waited_s, "step_s": time.perf_counter() - started}
            # Asked once a step: all processes must stop at the same place, and a signal may come at any moment.
            stopping = self.processes.agree(stop.signum)
            self.state.step += 1
            self.state.stage_index, self.state.step_in_stage = plan.stage.index, plan.step_in_stage + 1
            self.state.audio_s += figures["audio_s"]
            self.state.train_s += meter.add(figures, figures["step_s"])
            self.health.after_step(self.state.step, plan.stage.config.name, figures)
            last = self.state.step == total
            if self.state.step % self.config.log_every_steps == 0 or last:
                figures |= {"step": self.state.step, "stage": plan.stage.config.name, "epoch": plan.epoch}
                figures |= meter.read(steps_left=total - self.state.step) | used_memory(self.compute.device)
                log.event("train", **figures)
                log.show_step(plan.stage.config.name, figures)
            stage_ends = self.state.step_in_stage == plan.stage.num_steps
            validate = self.state.step % every == 0 or stage_ends
            checkpoint = self.config.checkpoint_every_steps or every
            broken = self._validate(log, plan) if validate else None
            if validate or self.state.step % checkpoint == 0 or stopping is not None:
                self._save()
            if broken:
                raise TrainingError(broken)
            if self.state.ended_early:
                break
            if stopping is not None and not last:
                log.say(f"Stopped at step {self.state.step}; the same command continues from here.")
                log.event("stopped", step=self.state.step, signal=stopping)
                self.processes.close()
                raise SystemExit(exit_code(stopping))

    def _announce(self, log: RunLog) -> None:
        """Tell what is trained, on what, and for how long."""
        total, count = self.curriculum.total_steps, self.processes.count
        for note in self.notes:
            log.say(note)
        processes = f" × {count} processes" if count > 1 else ""
        device = f"{self.compute.precision} on {self.compute.device}{processes}"
        log.say(f"{count_parameters(self.model)}; {device}; {total} steps.")
        log.say(f"Memory before activations: {memory_line(self.model, self.config)}.")
        started = {"processes": count, "device": self.compute.name, "notes": self.notes}
        log.event("start", step=self.state.step, total_steps=total, **started)

    def _begin(self, log: RunLog) -> None:
        """Before the first step: see that the disk holds what will be saved, and where the guard sets start."""
        if not self.processes.is_first:
            return
        check_disk(self.run, self.model, self.config)
        self.model.eval()
        with self.compute.autocast():
            self.state.guard_base = self.guards.losses()
        log.event("guards", step=0, **self.state.guard_base)

    def _own(self, plan: StepPlan) -> list[int]:
        """Give the numbers of the micro-batches that this process computes."""
        return own_micro_batches(plan, self.processes)

    def _step(self, plan: StepPlan, batches: list[Batch]) -> dict[str, Any]:
        """Take one optimiser step; the loss is the weighted mean over the label tokens of all its micro-batches.

        The processes compute their own micro-batches and sum the gradients, so that all of them take the same step.
        """
        own = total_sizes(batches, self.whisper.network.config, self.config)
        weight, tokens, speech_s, padded_s, flops = self.processes.sum(*own)
        stage = plan.stage
        scheduled = self.state.step - stage.schedule_start, stage.schedule_steps
        rate = stage.learning_rate * schedule(*scheduled, self.config.optimizer)
        set_learning_rate(self.optimizer, rate)
        self.model.train()
        own_loss = fit_into_memory(
            lambda parts: self._backward(plan, batches, weight, parts),
            lambda: self.optimizer.zero_grad(set_to_none=True),
            parts=self.state.parts,
            most_rows=max((len(batch.labels) for batch in batches), default=1),
            tell=self._cut_into,
        )
        (loss,) = self.processes.sum(own_loss)
        self.processes.sum_gradients(self.parameters.values())
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.config.optimizer.max_grad_norm).item()
        if not math.isfinite(norm) and self.compute.precision != "fp16":
            ids = tuple(audio_id for batch in batches for audio_id in batch.clips())
            raise TrainingError(not_finite("gradient", norm, self.state.step + 1, ids))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return {
            "loss": loss,
            "learning_rate": rate,
            "grad_norm": norm,
            "audio_s": speech_s,
            "tokens": int(tokens),
            "padding_share": 1 - speech_s / padded_s,
            "flops": flops,
        }

    def _backward(self, plan: StepPlan, batches: list[Batch], weight: float, parts: Parts) -> float:
        """Add up the gradients of this process's micro-batches, each computed in parts; give its part of the loss."""
        seed = derive_seed(self.config.seed, plan.stage.index, plan.step_in_stage)
        device, network = self.compute.device, self.whisper.network
        total_loss = 0.0
        for number, batch in zip(self._own(plan), batches, strict=True):
            torch.manual_seed(derive_seed(seed, number))
            mel = self.log_mel(batch.waveforms.to(device, non_blocking=True))
            mel = mask_features(mel, plan.stage.config.augment, batch.mask_seeds, batch.num_frames)
            for rows in parts.rows(len(mel)):
                weights = batch.weights[rows][batch.weights[rows] > 0].to(device)
                with self.compute.autocast():
                    encoded = encode_audio(network, mel[rows])
                    labels, inputs = batch.labels[rows].to(device), batch.inputs[rows].to(device)
                    if self.head is None:
                        losses = token_losses(network, encoded, inputs, labels)
                        loss = (losses * weights).sum() / weight
                    else:
                        times = batch.times[rows].to(device)
                        losses, alignment = alignment_losses(network, self.head, encoded, inputs, labels, times)
                        extra = self.config.alignment_weight * alignment * weights.sum()
                        loss = ((losses * weights).sum() + extra) / weight
                value = loss.item()
                if not math.isfinite(value):
                    clips = batch.clips_not_finite(rows, losses)
                    raise TrainingError(not_finite("loss", value, self.state.step + 1, clips))
                self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
                total_loss += value
        return total_loss

    def _cut_into(self, parts: int) -> None:
        self.state.parts = parts
        self.health.out_of_memory(self.state.step + 1, parts)

    def _validate(self, log: RunLog, plan: StepPlan) -> str | None:
        """Decode, look at the guard sets, and note how good this step is; say why to stop, if the run must."""
        result, guarded = None, list[Guarded]()
        self.model.eval()
        if self.processes.is_first:
            with self.compute.autocast():
                result = self.validator.run()
                guarded = self.guards.compare(self.state.guard_base)
            values = result.metrics | result.signs | {f"guard_{one.name}": one.loss for one in guarded}
            log.event("validation", step=self.state.step, stage=plan.stage.config.name, **values)
            log.event("samples", step=self.state.step, samples=result.samples)
            log.show_validation(result.metrics.get("wer"))
            self.health.after_validation(self.state.step, result.metrics | result.signs)
            figures = [f"{METRICS[name].title} {value:.1%}" for name, value in result.metrics.items()]
            log.say(f"Step {self.state.step}: validation {' · '.join([*figures, *map(str, guarded)])}")
        told = broken_sentence(guarded, self.state.step, self.run) or (result and self.validator.unmeasurable(result))
        broken: str | None = self.processes.from_first(told)
        if broken is None:
            badness = self.processes.from_first(result.badness(self.config.validation.metric) if result else None)
            self._note_badness(log, badness)
            if self.on_validation:
                self.on_validation(self.state.step, badness)
        return broken

    def _note_badness(self, log: RunLog, badness: float) -> None:
        validation, best = self.config.validation, self.state.best
        better = not best or badness < best[0][0] - validation.min_improvement
        self.state.stale = 0 if better else self.state.stale + 1
        self.state.best = sorted([*best, (badness, self.state.step)])[: validation.keep_best]
        if validation.patience is not None and self.state.stale >= validation.patience:
            self.state.ended_early = True
            log.say(f"Ending at step {self.state.step}: {self.state.stale} validations without a better one.")

    def _save(self) -> None:
        """Checkpoint; then, when this step is the best yet, make it `best/`; then let old checkpoints go."""
        if not self.processes.is_first:
            return
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
        if self.processes.is_first:
            # A run that was killed between a checkpoint and this copy would else end with the best model before it.
            bring_up_to_date(checkpoint_path(self.run, step) / "model", self.run / "best")
        speed = self.state.audio_s / self.state.train_s
        name = self.config.validation.metric
        metric = abs(badness)
        log.say(f"Done: best {METRICS[name].title} {metric:.1%} at step {step}; {speed:.0f} audio-s/s.")
        log.say(f"The model is in {self.run / 'best'}.")
        log.event("end", step=self.state.step, best_metric=metric, best_step=step, train_s=self.state.train_s)
        if self.config.push_to and self.processes.is_first:
            log.say(push(self.run, self.config, f"{METRICS[name].title} {metric:.1%} in validation at step {step}"))
        self.processes.close()
        return TrainSummary(self.run, self.state.step, metric, step, self.state.train_s, self.state.audio_s)
