"""`python -m bench NAME [options]`; `python -m bench NAME --help` lists them; `all` runs all."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from bench.measure import FailedError
from bench.workspace import add_server_argument

NAMES = ("landing", "transform", "day", "scale", "quiet")

ALL = (
    ("landing",),
    ("transform",),
    ("transform", "--increment"),
    ("day", "--part", "0.1"),
    ("day", "--part", "1"),
    ("scale",),
    ("quiet",),
)
"""The benchmarks that `all` runs, which takes half an hour."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one benchmark; the exit status is 0 when it could be measured, targets met or not."""
    parser = argparse.ArgumentParser("bench", description=__doc__)
    benchmarks = parser.add_subparsers(metavar="name", required=True)
    for name in NAMES:
        module = importlib.import_module(f"bench.{name}")
        says = (module.__doc__ or "").partition("\n")[0]
        sub = benchmarks.add_parser(name, help=says, description=says)
        add_server_argument(sub)
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    given = sys.argv[1:] if argv is None else list(argv)
    runs = ALL if given == ["all"] else (given,)
    try:
        for run in runs:
            if len(runs) > 1:
                print(f"\n# {' '.join(run)}", flush=True)
            arguments = parser.parse_args(run)
            arguments.run(arguments)
    except FailedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
