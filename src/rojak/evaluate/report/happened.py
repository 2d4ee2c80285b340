"""What happened while the model was trained, as the run itself summed it up in its `log.jsonl`."""

from pathlib import Path

from rojak.evaluate.report.html import Html, element, join
from rojak.runs import read_jsonl


def happened_section(run_log: Path | None) -> Html:
    """List the lines of the run's last `summary` event; nothing where there is none.

    Raises:
        InputError: The log is damaged.
    """
    rows = [] if run_log is None else read_jsonl(run_log)
    lines: list[str] = next((row["lines"] for row in reversed(rows) if row.get("event") == "summary"), [])
    if not lines:
        return join([])
    return join([element("h3", "What happened"), element("ul", *(element("li", line) for line in lines))])
