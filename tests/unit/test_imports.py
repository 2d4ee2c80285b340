"""Imports only point upward in the order of the rooms, and the light rooms stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "rojak"
ORDER = [
    "errors",
    "records",
    "audio",
    "runs",
    "config",
    "text",
    "data",
    "features",
    "model",
    "evaluate",
    "train",
    "export",
]
ABOVE_ALL = ["demo", "cli"]
"""May import every room; nothing may import them, but cli may import demo."""


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} uses a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "rojak" else [node.module]
        rooms |= {name.split(".")[1] for name in names if name.startswith("rojak.")}
    return rooms


def files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def rank(room: str) -> int:
    return [*ORDER, *ABOVE_ALL].index(room)


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_upward(path: Path) -> None:
    room = room_of(path)
    if room in ("__init__", "__main__"):
        return
    assert room in [*ORDER, *ABOVE_ALL], f"{room} has no place in the order of rooms"
    wrong = {other for other in imported_rooms(path) - {room, "__version__"} if rank(other) > rank(room)}
    assert not wrong, f"{room} imports {wrong}, which come after it"


@pytest.mark.parametrize("room", ["errors", "records", "audio", "runs", "text", "data"])
def test_light_rooms_do_not_import_torch_at_the_top(room: str) -> None:
    paths = [SOURCE / f"{room}.py"] if (SOURCE / f"{room}.py").exists() else list((SOURCE / room).rglob("*.py"))
    assert paths
    for path in paths:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("torch", "transformers") for name in names), path


def test_help_needs_no_heavy_library() -> None:
    code = (
        "import sys, rojak.cli\n"
        "heavy = {'torch', 'transformers', 'numpy', 'pyarrow', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
