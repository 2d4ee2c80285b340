"""The command line: parses, wires the rooms, calls one function per command.

Heavy libraries are imported inside the commands, so that `rojak --help` answers at once.
"""

import sys

import typer

from rojak.cli import data, export, models, particles, settings, ship, text  # noqa: F401 - importing them adds their commands
from rojak.cli.app import app, err
from rojak.errors import RojakError


def main() -> None:
    """Run a command; a `RojakError` becomes one sentence and exit code 1, Ctrl-C becomes 130."""
    try:
        code = app(standalone_mode=False)
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
    if code == 130:  # newer versions of typer give Ctrl-C back as a code
        err.print("Stopped by Ctrl-C.", style="red")
    if isinstance(code, int):
        sys.exit(code)
