"""Run every benchmark one after the other with its defaults; `make bench`.

python benchmarks/run_all.py
"""

import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Stop at the first that fails."""
    here = Path(__file__).parent
    for script in sorted(here.glob("*.py")):
        if script.name != Path(__file__).name:
            print(f"\n## {script.name}\n", flush=True)
            subprocess.run([sys.executable, str(script)], check=True)


if __name__ == "__main__":
    main()
