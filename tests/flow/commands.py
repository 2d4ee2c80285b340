"""How flow tests call the command line."""

import sys

import pytest

from rojak import cli


def rojak(*arguments: object) -> int:
    """Run a command as `main` does; give its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["rojak", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as exit_request:
            return int(exit_request.code or 0)
    return 0
