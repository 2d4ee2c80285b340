"""Run every benchmark one after the other with its defaults; `make bench`.

python benchmarks/run_all.py
"""

import subprocess
import sys
import tempfile
from pathlib import Path

WANT_A_FOLDER = {"particles.py", "wer_vs_padded.py"}
"""Scripts that keep what they made, in a folder that they are given."""


def main() -> None:
    """Stop at the first that fails."""
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as work:
        for script in sorted(here.glob("*.py")):
            if script.name != Path(__file__).name:
                print(f"\n## {script.name}\n", flush=True)
                folder = [str(Path(work) / script.stem)] if script.name in WANT_A_FOLDER else []
                subprocess.run([sys.executable, str(script), *folder], check=True)


if __name__ == "__main__":
    main()
