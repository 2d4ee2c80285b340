"""What happened in a run, in a few sentences: told at its end, in the report and by `rojak watch`.

Reads the events of RUN/log.jsonl; appends its own, `summary`, which the report shows.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from rojak.errors import InputError, RojakError
from rojak.runs import read_jsonl
from rojak.train.checkpoint import RunState
from rojak.train.runlog import RunLog

Row = Mapping[str, Any]


@contextmanager
def tell_what_happened(log: RunLog, state: RunState) -> Iterator[None]:
    """Write and print the summary when the block ends, however it ends; a failure is noted in the log first."""
    try:
        yield
    except RojakError as error:
        with suppress(InputError):  # the disk may be full, and that be what failed
            log.event("failed", step=state.step, message=str(error))
        raise
    finally:
        lines = what_happened(read_jsonl(log.path))
        with suppress(InputError):
            log.event("summary", step=state.step, lines=lines)
        log.say("\n  ".join(["What happened:", *lines]))


def what_happened(rows: Sequence[Row]) -> list[str]:
    """Sum up a run's events: how far it came, what was learnt, and every finding with its remedy."""
    train = [row for row in rows if row.get("event") == "train"]
    if not train:
        return [*_ending(rows), "No step was logged."]
    lines = [*_ending(rows), _progress(rows, train), *_learning(rows, train)]
    findings = [row for row in rows if row.get("event") == "health"]
    lines += [f"Step {row['step']}: {row['message']}" for row in findings]
    return lines if findings else [*lines, "Nothing unusual was seen."]


def _ending(rows: Sequence[Row]) -> list[str]:
    """Say how the run ended when it was not by its last step."""
    for row in reversed(rows):
        match row.get("event"):
            case "failed":
                return [f"It failed after step {row['step']}: {row['message']}"]
            case "stopped":
                return [f"It was stopped after step {row['step']}; the same command continues it."]
            case "train" | "end":
                return []
    return []


def _progress(rows: Sequence[Row], train: Sequence[Row]) -> str:
    total = next((row["total_steps"] for row in reversed(rows) if row.get("event") == "start"), train[-1]["step"])
    # Stages shorter than `log_every_steps` have no row of their own.
    begun = [row["stage"] for row in rows if row.get("event") == "stage"]
    stages = list(dict.fromkeys([*begun, *(row["stage"] for row in train)]))
    speeds = sorted(row["audio_s_per_s"] for row in train)
    where = f"stage {stages[0]}" if len(stages) == 1 else f"stages {', '.join(stages)}"
    return (
        f"{train[-1]['step']} of {total} steps were taken ({where}), at {speeds[len(speeds) // 2]:.0f} "
        "seconds of audio a second."
    )


def _learning(rows: Sequence[Row], train: Sequence[Row]) -> list[str]:
    # Stages differ in difficulty, so losses are compared within the last one.
    own = [row for row in train if row["stage"] == train[-1]["stage"]]
    few = max(1, len(own) // 20)
    first, last = (sum(row["loss"] for row in part) / few for part in (own[:few], own[-few:]))
    verb = "fell" if last < first else "rose"
    told = f"{verb} from {first:.2f} to {last:.2f}" if len(own) > 1 else f"was {first:.2f}"
    lines = [f"The training loss of stage {own[-1]['stage']} {told}."]
    checks = [row for row in rows if row.get("event") == "validation" and row.get("wer") is not None]
    if checks:
        best = min(checks, key=lambda row: float(row["wer"]))
        lines.append(
            f"Validation WER was {checks[0]['wer']:.1%} at step {checks[0]['step']}, at its best {best['wer']:.1%} "
            f"at step {best['step']}, and {checks[-1]['wer']:.1%} at the last validation."
        )
    return lines
