"""Where the errors are: by slice, by noise, by particle, by language, by switch."""

from collections.abc import Mapping, Sequence

from rojak.evaluate.metrics import METRICS
from rojak.evaluate.report.charts import Axis, Line, Point, legend, panel, strip, strip_scale
from rojak.evaluate.report.figures import bar, heat, jump, number, row, said, table, value_alone, value_with_interval
from rojak.evaluate.report.html import Child, Html, element, join
from rojak.evaluate.results import Cell, Scores
from rojak.evaluate.show import SLICE_COLUMNS
from rojak.evaluate.slices import FEW_UTTERANCES
from rojak.evaluate.tables import NOTHING, OTHER_WORD, Confusion, Detection, TaggerAgreement
from rojak.records import LANGUAGES

MAX_PARTS = 40
"""Parts of a slicing that are shown, those with most utterances; the others are counted."""
MAX_PARTICLES = 12
"""Particles in the confusion table, the most frequent ones."""

NOISE_SLICE = "added_snr"
SLICING_TITLES = {
    "language": "Language",
    "language_pair": "Languages in the utterance",
    "added_snr": "Added noise (SNR)",
    "speaker_id": "Speaker",
    "domain": "Domain",
    "accent": "Accent",
    "duration": "Duration",
    "cmi": "Code-mixing index",
    "source": "Source",
}
LANGUAGE_TITLES = {"ms": "Malay", "en": "English", "zh": "Mandarin", "ta": "Tamil", "mixed": "mixed"}
_SLICING_ORDER = ("language", "language_pair", "added_snr", "speaker_id", "domain", "duration", "cmi")
_OPEN = ("language", "language_pair", "added_snr", "cmi")
_STRIP_CEILING = 1.0
_NOISE_PANELS = ("wer", "language_accuracy", "particle_recall")


def slices_section(systems: Sequence[Scores]) -> Html:
    """Lay out WER and its companions for every part of every slicing."""
    first = systems[0]
    names = sorted(first.slices, key=lambda name: _SLICING_ORDER.index(name) if name in _SLICING_ORDER else 99)
    parts: list[Child] = [legend([scores.system for scores in systems])]
    single = []
    for name in names:
        if len(first.slices[name]) == 1:
            single.append(f"{SLICING_TITLES.get(name, name).lower()} {next(iter(first.slices[name]))}")
        else:
            parts.append(_slicing(name, systems))
    if single:
        parts.append(element("p", f"The same for every utterance: {'; '.join(single)}.", class_="small"))
    if not first.slices:
        parts.append(element("p", "The rows hold no field to slice by.", class_="none"))
    few = f"Parts with fewer than {FEW_UTTERANCES} utterances are dimmed and marked *: their numbers say little."
    return join([*parts, element("p", few, class_="small")])


def _slicing(name: str, systems: Sequence[Scores]) -> Html:
    first, *others = systems
    parts = first.slices[name]
    shown = most_frequent(parts)
    cells = [scores.slices.get(name, {}).get(part) for scores in systems for part in shown]
    tops = [cell.metrics["wer"].high or cell.metrics["wer"].value or 0 for cell in cells if cell]
    high = min(max([0.1, *tops]), _STRIP_CEILING)
    scale = join(["WER ", strip_scale(high, lambda value: f"{100 * value:.0f}")])
    head: list[Child] = [SLICING_TITLES.get(name, name), "Utterances", f"WER {first.system}", scale]
    head += [f"WER {scores.system}" for scores in others]
    head += [METRICS[metric].title for metric in SLICE_COLUMNS if metric != "wer"]
    rows = [_part(name, part, systems, high) for part in shown]
    title = f"{SLICING_TITLES.get(name, name)} ({len(parts)})"
    left = len(parts) - len(shown)
    more = f"{left} more parts with fewer utterances are in metrics.json."
    return element(
        "details",
        element("summary", title),
        table(head, rows, class_="slices", caption=f"By {SLICING_TITLES.get(name, name).lower()}", show_caption=False),
        element("p", more, class_="small") if left else None,
        open=name in _OPEN,
    )


def most_frequent(parts: Mapping[str, Cell]) -> list[str]:
    """Give the `MAX_PARTS` parts with most utterances, in the order of the slicing."""
    chosen = set(sorted(parts, key=lambda part: -parts[part].utterances)[:MAX_PARTS])
    return [part for part in parts if part in chosen]


def _part(name: str, part: str, systems: Sequence[Scores], high: float) -> Html:
    first = systems[0]
    cell = first.slices[name][part]
    others = [scores.slices.get(name, {}).get(part) for scores in systems[1:]]
    values = [
        (said(scores.system, found.metrics["wer"]), found.metrics["wer"].value, *_interval(found))
        if found
        else (f"{scores.system}: not measured", None, None, None)
        for scores, found in zip(systems, [cell, *others], strict=True)
    ]
    title = LANGUAGE_TITLES.get(part, part) if name == "language" else part
    return row(
        # Noise may have been measured on copies that are not among the utterances; those cannot be shown.
        jump(title, f"{name}/{part}") if len(first.labels.get(name, {}).get(part, ())) == cell.utterances else title,
        f"{cell.utterances:,}{'*' if cell.few else ''}",
        value_with_interval(cell.metrics["wer"]),
        element("td", strip(values, high), class_="drawn"),
        *(number(found.metrics["wer"].value if found else None) for found in others),
        *(value_alone(cell.metrics[metric], METRICS[metric].unit) for metric in SLICE_COLUMNS if metric != "wer"),
        class_="few" if cell.few else None,
    )


def _interval(cell: Cell) -> tuple[float | None, float | None]:
    return cell.metrics["wer"].low, cell.metrics["wer"].high


def noise_section(systems: Sequence[Scores]) -> Html | None:
    """Draw measures against added noise; None where fewer than two levels were measured."""
    levels = list(systems[0].slices.get(NOISE_SLICE, {}))
    if len(levels) < 2:
        return None
    x = Axis(-0.3, len(levels) - 0.7, lambda place: levels[round(place)], "added noise", range(len(levels)))
    drawn = []
    for name in _NOISE_PANELS:
        lines = [Line(scores.system, _levels(scores, levels, name), style) for style, scores in enumerate(systems)]
        lines = [line for line in lines if line.points]
        if lines:
            tops = [point.high or point.y for line in lines for point in line.points]
            top = min(1.06 * max(tops), 1.2) if METRICS[name].better == "lower" else 1.0
            drawn.append(panel(f"{METRICS[name].title} by noise", lines, x, Axis(0, top, _whole_percent)))
    return join([legend([scores.system for scores in systems]), element("div", *drawn, class_="panels")])


def _levels(scores: Scores, levels: Sequence[str], metric: str) -> list[Point]:
    found = []
    for place, level in enumerate(levels):
        cell = scores.slices.get(NOISE_SLICE, {}).get(level)
        value = cell.metrics[metric] if cell else None
        if value is not None and value.value is not None:
            found.append(Point(place, value.value, value.low, value.high))
    return found


def _whole_percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def particles_section(systems: Sequence[Scores]) -> Html:
    """Lay out recall and precision of each particle, and what was heard in its place."""
    first = systems[0]
    if not first.particles:
        return element("p", "No particles were said or heard: not measured.", class_="none")
    found = _detections("Particle", "particle", [scores.particles for scores in systems], systems)
    summary = first.summary
    means = ", ".join(
        f"{kind} {number(summary.get(f'particle_macro_{kind}'))}" for kind in ("recall", "precision", "f1")
    ).replace("f1", "F1")
    often = sorted(first.particles, key=lambda name: -first.particles[name].said - first.particles[name].heard)
    shown = [name for name in first.particles if name in often[:MAX_PARTICLES]]
    matrices = []
    for scores in systems:
        caption = f"Particle said (row) and heard (column), % of the row – {scores.system}"
        matrices.append(_matrix(caption, scores.particle_confusion, [*shown, OTHER_WORD, NOTHING]))
    note = f"Mean over particles said, {first.system}: {means}. "
    left = len(first.particles) - len(shown)
    note += (
        f"The confusion tables show the {len(shown)} most frequent; {left} more are in metrics.json." if left else ""
    )
    return join([found, element("div", *matrices, class_="tables"), element("p", note, class_="small")])


def switches_section(systems: Sequence[Scores]) -> Html:
    """Lay out how well each kind of switch between languages was found."""
    if not systems[0].switch_pairs:
        return element("p", "No utterance switches between languages: not measured.", class_="none")
    return _detections("Switch", None, [scores.switch_pairs for scores in systems], systems)


def _detections(
    title: str, jump_to: str | None, found: Sequence[Mapping[str, Detection]], systems: Sequence[Scores]
) -> Html:
    head: list[Child] = [title, "Said"]
    for scores in systems:
        head += [f"Recall {scores.system}", f"Precision {scores.system}"]
    head.append(f"F1 {systems[0].system}")
    rows = []
    for name, first in found[0].items():
        cells: list[Child] = [jump(name, f"{jump_to}/{name}") if jump_to else name, f"{first.said:,}"]
        for system, detections in enumerate(found):
            one = detections.get(name)
            cells += [bar(one.recall if one else None, system), bar(one.precision if one else None, system)]
        rows.append(row(*cells, number(first.f1), class_="few" if first.said < FEW_UTTERANCES else None))
    caption = f"{title}: recall and precision; dimmed where said fewer than {FEW_UTTERANCES} times"
    return table(head, rows, class_="detections", caption=caption)


def languages_section(systems: Sequence[Scores]) -> Html:
    """Lay out which language each word was heard in."""
    order = [*LANGUAGES, "particle", "other", NOTHING]
    matrices = [
        _matrix(
            f"Language said (row) and heard (column), % of the row – {scores.system}", scores.language_confusion, order
        )
        for scores in systems
    ]
    parts: list[Child] = [element("div", *matrices, class_="tables")]
    parts.append(
        element(
            "p",
            "A deleted word is heard as nothing; an inserted word is said as nothing. Point at a cell for counts.",
            class_="small",
        )
    )
    return join([*parts, _tagger(systems[0])])


def _tagger(scores: Scores) -> Html | None:
    agreement = scores.tagger
    if agreement is None or agreement.accuracy is None:
        return element(
            "p",
            "No reference came with languages of its words, so the reliability of the tagger is not measured here.",
            class_="small",
        )
    text = (
        f"Reliability of the tagger: on the {agreement.words:,} reference words whose language was given it agrees for "
        f"{number(agreement.accuracy)}."
    )
    order = [*LANGUAGES, "particle", "other"]
    matrix = _matrix("Language given (row) and tagged (column), % of the row", agreement.confusion, order)
    return element(
        "details", element("summary", text), element("div", matrix, _reliability(agreement), class_="tables")
    )


def _reliability(agreement: TaggerAgreement) -> Html | None:
    """Draw how often the tagger is right against how sure it is; on the faint line it is as often right as sure."""
    points = [Point(one.confidence, one.accuracy) for one in agreement.reliability]
    if len(points) < 2:
        return None
    low = min(0.5, *(min(point.x, point.y) for point in points))
    ideal = Line("as often right as sure", [Point(low, low), Point(1, 1)], style=4, marked=False, faint=True)
    axes = Axis(low, 1, _whole_percent, "how sure the tagger is"), Axis(low, 1, _whole_percent)
    return panel("Words tagged right, by the tagger's confidence", [ideal, Line("tagger", points)], *axes)


def _matrix(caption: str, confusion: Confusion, order: Sequence[str]) -> Html:
    rows_of = [name for name in order if name in confusion]
    columns_of = [name for name in order if any(name in found for found in confusion.values())]
    rows = []
    for said_ in rows_of:
        found = confusion[said_]
        whole = sum(found.values())
        cells = (
            heat(found.get(heard, 0), whole, f"{said_} heard as {heard}", right=said_ == heard) for heard in columns_of
        )
        rows.append(row(_plain(said_), element("td", f"{whole:,}", class_="count"), *cells))
    return table(["", "Words", *(_plain(name) for name in columns_of)], rows, class_="matrix", caption=caption)


def _plain(name: str) -> str:
    return name.strip("()")
