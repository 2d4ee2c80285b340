"""The command line: parses, wires the rooms, calls one function per command.

Heavy libraries are imported inside the commands, so that `rojak --help` answers at once.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from rojak import __version__
from rojak.errors import RojakError

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

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Workers = Annotated[int | None, typer.Option(help="Processes; default: one a core.", min=0)]


def main() -> None:
    """Run a command; a `RojakError` becomes one sentence and exit code 1, Ctrl-C becomes 130."""
    try:
        app(standalone_mode=False)
    except RojakError as error:
        err.print(f"Error: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)
    except typer.Exit as exit_request:
        sys.exit(exit_request.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        err.print("Stopped by Ctrl-C.", style="red")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except Exception as error:
        # Click's own usage errors know how to show themselves; anything else is a bug and keeps its traceback.
        show = getattr(error, "show", None)
        if show is None:
            raise
        show()
        sys.exit(getattr(error, "exit_code", 2))


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))  # noqa: T201


def _version(show: bool) -> None:
    if show:
        print(f"rojak {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


if __name__ == "__main__":
    main()
