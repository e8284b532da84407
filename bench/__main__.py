"""`python -m bench NAME [options]`; `python -m bench NAME --help` lists them."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from bench.measure import FailedError
from bench.workspace import add_server_argument

NAMES = ("landing", "transform", "day", "scale", "quiet", "peer")


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
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except FailedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
