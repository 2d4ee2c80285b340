"""The application itself: its name, its options, and what all commands share."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from rojak import __version__
from rojak.errors import InputError
from rojak.text.normalize import TextOptions

app = typer.Typer(
    name="rojak",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Fine-tune Whisper on Malaysian code-switched speech, measure what matters in it, and ship the result.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console()
err = Console(stderr=True)
DEMO_DIR = Path("demo")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Fold = Annotated[
    str, typer.Option("--fold", help="Fold before scoring: simplified, numbers, short_forms, several with commas.")
]
Workers = Annotated[int | None, typer.Option(help="Processes; default: one a core.", min=0)]


def _version(show: bool) -> None:
    if show:
        print(f"rojak {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
    words: Annotated[
        list[Path] | None,
        typer.Option(
            help="YAML with your own words and particles, for whatever the command does; repeatable. "
            "`rojak --words mine.yaml prepare …`; the variable ROJAK_WORDS says the same for all commands."
        ),
    ] = None,
) -> None:
    if words:
        from rojak.text.wordlists import use_own_lists

        use_own_lists(words)


def print_json(value: Any) -> None:
    """Print a result for programs."""
    print(json.dumps(value, ensure_ascii=False, indent=2))  # noqa: T201


def show_hours(hours: float) -> str:
    """Give a length for people; a few clips are minutes."""
    return f"{hours:.2f} h" if hours >= 0.1 else f"{hours * 60:.1f} min"


def parse_pair(text: str) -> tuple[str, str]:
    """Read `field=column`."""
    field, equals, column = text.partition("=")
    if not equals:
        raise InputError(f"--column {text!r}: write FIELD=COLUMN, such as text=sentence.")
    return field, column


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is not among the allowed ones."""
    if value not in allowed:
        raise InputError(f"{name} {value!r}: allowed are {', '.join(allowed)}.")


def parse_fold(text: str) -> TextOptions:
    """Read the optional passes of the normaliser, such as `simplified,numbers`; `none` asks for none."""
    names = [] if text == "none" else text.split(",")
    for name in names:
        check_choice("--fold", name, (*TextOptions.__slots__, "none alone"))
    return TextOptions(**dict.fromkeys(names, True))


def as_plain(summary: Any) -> dict[str, Any]:
    """Give a summary dataclass as a dictionary for JSON."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(summary).items()}
