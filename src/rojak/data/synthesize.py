"""Make a corpus of Malaysian speech with exact labels, offline: `rojak synthesize`.

Sentences come from a grammar (`sentences.py`, `switching.py`), voices from libespeak-ng (`espeak.py`, `speakers.py`),
noise from `noise.py`. Writes, in the layout that `prepare` reads:

    OUT/{train,validation,test}/transcripts.json      object of id -> item
    OUT/<split>/audio/<id>.flac                       16 kHz mono
    OUT/synthesis.json                                what was asked for and the versions that made it

The same settings and seed give the same bytes, whatever the number of workers: the plan is made first, and its blocks of
fixed size are each spoken in a fresh process (`render.py`). Speakers and sentences of the splits are disjoint, and stay so
across corpora of other seeds. Everything goes to a folder beside OUT that is renamed when whole.

libespeak-ng is GPL-3 and loaded at run time only to make speech; word lists derive in part from wordfreq (CC BY-SA 4.0).
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import rojak
from rojak.data.sentences import Sentence
from rojak.data.speakers import MAX_SPEAKERS, MIN_SPEAKERS, SyntheticSpeaker, build_speakers
from rojak.data.switching import mixed_sentence, monolingual_sentence
from rojak.errors import ConfigError, InputError, RojakError
from rojak.records import LANGUAGES, SPLITS, Split, Utterance, Word, quality_from_snr

BLOCK_SIZE = 100
"""Utterances spoken by one process. Part of what decides the bytes."""

SNR_BUCKETS_DB = ((0.0, 5.0), (5.0, 10.0), (10.0, 15.0), (15.0, 20.0))
ENVIRONMENTS = {"babble": 0.28, "pink": 0.22, "hum": 0.14, "reverb+pink": 0.18, "reverb+babble": 0.12, "hum+pink": 0.06}
_SPLIT_HOURS: dict[Split, float] = {"train": 0.80, "validation": 0.08, "test": 0.12}
_CROWD_SIZE = 6

_SECONDS_A_LETTER = {"ms": 0.0745, "en": 0.0745, "zh": 0.235, "ta": 0.0745, "particle": 0.1, "other": 0.0745}
_SECONDS_A_CLIP = 0.45
"""How long a clip is, roughly: at 150 words a minute, by letters (Tamil counts vowel signs too). Only sizes the plan."""


@dataclass(frozen=True)
class Settings:
    """What kind of corpus to make.

    Attributes:
        kinds: Shares of utterances by language, `ms en zh ta mixed`; need not sum to 1.
        particle_share: Share of monolingual Malay and English sentences that get particles.
        mixed_particle_share: The same for code-switched sentences.
        noisy_share: Share of utterances with added noise at a known ratio.
        num_speakers: How many of the 96 fixed speakers are heard, at least 24.
    """

    kinds: dict[str, float] = field(
        default_factory=lambda: {"ms": 0.2, "en": 0.2, "zh": 0.12, "ta": 0.12, "mixed": 0.36}
    )
    particle_share: float = 0.25
    mixed_particle_share: float = 0.5
    noisy_share: float = 0.25
    num_speakers: int = 48


CLEAN_MONOLINGUAL = Settings(
    kinds={"ms": 0.25, "en": 0.25, "zh": 0.25, "ta": 0.25}, particle_share=0.0, noisy_share=0.0
)
"""What the base model learns from: four languages, each by itself, no particles, no noise."""


@dataclass(frozen=True)
class SynthesisSummary:
    """What was made: utterances and hours by split, speakers, seconds spent; `already_there` when nothing had to be."""

    out_dir: Path
    num_utterances: dict[str, int]
    hours: dict[str, float]
    num_speakers: int
    elapsed_s: float
    already_there: bool = False

    @property
    def real_time_factor(self) -> float:
        """Seconds of speech made in a second."""
        return sum(self.hours.values()) * 3600 / max(self.elapsed_s, 1e-9)


def synthesize(
    out_dir: Path,
    hours: float,
    seed: int,
    *,
    settings: Settings | None = None,
    workers: int | None = None,
    show_progress: bool = True,
) -> SynthesisSummary:
    """Make about `hours` of speech (within some percent) in `out_dir`.

    Args:
        out_dir: New or empty folder, or one that holds this very corpus already (then nothing is done).
        hours: Hours of all splits together: 80 % train, 8 % validation, 12 % test.
        seed: Whole number from 0; same seed and settings, same bytes.
        settings: Kind of corpus; the default is the mix that fine-tuning wants.
        workers: Processes at a time; all cores by default. Does not change the result.
        show_progress: Draw a bar with rate and time left on stderr.

    Raises:
        ConfigError: A setting is out of range.
        InputError: `out_dir` holds something else, or cannot be written.
    """
    settings = settings or Settings()
    _check_settings(hours, seed, settings)
    wanted = _describe(hours, seed, settings)
    out_dir = Path(out_dir)
    if _holds_corpus(out_dir, wanted):
        return _summarise_existing(out_dir)
    started = time.perf_counter()
    plan = {split: _plan_split(split, hours, seed, settings) for split in SPLITS}
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        partial_dir = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.partial-", dir=out_dir.parent))
    except OSError as error:
        raise _unwritable(out_dir, error.strerror or str(error)) from None
    try:
        answers = _render(plan, partial_dir, seed, workers or _num_cores(), show_progress)
        _write_corpus(plan, answers, partial_dir, wanted)
        partial_dir.chmod(0o755)  # mkdtemp makes it private
        if out_dir.exists():
            out_dir.rmdir()
        partial_dir.rename(out_dir)
    except OSError as error:
        raise _unwritable(out_dir, error.strerror or str(error)) from None
    finally:
        shutil.rmtree(partial_dir, ignore_errors=True)
    return SynthesisSummary(
        out_dir,
        {split: len(items) for split, items in plan.items()},
        {split: sum(answers[item.audio_id]["duration"] for item in items) / 3600 for split, items in plan.items()},
        len({item.speaker.speaker_id for items in plan.values() for item in items}),
        time.perf_counter() - started,
    )


@dataclass(frozen=True)
class PlannedUtterance:
    """A sentence and how it will be spoken; `environment` and `snr_db` only for noisy ones."""

    audio_id: str
    sentence: Sentence
    speaker: SyntheticSpeaker
    environment: str | None = None
    snr_db: float | None = None

    def to_block_item(self) -> dict[str, Any]:
        """Give what `render.render_block` needs."""
        item = {"audio_id": self.audio_id, "speaker": self.speaker.index, "words": self.sentence.words}
        return item if self.environment is None else item | {"environment": self.environment, "snr_db": self.snr_db}


def _plan_split(split: Split, hours: float, seed: int, settings: Settings) -> list[PlannedUtterance]:
    """Draw a split's utterances until their estimated length is reached."""
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    speakers = [speaker for speaker in build_speakers(settings.num_speakers) if speaker.split == split]
    items: list[PlannedUtterance] = []
    left_s = hours * 3600 * _SPLIT_HOURS[split]
    while left_s > 0 or not items:
        if len(items) % len(speakers) == 0:
            order = rng.permutation(len(speakers))
        speaker = speakers[order[len(items) % len(speakers)]]
        sentence = _draw_sentence(split, rng, settings)
        environment, snr_db = None, None
        if rng.random() < settings.noisy_share:
            environment = list(ENVIRONMENTS)[rng.choice(len(ENVIRONMENTS), p=list(ENVIRONMENTS.values()))]
            snr_db = round(float(rng.uniform(*SNR_BUCKETS_DB[rng.integers(len(SNR_BUCKETS_DB))])), 2)
        items.append(PlannedUtterance(f"{split}-{len(items):06d}", sentence, speaker, environment, snr_db))
        left_s -= _estimate_seconds(sentence, speaker)
    return items


def _draw_sentence(split: Split, rng: np.random.Generator, settings: Settings) -> Sentence:
    """Draw sentences of one kind until one belongs to the split."""
    shares = np.array(list(settings.kinds.values()), dtype=float)
    kind = list(settings.kinds)[rng.choice(len(shares), p=shares / shares.sum())]
    while True:
        if kind == "mixed":
            sentence = mixed_sentence(rng, settings.mixed_particle_share)
        else:
            sentence = monolingual_sentence(kind, rng, settings.particle_share)  # type: ignore[arg-type]
        if sentence.split == split:
            return sentence


def _estimate_seconds(sentence: Sentence, speaker: SyntheticSpeaker) -> float:
    letters_s = sum(_SECONDS_A_LETTER[language] * len(word) for word, language in sentence.words)
    return _SECONDS_A_CLIP + letters_s * 150 / speaker.voice.rate / speaker.tract


def _render(
    plan: dict[Split, list[PlannedUtterance]], partial_dir: Path, seed: int, workers: int, show_progress: bool
) -> dict[str, dict[str, Any]]:
    """Speak the blocks of a plan, each in a process of its own; gives audio_id -> answer of `render_block`."""
    blocks = []
    for split, items in plan.items():
        audio_dir = partial_dir / split / "audio"
        audio_dir.mkdir(parents=True)
        for start in range(0, len(items), BLOCK_SIZE):
            blocks.append(_build_block(items, start, audio_dir, seed))
    answers: dict[str, dict[str, Any]] = {}
    bar = Progress(
        TextColumn("synthesize"), BarColumn(), TextColumn("{task.completed}/{task.total} clips · {task.fields[rate]}"),
        TimeRemainingColumn(), console=Console(stderr=True), disable=not show_progress,
    )  # fmt: skip
    with bar, ThreadPoolExecutor(workers) as pool:
        task = bar.add_task("", total=sum(map(len, plan.values())), rate="")
        started = time.perf_counter()
        pending: set[Future[list[dict[str, Any]]]] = {pool.submit(_run_block, block, partial_dir) for block in blocks}
        try:
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                answers.update((answer["audio_id"], answer) for future in done for answer in future.result())
                made_s = sum(answer["duration"] for answer in answers.values())
                rate = f"{made_s / (time.perf_counter() - started):.0f} × real time"
                bar.update(task, completed=len(answers), rate=rate)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return answers


def _build_block(items: Sequence[PlannedUtterance], start: int, audio_dir: Path, seed: int) -> dict[str, Any]:
    """Take `BLOCK_SIZE` utterances and a crowd of other sentences for their babble."""
    picked = np.random.default_rng([seed, start]).integers(len(items), size=_CROWD_SIZE)
    crowd = [items[i].to_block_item() | {"audio_id": f"crowd-{number}"} for number, i in enumerate(picked)]
    block_items = [item.to_block_item() for item in items[start : start + BLOCK_SIZE]]
    return {"seed": seed, "audio_dir": str(audio_dir), "items": block_items, "crowd": crowd}


def _run_block(block: dict[str, Any], partial_dir: Path) -> list[dict[str, Any]]:
    source_dir = str(Path(rojak.__file__).parents[1])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [source_dir, os.environ.get("PYTHONPATH")]))
    ran = subprocess.run(
        [sys.executable, "-m", "rojak.data.render"],
        input=json.dumps(block), capture_output=True, text=True, encoding="utf-8", env=environment, check=False,
    )  # fmt: skip
    if ran.returncode == 3:
        raise _unwritable(partial_dir.parent, ran.stderr.strip())
    if ran.returncode != 0:
        last_line = (ran.stderr.strip().splitlines() or ["no message"])[-1]
        raise RojakError(f"A speaking process ended with code {ran.returncode} ({last_line}); run the command again.")
    answers: list[dict[str, Any]] = json.loads(ran.stdout)
    return answers


def _write_corpus(
    plan: dict[Split, list[PlannedUtterance]],
    answers: dict[str, dict[str, Any]],
    partial_dir: Path,
    wanted: dict[str, Any],
) -> None:
    """Write the transcripts of each split and, last, the description of the whole."""
    for split, items in plan.items():
        lines = (
            f"{json.dumps(item.audio_id)}: {json.dumps(_to_record(item, answers[item.audio_id], split), ensure_ascii=False)}"
            for item in items
        )
        text = "{\n" + ",\n".join(lines) + "\n}\n"
        (partial_dir / split / "transcripts.json").write_text(text, encoding="utf-8")
    text = json.dumps(wanted, indent=2, ensure_ascii=False) + "\n"
    (partial_dir / "synthesis.json").write_text(text, encoding="utf-8")


def _to_record(item: PlannedUtterance, answer: dict[str, Any], split: Split) -> dict[str, Any]:
    """Give the record of an utterance, as `prepare` reads it."""
    record = Utterance(
        audio_id=item.audio_id,
        audio_filepath=f"audio/{item.audio_id}.flac",
        text=item.sentence.text,
        duration=answer["duration"],
        speaker_id=item.speaker.speaker_id,
        language=item.sentence.language,
        words=tuple(
            Word(word=word, language=language, start=start, end=end)
            for (word, language), (start, end) in zip(item.sentence.words, answer["times"], strict=True)
        ),
        code_switches=item.sentence.code_switches,
        quality_score=5 if item.snr_db is None else quality_from_snr(item.snr_db),
        snr_db=item.snr_db,
        added_snr_db=item.snr_db,
        accent="synthetic",
        domain=item.sentence.topic,
        recording_environment=item.environment or "clean",
        source="rojak-synthetic",
        split=split,
    )
    fields = record.to_dict()
    del fields["audio_id"]  # the key of the item
    return fields


def _check_settings(hours: float, seed: int, settings: Settings) -> None:
    if not 0 < hours <= 10_000:
        raise ConfigError(f"hours is {hours}; it must be above 0 and at most 10000.")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be a whole number from 0.")
    allowed = (*LANGUAGES, "mixed")
    unknown = [kind for kind in settings.kinds if kind not in allowed]
    if unknown:
        raise ConfigError(f"kinds has '{unknown[0]}'; allowed are {', '.join(allowed)}.")
    if any(share < 0 for share in settings.kinds.values()) or sum(settings.kinds.values()) <= 0:
        raise ConfigError("kinds must be shares from 0, and at least one of them above 0.")
    for name in ("particle_share", "mixed_particle_share", "noisy_share"):
        if not 0 <= getattr(settings, name) <= 1:
            raise ConfigError(f"{name} is {getattr(settings, name)}; it must be from 0 to 1.")
    if not MIN_SPEAKERS <= settings.num_speakers <= MAX_SPEAKERS:
        raise ConfigError(f"num_speakers is {settings.num_speakers}; it must be from {MIN_SPEAKERS} to {MAX_SPEAKERS}.")


def _describe(hours: float, seed: int, settings: Settings) -> dict[str, Any]:
    """Say what decides the bytes of a corpus."""
    versions = {name: version(name) for name in ("espeakng-loader", "numpy", "soundfile", "soxr")}
    return {
        "hours": hours, "seed": seed, "settings": asdict(settings), "block_size": BLOCK_SIZE,
        "versions": {"rojak": rojak.__version__, **versions},
    }  # fmt: skip


def _holds_corpus(out_dir: Path, wanted: dict[str, Any]) -> bool:
    """Tell whether a folder holds the corpus asked for; False when it is missing or empty.

    Raises:
        InputError: It holds anything else.
    """
    if out_dir.is_dir() and not any(out_dir.iterdir()):
        return False
    if not out_dir.exists():
        return False
    try:
        if json.loads((out_dir / "synthesis.json").read_text(encoding="utf-8")) == wanted:
            return True
    except (OSError, ValueError):
        raise InputError(f"{out_dir} is not empty and holds no synthesis; name a new or empty folder.") from None
    raise InputError(
        f"{out_dir} holds a synthesis with another length, seed, settings or versions (see its synthesis.json); "
        "name a new folder or delete this one."
    )


def _summarise_existing(out_dir: Path) -> SynthesisSummary:
    """Read what an earlier run made."""
    corpora = {
        split: json.loads((out_dir / split / "transcripts.json").read_text(encoding="utf-8")) for split in SPLITS
    }
    return SynthesisSummary(
        out_dir,
        {split: len(items) for split, items in corpora.items()},
        {split: sum(item["duration"] for item in items.values()) / 3600 for split, items in corpora.items()},
        len({item["speaker_id"] for items in corpora.values() for item in items.values()}),
        elapsed_s=0.0,
        already_there=True,
    )


def _unwritable(out_dir: Path, reason: str) -> InputError:
    return InputError(
        f"{out_dir} cannot be written: {reason}; nothing was left there, choose another place or make room."
    )


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
