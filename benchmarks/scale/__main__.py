"""How the work of `smoacs` grows, of one version or of two side by side, and the page that says so.

    python -m benchmarks.scale run --source before=../base/src --source after=src
    python -m benchmarks.scale page

`run` does every piece of work at every size in a process of its own on one thread, the versions by
turns, and writes benchmarks/results/scale.json after each; `page` makes docs/scale.md and its
picture.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.scale.page import write_page
from benchmarks.scale.work import WORK

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "scale.json"
SIZES = {
    "start": (1, 1, 1),
    "atoms": (320, 1080, 2560, 5000),
    "designs": (250, 500, 1000, 2000),
    "seeds": (50, 100, 200, 400),
    "elements": (12, 20, 30),
}


def measure(name: str, size: int, source: Path) -> dict[str, float]:
    """Let a process do the work with the code of a version."""
    path = os.pathsep.join([str(source), str(ROOT)])
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-m", "benchmarks.scale.work", name, str(size)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    record: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return record


def main() -> None:
    """Measure, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "page"))
    parser.add_argument("--source", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--work", choices=WORK, action="append")
    args = parser.parse_args()
    if args.what == "page":
        write_page(json.loads(RESULTS.read_text()), ROOT / "docs")
        return
    sources = dict(item.split("=", 1) for item in args.source) or {"after": str(ROOT / "src")}
    records = json.loads(RESULTS.read_text()) if RESULTS.is_file() and args.work else []
    records = [record for record in records if record["work"] not in (args.work or WORK)]
    for name in args.work or SIZES:
        for size in SIZES[name]:
            for version, source in sources.items():
                found = measure(name, size, Path(source).resolve())
                records.append({"work": name, "size": size, "version": version, **found})
                RESULTS.write_text(json.dumps(records, indent=1) + "\n")
                print(json.dumps(records[-1]), flush=True)


if __name__ == "__main__":
    main()
