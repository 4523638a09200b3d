"""Play every row of the fault catalogue and print or write the catalogue with its figures.

python -m sidecar.simulate.faults [--rows 1 5 13] [--write docs/faults.md]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sidecar.simulate.faults.rows import BY_NUMBER
from sidecar.simulate.faults.run import SEEDS, jobs_of, run
from sidecar.simulate.faults.text import document


def main() -> None:
    """Read the arguments, play, and say what came of it."""
    parser = argparse.ArgumentParser(
        prog="python -m sidecar.simulate.faults",
        description="Play the fault catalogue beside an oracle and tabulate the figures.",
    )
    parser.add_argument(
        "--rows", type=int, nargs="+", choices=list(BY_NUMBER), metavar="ROW", help="only these"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the document to FILE")
    arguments = parser.parse_args()
    text = document(run(jobs_of(arguments.rows or BY_NUMBER, SEEDS)), SEEDS)
    if arguments.write is None:
        print(text)  # noqa: T201 - a command prints
    else:
        arguments.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
