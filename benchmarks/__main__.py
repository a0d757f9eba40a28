"""The speed table: python -m benchmarks [part ...]

Each number is a ratio within one run: the median over pairs of runs that take turns.
Without a part, all of them (under ten minutes on two cores).  The table is also kept as
runs/benchmarks/speed.json.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.measure import processor
from benchmarks.parts import ALONE, PARTS
from support.figures import table
from support.files import write_atomically


def main(arguments=None):
    parts = {**PARTS, **ALONE}
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n\n")[1],
                                     epilog="quality against time: python -m benchmarks.quality --help")
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(parts))
    parser.add_argument("--json", type=Path, default=Path("runs", "benchmarks", "speed.json"),
                        help="where the table is also kept (default: runs/benchmarks/speed.json)")
    args = parser.parse_args(arguments)
    for name in args.parts:
        if name not in parts:
            parser.error(f"there is no part {name!r}; choose from {', '.join(parts)}")

    machine = {"processor": processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads(),
               "system": platform.platform(), "python": platform.python_version(), "torch": str(torch.__version__)}
    print(f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}\n", flush=True)
    results, begun = [], time.perf_counter()
    with tempfile.TemporaryDirectory() as work:
        for name in args.parts or PARTS:
            for row in parts[name](Path(work)):
                results.append((name, row))
                print(f"{row.what}: {shown(row)}", file=sys.stderr, flush=True)
    content = {"machine": machine, "rows": [{"part": name, **row._asdict(), "reached": reached(row)}
                                            for name, row in results]}
    write_atomically(args.json, json.dumps(content, indent=2).encode("utf-8"))
    print("\n" + table(["what", "measured", "bound", "", "how"],
                       [[row.what, shown(row), bound(row), reached(row), row.note] for _, row in results]))
    print(f"\n{(time.perf_counter() - begun) / 60:.1f} minutes; kept in {args.json}")


def shown(row):
    digits = 0 if abs(row.value) >= 50 or row.unit == "" else 2
    return f"{row.value:,.{digits}f} {row.unit}".strip()


def bound(row):
    """In words; a negative bound is an upper one."""
    if row.bound is None:
        return ""
    if row.bound == 0:
        return "none"
    return f"at {'least' if row.bound > 0 else 'most'} {abs(row.bound):,} {row.unit}"


def reached(row):
    if row.bound is None:
        return ""
    kept = row.value >= row.bound if row.bound > 0 else row.value <= -row.bound
    return "reached" if kept else "NOT reached"


if __name__ == "__main__":
    main()
