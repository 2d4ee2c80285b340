"""Write the report: `report.html`, one self-contained file, and `report.md` beside it.

Reads `Scores`, a run's log and sound; fills `resources/report.html`. Nothing in the page points outside it, and its
content policy lets no script run but its own.
"""

import base64
import datetime
import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from rojak.audio import Samples
from rojak.errors import InputError
from rojak.evaluate.report import breakdown, summary
from rojak.evaluate.report.browser import BrowserData, browser_data
from rojak.evaluate.report.curves import curves_section
from rojak.evaluate.report.happened import happened_section
from rojak.evaluate.report.html import Child, Html, document, escape, join, section_bodies, section_links
from rojak.evaluate.report.markdown import write_markdown_report
from rojak.evaluate.results import Scores
from rojak.runs import write_bytes

REPORT_NAME = "report.html"
MARKDOWN_NAME = "report.md"


def write_report(
    out_dir: Path,
    systems: Sequence[Scores],
    *,
    title: str = "",
    run_log: Path | None = None,
    read_audio: Callable[[str], Samples | None] | None = None,
    date: str = "",
) -> Path:
    """Write `report.html` and `report.md` into a folder that exists.

    Args:
        out_dir: Files of an earlier report in it are replaced.
        systems: The first is the one reported on, the others stand beside it.
        title: Heading; by default made from the model's name.
        run_log: A run's `log.jsonl`, for learning curves.
        read_audio: Gives float32 samples at 16 kHz of an utterance, or None; the worst get players. None embeds none.
        date: Of the evaluation; today by default.

    Returns:
        Path of the HTML file.

    Raises:
        InputError: There is no system, the log is damaged, or the folder cannot be written.
    """
    if not systems:
        raise InputError("There are no results to report; give the scores of at least one system.")
    title = title or f"Evaluation of {systems[0].settings.get('model') or systems[0].system or 'a model'}"
    date = date or datetime.datetime.now().astimezone().date().isoformat()
    path = out_dir / REPORT_NAME
    page = build_page(systems, title, date, run_log, read_audio)
    # A file name that is not UTF-8 reaches us with lone surrogates, which UTF-8 has no bytes for.
    write_bytes(path, page.encode("utf-8", errors="replace"))
    write_markdown_report(out_dir / MARKDOWN_NAME, systems, title=title, date=date)
    return path


def build_page(
    systems: Sequence[Scores],
    title: str,
    date: str,
    run_log: Path | None,
    read_audio: Callable[[str], Samples | None] | None,
) -> str:
    """Fill the template."""
    resources = files("rojak.evaluate.report") / "resources"
    script = (resources / "report.js").read_text(encoding="utf-8")
    template = Template((resources / "report.html").read_text(encoding="utf-8"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    browser = browser_data(systems, read_audio)
    sections = _sections(systems, browser, run_log)
    about, how = summary.describe(systems, date)
    body = template.substitute(
        title=escape(title),
        about=escape(about),
        how=escape(how),
        contents=section_links(sections),
        sections=section_bodies(sections),
        rows=browser.rows,
        clips=browser.clips,
        script=script,
    )
    return document(
        title,
        body,
        style=(resources / "report.css").read_text(encoding="utf-8"),
        allowed=f"script-src 'sha256-{digest}'; img-src data:; media-src data: blob:",
    )


def _sections(systems: Sequence[Scores], browser: BrowserData, run_log: Path | None) -> list[tuple[str, str, Html]]:
    """Give (anchor, heading, content) in the order of the page; a section without content is left out."""
    comparisons, notes = summary.compare_first(systems)
    targets = join([summary.targets_section(systems), summary.notes_section(systems, [*notes, *browser.notes])])
    found: list[tuple[str, str, Child]] = [
        ("targets", "Targets", targets),
        ("measures", "Measures", summary.measures_section(systems, comparisons)),
        ("learning", "Learning", join([happened_section(run_log), curves_section(run_log)])),
        ("slices", "Slices", breakdown.slices_section(systems)),
        ("noise", "Noise", breakdown.noise_section(systems)),
        ("particles", "Particles", breakdown.particles_section(systems)),
        ("languages", "Languages", breakdown.languages_section(systems)),
        ("switches", "Switches", breakdown.switches_section(systems)),
    ]
    return [(anchor, name, content) for anchor, name, content in found if isinstance(content, Html)]
