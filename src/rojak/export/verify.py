"""`rojak verify A B`: do two forms of a model say the same? Transcribes the same clips with both.

Reads two models and prepared data, or made speech where no data is given; gives a `Verdict`, which `rojak export` keeps
in `export.json`. It also decides `trim_safe`: whether the model is as good when it sees only the clip.
"""

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rojak.audio import Samples, decode_audio
from rojak.data.dataset import Dataset, prompt_language
from rojak.data.synthesize import synthesize
from rojak.evaluate.align import align
from rojak.evaluate.counts import count_edits
from rojak.evaluate.stats import bootstrap_sums, percentile_interval
from rojak.export.runtime import Decoded, Runtime, RuntimeOptions
from rojak.records import SPLITS, Split, Utterance
from rojak.text.normalize import normalize, normalizer_name
from rojak.text.units import words

FLOATS = ("float32", "float16", "bfloat16", "f16")
MIN_SAME_TEXT = 0.99
"""Share of clips whose text must be the same in float formats."""
MAX_WER_LOSS = 0.5
"""Points of WER that 8 bits and fewer may cost."""
MAX_TRIM_LOSS = 0.3
"""Points of WER that a trimmed context may cost a model that is called trim-safe."""
DEFAULT_CLIPS = 128
MADE_HOURS, MADE_SEED = 0.15, 77
RESAMPLES, BOOTSTRAP_SEED = 10_000, 7
NUM_EXAMPLES = 5

Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Clip:
    """A recording with what is said in it and the language code to prompt with."""

    audio_id: str
    samples: Samples
    reference: str
    language: str


@dataclass(frozen=True)
class Loss:
    """Points of WER that one way of hearing costs against another, with a 95 % interval over the clips."""

    points: float
    low: float
    high: float

    def is_certain(self, limit: float) -> bool:
        """Tell whether the whole interval lies on one side of a limit."""
        return self.high <= limit or self.low > limit

    def clips_wanted(self, limit: float, num_clips: int) -> int | None:
        """Estimate how many clips would make it certain; None where it already is, or no number would.

        The interval shrinks with the square root of the number of clips.
        """
        gap = abs(limit - self.points)
        if self.is_certain(limit) or gap == 0:
            return None
        half = max(self.high - self.points, self.points - self.low)
        return math.ceil(num_clips * (half / gap) ** 2 / 10) * 10

    def __str__(self) -> str:
        return f"{self.points:+.2f} points [{self.low:+.2f}, {self.high:+.2f}]"


@dataclass(frozen=True)
class Verdict:
    """What `rojak verify` found; rates are percent.

    Attributes:
        a: The model held to be right.
        b: The model in question.
        passed: Whether B is within the tolerance.
        rule: The tolerance in words.
        num_clips: Clips that both heard.
        data: What they came from.
        same_text: Share of clips with equal text, 0–1.
        same_tokens: Share of clips with equal tokens, 0–1; None where the vocabularies differ.
        wer_a: Against the references.
        wer_b: Against the references.
        wer_loss: From A to B.
        certain: Whether the clips are enough for the verdict on the error rate; verdicts on equal text always are.
        word_time_difference_s: Mean distance of word beginnings where both give times and the text is equal.
        wer_b_trim: WER of B when it sees only the clip.
        trim_loss: From 30 s to the clip alone.
        trim_safe: Whether that is as good.
        trim_certain: Whether the clips are enough to say so.
        examples: Some clips with different text.
        normalizer: Under which WER is counted.
    """

    a: str
    b: str
    passed: bool
    rule: str
    num_clips: int
    data: str
    same_text: float
    same_tokens: float
    wer_a: float
    wer_b: float
    wer_loss: Loss
    certain: bool
    word_time_difference_s: float | None
    wer_b_trim: float
    trim_loss: Loss
    trim_safe: bool
    trim_certain: bool
    examples: list[dict[str, str]]
    normalizer: str

    def as_dict(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        return asdict(self)

    def doubts(self) -> list[str]:
        """Give a sentence for each decision that the clips are too few for."""
        asked = (
            (self.certain, self.wer_loss, MAX_WER_LOSS, f"the error rate of {self.b} is"),
            (self.trim_certain, self.trim_loss, MAX_TRIM_LOSS, "hearing only the clip is"),
        )
        found = []
        for certain, loss, limit, what in asked:
            if not certain:
                wanted = loss.clips_wanted(limit, self.num_clips)
                more = f"about {wanted} would do" if wanted else "no number of such clips would do"
                found.append(
                    f"{self.num_clips} clips are too few to be sure that {what} at most {limit} points worse: found "
                    f"were {loss}; {more}."
                )
        return found


def verify(a: Runtime, b: Runtime, dtype: str, clips: Sequence[Clip], data: str, max_new_tokens: int = 224) -> Verdict:
    """Transcribe clips with two models and compare.

    Args:
        a: The model held to be right.
        b: The model in question.
        dtype: Number format of B; decides the tolerance.
        clips: At least one.
        data: What the clips came from, for the record.
        max_new_tokens: Longest transcript of a clip.
    """
    options = RuntimeOptions(max_new_tokens=max_new_tokens, word_times=True, restore_particles=False)
    heard_a, heard_b = _hear(a, clips, options), _hear(b, clips, options)
    trimmed = _hear(b, clips, replace(options, context="trim", words=False, word_times=False))
    same = [left.text == right.text for left, right in zip(heard_a, heard_b, strict=True)]
    same_tokens = [left.tokens == right.tokens for left, right in zip(heard_a, heard_b, strict=True)]
    counts_a, counts_b, counts_trim = (count_errors(clips, heard) for heard in (heard_a, heard_b, trimmed))
    wer_loss, trim_loss = measure_loss(counts_a, counts_b), measure_loss(counts_b, counts_trim)
    if dtype in FLOATS:
        passed, rule = float(np.mean(same)) >= MIN_SAME_TEXT, f"same text on {MIN_SAME_TEXT:.0%} of clips"
    else:
        passed, rule = wer_loss.points <= MAX_WER_LOSS, f"WER at most {MAX_WER_LOSS} points worse"
    differing = [
        {"audio_id": clip.audio_id, "a": left.text, "b": right.text}
        for clip, left, right, equal in zip(clips, heard_a, heard_b, same, strict=True)
        if not equal
    ]
    return Verdict(
        a=a.name,
        b=b.name,
        passed=bool(passed),
        rule=rule,
        num_clips=len(clips),
        data=data,
        same_text=float(np.mean(same)),
        same_tokens=float(np.mean(same_tokens)),
        wer_a=_percent(counts_a),
        wer_b=_percent(counts_b),
        wer_loss=wer_loss,
        certain=dtype in FLOATS or wer_loss.is_certain(MAX_WER_LOSS),
        word_time_difference_s=_time_difference(heard_a, heard_b),
        wer_b_trim=_percent(counts_trim),
        trim_loss=trim_loss,
        trim_safe=trim_loss.points <= MAX_TRIM_LOSS,
        trim_certain=trim_loss.is_certain(MAX_TRIM_LOSS),
        examples=differing[:NUM_EXAMPLES],
        normalizer=normalizer_name(),
    )


def _hear(runtime: Runtime, clips: Sequence[Clip], options: RuntimeOptions) -> list[Decoded]:
    return runtime.transcribe([clip.samples for clip in clips], [clip.language for clip in clips], options)


def count_errors(clips: Sequence[Clip], heard: Sequence[Decoded]) -> Counts:
    """Give word errors and reference words of each clip, `(clips, 2)`, under Rojak's normaliser."""
    rows = []
    for clip, result in zip(clips, heard, strict=True):
        reference, hypothesis = words(normalize(clip.reference)), words(normalize(result.text))
        counts = count_edits(align(reference, hypothesis))
        rows.append((counts["substitutions"] + counts["deletions"] + counts["insertions"], counts["words"]))
    return np.array(rows, np.float64)


def _percent(counts: Counts) -> float:
    """Give the corpus WER."""
    errors, total = counts.sum(axis=0)
    return float(100 * errors / max(1, total))


def measure_loss(before: Counts, after: Counts) -> Loss:
    """Give the difference of two error rates over the same clips, resampled together.

    Clips without any difference leave the bootstrap nothing to draw, yet one in 3/n of the clips may differ unseen (the
    rule of three, Hanley and Lippman-Hand 1983): so the interval reaches at least a word in 3/n of the clips upwards.
    """
    words_total = max(1.0, float(before[:, 1].sum()))
    points = 100 * float(after[:, 0].sum() - before[:, 0].sum()) / words_total
    sums = bootstrap_sums(np.column_stack([after[:, 0] - before[:, 0], before[:, 1]]), RESAMPLES, BOOTSTRAP_SEED)
    found = percentile_interval(100 * sums[:, 0] / np.maximum(1.0, sums[:, 1]))
    low, high = found or (points, points)
    return Loss(points, low, max(high, points + 300 / words_total))


def _time_difference(heard_a: Sequence[Decoded], heard_b: Sequence[Decoded]) -> float | None:
    """Give the mean distance of the words' beginnings over clips on which both agree; None where one has no times."""
    distances = [
        abs(left.start - right.start)
        for one, other in zip(heard_a, heard_b, strict=True)
        if one.text == other.text
        for left, right in zip(one.words, other.words, strict=True)
        if left.start is not None and right.start is not None
    ]
    return float(np.mean(distances)) if distances else None


def prepared_clips(data_dir: Path, splits: Sequence[Split], max_clips: int) -> list[Clip]:
    """Take clips out of prepared data, spread evenly.

    Raises:
        InputError: No prepared data there.
    """
    data = Dataset(data_dir, splits)
    count = min(max_clips, len(data))
    return [
        _clip(data.utterances[index], data.read_audio(index))
        for index in (number * len(data) // count for number in range(count))
    ]


def made_clips(max_clips: int) -> list[Clip]:
    """Make synthetic speech, the same every time; about nine minutes of sound."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made"
        synthesize(made, MADE_HOURS, MADE_SEED, workers=1, show_progress=False)
        found = []
        for split in SPLITS:
            items = json.loads((made / split / "transcripts.json").read_text(encoding="utf-8"))
            for audio_id, item in items.items():
                utterance = Utterance.model_validate(item | {"audio_id": audio_id})
                samples = decode_audio(made / split / item["audio_filepath"]).samples
                found.append(_clip(utterance, samples))
    return [found[number * len(found) // max_clips] for number in range(max_clips)] if len(found) > max_clips else found


def _clip(utterance: Utterance, samples: Samples) -> Clip:
    return Clip(utterance.audio_id, samples, utterance.text, prompt_language(utterance, "matrix"))
