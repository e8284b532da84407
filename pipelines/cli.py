"""The command line, `kalshi-elt`: arguments in, exit status out.

Exit status 0: done. 1: something asked for could not be done, the last lines say what and why.
2: wrong usage or settings.
"""

import argparse
import logging
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from pipelines.errors import KalshiEltError, UsageError
from pipelines.paths import PROJECT_ROOT, dlt_data_folder
from pipelines.warehouse import Warehouse, database_url, open_warehouse, pgdata_dir

EPILOG = "DATABASE_URL names the warehouse; without it an embedded PostgreSQL runs in .pgdata/."


class _Parser(argparse.ArgumentParser):
    """Wrong usage is one line, not the whole usage text."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    verbose = "--verbose" in (sys.argv if argv is None else argv)
    _use_project_settings()
    try:
        arguments = _parse(argv)
        command: Callable[[argparse.Namespace], int] = arguments.command
        return command(arguments)
    except KalshiEltError as error:
        return _fail(str(error), error.exit_status, verbose)
    except KeyboardInterrupt:
        return _fail("interrupted; what landed is kept, run it again to go on", 130, verbose)
    except BrokenPipeError:
        return 1
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return _fail(f"unexpected {reason}; --verbose shows where", 1, verbose)


def _fail(message: str, status: int, verbose: bool) -> int:
    if verbose:
        traceback.print_exc()
    print(f"kalshi-elt: {message}", file=sys.stderr)
    return status


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _build_parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and not arguments.takes_dbt_arguments:
        parser.error(f"unknown argument: {' '.join(rest)}")
    arguments.rest = rest
    return arguments


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser("kalshi-elt", description=__doc__.splitlines()[0], epilog=EPILOG)
    commands = parser.add_subparsers(metavar="command", required=True, parser_class=_Parser)

    def add(
        name: str, command: Callable[[argparse.Namespace], int], text: str, *, dbt: bool = False
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.add_argument("--verbose", action="store_true", help="show tracebacks")
        sub.set_defaults(command=command, takes_dbt_arguments=dbt)
        return sub

    _add_load_arguments(add("load", _load, "fetch from Kalshi and land in kalshi_raw"))
    add("transform", _transform, "type and test what landed: dbt build [arguments]", dbt=True)
    add("docs", _docs, "write the dbt docs as one HTML file")
    add("dbt", _dbt, "run any dbt command on the warehouse: dbt [arguments]", dbt=True)
    add("psql", _psql, "open psql on the warehouse: psql [arguments]", dbt=True)
    add("status", _status, "what is in the warehouse, and how new")
    add("stop", _stop, "stop the embedded PostgreSQL")
    return parser


def _add_load_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--event",
        action="append",
        dest="events",
        metavar="TICKER",
        help="an event to land; repeatable",
    )
    parser.add_argument(
        "--interval",
        action="append",
        dest="intervals",
        type=int,
        metavar="MINUTES",
        help="candle length: 1, 60 or 1440; repeatable, default 1",
    )
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="ISO date or time, how long ago (24h, 7d), or `open`: the market's open time; "
        "default 24 h before --until",
    )
    parser.add_argument("--until", metavar="TIME", help="ISO date or time, or how long ago")


def _load(arguments: argparse.Namespace) -> int:
    # dlt takes 2 s to import: only here
    from pipelines.load import load
    from pipelines.settings import load_settings
    from pipelines.timerange import parse_range

    names = ("events", "intervals", "since", "until")
    settings = load_settings({name: getattr(arguments, name) for name in names})
    wanted = parse_range(settings.since, settings.until, now=time.time())
    summary = load(settings, wanted, _warehouse())
    print(summary)
    for problem in summary.problems:
        print(f"kalshi-elt: not landed: {problem}", file=sys.stderr)
    return summary.exit_status


def _transform(arguments: argparse.Namespace) -> int:
    from pipelines.transform import transform

    transform(_warehouse(), arguments.rest)
    return 0


def _docs(arguments: argparse.Namespace) -> int:
    from pipelines.transform import write_docs

    print(f"docs: {write_docs(_warehouse())}")
    return 0


def _dbt(arguments: argparse.Namespace) -> int:
    from pipelines.transform import run_dbt

    if not arguments.rest:
        raise UsageError("kalshi-elt dbt: name a dbt command, as in `kalshi-elt dbt ls`")
    run_dbt(_warehouse(), arguments.rest)
    return 0


def _psql(arguments: argparse.Namespace) -> int:
    from pipelines.embedded import psql_program

    environment = {**os.environ, **_warehouse().libpq_environment()}
    return subprocess.call([psql_program(), *arguments.rest], env=environment)


def _status(arguments: argparse.Namespace) -> int:
    from pipelines.status import read_status, render

    warehouse = _warehouse()
    print(render(read_status(warehouse), warehouse))
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    from pipelines.embedded import EmbeddedServer

    folder = PROJECT_ROOT / pgdata_dir()
    print("stopped" if EmbeddedServer(folder).stop() else f"no server is running in {folder}")
    return 0


def _warehouse() -> Warehouse:
    return open_warehouse(database_url(), pgdata_dir())


def _use_project_settings() -> None:
    """dlt reads the project's `.dlt/`, writes nothing into the home folder, and logs nothing
    that the summary says better."""
    os.environ.setdefault("DLT_PROJECT_DIR", str(PROJECT_ROOT))
    os.environ.setdefault("DLT_DATA_DIR", str(dlt_data_folder()))
    logging.getLogger("dlt").setLevel(logging.CRITICAL)
