"""A benchmark's result as a table and a picture."""

from pathlib import Path

from rich.table import Table

from rojak.export.bench.bench import BenchResult, BenchRow

_COLUMNS = ("Program", "Clips", "Batch", "Threads", "RTF", "Audio s/s", "CPU s/s", "p50", "p95", "WER", "Memory")


def title_of(row: BenchRow) -> str:
    """Name what ran: program, format, numbers."""
    return f"{row.system} {row.kind} {row.dtype}" if row.system == "rojak" else f"{row.system} {row.dtype}"


def length_name(length_s: float) -> str:
    """Write `4 s` or `10 min`."""
    return f"{length_s / 60:g} min" if length_s >= 120 else f"{length_s:g} s"


def cells(row: BenchRow) -> tuple[str, ...]:
    """Give one line of the table."""
    wer = "" if row.wer is None else f"{100 * row.wer:.1f} %"
    memory = "" if row.peak_mib is None else f"{row.peak_mib:.0f} MiB"
    size = (length_name(row.length_s), str(row.batch), str(row.threads))
    speed = (f"{row.rtf:.3f}", f"{row.audio_per_s:.1f}", f"{row.cpu_rtf:.3f}")
    latency = (f"{1000 * row.latency_p50_s:.0f} ms", f"{1000 * row.latency_p95_s:.0f} ms")
    return (title_of(row), *size, *speed, *latency, wer, memory)


def ordered(result: BenchResult) -> list[BenchRow]:
    """Put rows that want comparing under each other."""
    return sorted(result.rows, key=lambda row: (row.threads, row.length_s, row.batch))


def to_markdown(result: BenchResult) -> str:
    """Give the table, the machine and what was left out as Markdown."""
    machine = result.machine
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    where = f"{machine['gpu']} and " if machine["gpu"] else ""
    lines = [
        f"| {' | '.join(_COLUMNS)} |",
        f"|{'---|' * len(_COLUMNS)}",
        *(f"| {' | '.join(cells(row))} |" for row in ordered(result)),
        "",
        f"{where}{machine['cores']} CPU cores ({machine['cpu']}); {versions}. Every program decoded greedily in "
        f"language {result.options.language}; CPU s/s is the time of all cores a second of sound; a latency "
        "is that of a call with a whole batch; memory is the peak of the whole process, its libraries included.",
        *(f"\nLeft out: {name}: {why}" for name, why in result.left_out.items()),
    ]
    return "\n".join(lines) + "\n"


def to_table(result: BenchResult) -> Table:
    """Give the table for the terminal."""
    table = Table(box=None, pad_edge=False)
    for place, name in enumerate(_COLUMNS):
        table.add_column(name, justify="left" if place == 0 else "right")
    for row in ordered(result):
        table.add_row(*cells(row))
    return table


def draw(result: BenchResult, path: Path) -> None:
    """Draw seconds of sound a second by clip length, at each program's best batch size, on a logarithmic scale."""
    from matplotlib.figure import Figure

    lengths = sorted({row.length_s for row in result.rows})
    most = max((row.threads for row in result.rows), default=1)
    rows = [row for row in result.rows if row.threads == most]
    names = list(dict.fromkeys((title_of(row), row.model) for row in rows))
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / max(len(names), 1)
    several = len({model for _, model in names}) > 1
    for number, (title, model) in enumerate(names):
        for place, length_s in enumerate(lengths):
            found = [r for r in rows if (title_of(r), r.model, r.length_s) == (title, model, length_s)]
            if found:
                best = max(found, key=lambda row: row.audio_per_s)
                label = f"{title} ({Path(model).name})" if several else title
                at = place + (number - (len(names) - 1) / 2) * width
                bars = axes.bar(at, best.audio_per_s, width, color=f"C{number}", label=label if place == 0 else None)
                axes.bar_label(bars, [f"{best.audio_per_s:.3g}"], fontsize=7)
    axes.set_yscale("log")
    axes.set_xticks(range(len(lengths)), [length_name(length_s) for length_s in lengths])
    axes.set_xlabel("Length of clips")
    axes.set_ylabel("Seconds of sound a second")
    axes.set_title(f"Best batch size, {most} threads{', ' + result.machine['gpu'] if result.machine['gpu'] else ''}")
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
