"""The command line, `kalshi-elt`: arguments in, exit status out.

Exit status 0: done. 1: something asked for could not be done, the last lines say what and why.
2: wrong usage or settings. 3: another load is running on the warehouse.
"""

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from pipelines.errors import KalshiEltError, UsageError
from pipelines.paths import PROJECT_ROOT, dlt_data_folder
from pipelines.warehouse import Warehouse, database_url, open_warehouse, pgdata_dir

HANDED_ON = frozenset({"transform", "dbt", "psql"})
"""Commands that hand their arguments on to dbt or psql."""

EPILOG = "DATABASE_URL names the warehouse; without it an embedded PostgreSQL runs in .pgdata/."

MOST_PROBLEMS = 20
"""How many problems are printed one by one."""


class _Parser(argparse.ArgumentParser):
    """Wrong usage is one line, not the whole usage text."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


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
    given = list(sys.argv[1:] if argv is None else argv)
    # what follows these commands is for the program behind them, its own --help too
    is_handed_on = given[:1] and given[0] in HANDED_ON
    arguments, unknown = parser.parse_known_args(given[:1] if is_handed_on else given)
    if unknown:
        parser.error(f"unknown argument: {' '.join(unknown)}")
    rest = given[1:] if is_handed_on else []
    arguments.rest = [argument for argument in rest if argument != "--verbose"]
    return arguments


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser("kalshi-elt", description=__doc__.splitlines()[0], epilog=EPILOG)
    commands = parser.add_subparsers(metavar="command", required=True, parser_class=_Parser)

    def add(
        name: str, command: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.add_argument("--verbose", action="store_true", help="show tracebacks")
        sub.set_defaults(command=command)
        return sub

    _add_load_arguments(add("load", _load, "fetch from Kalshi and land in kalshi_raw"))
    run = add("run", _run, "one job for a schedule: load, then transform, recorded in kalshi_ops")
    _add_load_arguments(run)
    _add_run_arguments(run)
    add("transform", _transform, "type and test what landed: dbt build [arguments]")
    add("check", _check, "test everything in the warehouse, and how fresh it is")
    add("docs", _docs, "write the dbt docs as one HTML file")
    add("dbt", _dbt, "run any dbt command on the warehouse: dbt [arguments]")
    add("psql", _psql, "open psql on the warehouse: psql [arguments]")
    status = add("status", _status, "what is in the warehouse, how new, and what is missing")
    _add_status_arguments(status)
    prune = add("prune", _prune, "remove raw windows of candles that are typed")
    prune.add_argument(
        "--raw-older-than",
        required=True,
        metavar="TIME",
        help="how long ago they were fetched, at least (30d), or an ISO date or time",
    )
    prune.add_argument("--dry-run", action="store_true", help="count them, remove nothing")
    schedule = add("schedule", _schedule, "print what makes a scheduler run this again and again")
    schedule.add_argument("--every", required=True, metavar="TIME", help="how often: 5m, 1h, 1d")
    schedule.add_argument(
        "--for",
        dest="scheduler",
        metavar="SCHEDULER",
        help="systemd, cron, github, docker or kubernetes; "
        "default: systemd where it runs the machine, else cron",
    )
    schedule.add_argument("--user", metavar="NAME", help="systemd: who runs it; default: you")
    schedule.add_argument("--image", metavar="NAME", help="docker, kubernetes: the image")
    schedule.add_argument("--to", metavar="FOLDER", help="write the files there, print none")
    _add_ways_out(add)
    add("grant", _grant, "make roles that load, transform and read with no more than they need")
    add("upgrade", _upgrade, "carry a warehouse of an older version forward; every row stays")
    add("stop", _stop, "stop the embedded PostgreSQL")
    return parser


def _add_ways_out(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Commands that take data out of the warehouse, bring it back, or make it anew."""
    export = add("export", _export, "write the typed tables as files, or what changed since")
    export.add_argument("--to", required=True, metavar="DIR", help="a new folder, or an export's")
    export.add_argument(
        "--format", choices=("parquet", "csv"), default="parquet", help="default: parquet"
    )
    backup = add("backup", _backup, "write the whole warehouse into a new folder, by pg_dump")
    backup.add_argument("folder", metavar="DIR")
    restore = add("restore", _restore, "restore a backup into an empty warehouse, by pg_restore")
    restore.add_argument("folder", metavar="DIR")
    replay = add("replay", _replay, "rebuild all typed tables from raw alone")
    replay.add_argument(
        "--verify", action="store_true", help="prove that they are the same as before"
    )


def _add_status_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        choices=("text", "json", "prometheus"),
        default="text",
        help="for people, as one JSON object, or as metrics; default text",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="end with 1, and a line for each, when one of these is not kept:",
    )
    for option, default, metavar, text in (
        ("--max-age", "2h", "DURATION", "age of the newest data"),
        ("--max-gaps", 0, "GAPS", "stretches that were asked for and did not land"),
        ("--max-rejects", 0, "REJECTS", "answers that can't be typed"),
        ("--min-disk", 2.0, "GB", "free disk where the loader works, and the embedded server"),
    ):
        parser.add_argument(
            option,
            default=default,
            type=type(default),
            metavar=metavar,
            help=f"{text}; default {default}",
        )


LOAD_NAMES = (
    *("events", "markets", "series", "categories", "status", "min_volume", "multivariate"),
    *("intervals", "since", "until", "candles", "again"),
    *("rate", "workers", "wait", "dry_run", "log_format"),
)
"""The settings of a load that have an argument."""


def _add_load_arguments(parser: argparse.ArgumentParser) -> None:
    def names(option: str, dest: str, text: str) -> None:
        parser.add_argument(
            option, action="append", dest=dest, metavar=option[2:].upper(), help=text
        )

    names("--event", "events", "an event, by its ticker; repeatable")
    names("--market", "markets", "a market, by its ticker; repeatable")
    names("--series", "series", "all events of a series; repeatable")
    names("--category", "categories", "all series of a category, such as Politics; repeatable")
    names("--status", "status", "unopened, open, paused, closed, settled or all; repeatable")
    parser.add_argument(
        "--min-volume", type=float, metavar="CONTRACTS", help="least volume of a market"
    )
    _add_flag(parser, "--multivariate", "multivariate", True, "load multivariate markets too")
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
        "default: where a market's candles ended, 24 h back for a new one",
    )
    parser.add_argument("--until", metavar="TIME", help="ISO date or time, or how long ago")
    _add_flag(parser, "--again", "again", True, "ask once more for what is covered")
    _add_flag(parser, "--no-candles", "candles", False, "land listings alone")
    parser.add_argument("--rate", type=float, help="requests a second, default 8")
    parser.add_argument("--workers", type=int, help="requests at once, default 4")
    _add_flag(parser, "--wait", "wait", True, "wait for another load to end")
    _add_flag(parser, "--dry-run", "dry_run", True, "print the plan, land nothing")
    parser.add_argument("--log-format", metavar="FORMAT", help="text or json")


RUN_NAMES = ("budget", "on_failure", "on_success")
"""The settings of a run that have an argument, besides those of a load."""


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--budget",
        metavar="DURATION",
        help="end in good order before so long (90s, 4m); the next run goes on",
    )
    for name, what in (("failure", "a failed run"), ("success", "each run that succeeded")):
        parser.add_argument(
            f"--on-{name}",
            metavar="URL",
            help=f'tell it of {what}: a POST of {{"text": ...}}, for a monitor or a chat',
        )


def _add_flag(
    parser: argparse.ArgumentParser, option: str, dest: str, value: bool, text: str
) -> None:
    """A flag that, where it is not given, leaves the setting to the file."""
    parser.add_argument(
        option, action="store_const", dest=dest, const=value, default=None, help=text
    )


def _load(arguments: argparse.Namespace) -> int:
    # dlt takes 2 s to import: only here
    from pipelines.load import load
    from pipelines.settings import load_settings
    from pipelines.timerange import parse_range

    settings = load_settings({name: getattr(arguments, name) for name in LOAD_NAMES})
    wanted = parse_range(settings.since, settings.until, now=time.time())
    summary = load(settings, wanted, _warehouse())
    if settings.log_format == "json":
        print(json.dumps(summary.fields()))
        return summary.exit_status
    print(summary)
    for line in shown_problems(summary.problems):
        print(f"kalshi-elt: not landed: {line}", file=sys.stderr)
    return summary.exit_status


def shown_problems(problems: Sequence[object]) -> list[str]:
    """The first problems, one line each, and how many more there are."""
    lines = [str(problem) for problem in problems[:MOST_PROBLEMS]]
    if len(problems) > MOST_PROBLEMS:
        lines.append(f"{len(problems) - MOST_PROBLEMS:,} more; the next load tries all again")
    return lines


def _run(arguments: argparse.Namespace) -> int:
    from pipelines.notify import telling
    from pipelines.run import run
    from pipelines.settings import load_settings
    from pipelines.timerange import parse_range

    # what a service manager stops with; the run is noted as interrupted
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    names = (*LOAD_NAMES, *RUN_NAMES)
    settings = load_settings({name: getattr(arguments, name) for name in names})
    if settings.dry_run:
        raise UsageError("run has no dry run: use `kalshi-elt load --dry-run`")
    wanted = parse_range(settings.since, settings.until, now=time.time())
    with telling(settings.on_failure, settings.on_success) as listeners:
        job = run(settings, wanted, _warehouse())
        listeners.job = job
    print(json.dumps(job.fields()) if settings.log_format == "json" else job)
    for line in shown_problems(job.load.problems if job.load else []):
        print(f"kalshi-elt: not landed: {line}", file=sys.stderr)
    for line in job.errors:
        print(f"kalshi-elt: {line}", file=sys.stderr)
    return job.exit_status


def _transform(arguments: argparse.Namespace) -> int:
    from pipelines.transform import transform

    transform(_warehouse(), arguments.rest)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from pipelines.transform import check

    check(_warehouse())
    return 0


def _docs(arguments: argparse.Namespace) -> int:
    from pipelines.transform import write_docs

    print(f"docs: {write_docs(_warehouse())}")
    return 0


def _dbt(arguments: argparse.Namespace) -> int:
    from pipelines.transform import run_dbt

    if not arguments.rest:
        raise UsageError("name a dbt command, as in `kalshi-elt dbt ls`")
    run_dbt(_warehouse(), arguments.rest)
    return 0


def _psql(arguments: argparse.Namespace) -> int:
    from pipelines.embedded import psql_program

    environment = {**os.environ, **_warehouse().libpq_environment()}
    return subprocess.call([psql_program(), *arguments.rest], env=environment)


def _status(arguments: argparse.Namespace) -> int:
    from pipelines.metrics import render_prometheus
    from pipelines.status import read_status, render, render_json

    render_as = {"text": render, "json": render_json, "prometheus": render_prometheus}
    if arguments.check:
        return _check_promises(_warehouse(), arguments)
    status = read_status(_warehouse(), count_rows=arguments.format != "prometheus")
    print(render_as[arguments.format](status))
    return 0


def _check_promises(warehouse: Warehouse, arguments: argparse.Namespace) -> int:
    from pipelines.health import GB, Limits, broken_promises, free_bytes_of
    from pipelines.status import read_status
    from pipelines.timerange import parse_duration

    limits = Limits(
        oldest_data=parse_duration("max-age", arguments.max_age),
        most_gaps=arguments.max_gaps,
        most_rejects=arguments.max_rejects,
        least_disk=arguments.min_disk * GB,
    )
    lines = broken_promises(
        read_status(warehouse, count_rows=False),
        limits,
        now=datetime.now(UTC),
        free_bytes=free_bytes_of(warehouse.work_folder),
    )
    print("\n".join(lines) or "all promises are kept")
    return 1 if lines else 0


def _prune(arguments: argparse.Namespace) -> int:
    from pipelines.prune import prune

    print(prune(_warehouse(), arguments.raw_older_than, now=time.time(), dry_run=arguments.dry_run))
    return 0


def _schedule(arguments: argparse.Namespace) -> int:
    from pipelines.schedule import default_scheduler, render, schedule_here, write

    schedule = schedule_here(arguments.every, arguments.user, arguments.image)
    files = render(arguments.scheduler or default_scheduler(), schedule)
    if arguments.to is not None:
        for path in write(files, Path(arguments.to)):
            print(f"wrote {path}")
    else:
        print("\n".join(files.values()), end="")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    # pyarrow takes a second to import: only here
    from pipelines.export import export

    print(export(_warehouse(), Path(arguments.to), arguments.format))
    return 0


def _backup(arguments: argparse.Namespace) -> int:
    from pipelines.backup import back_up

    print(back_up(_warehouse(), Path(arguments.folder)))
    return 0


def _restore(arguments: argparse.Namespace) -> int:
    from pipelines.backup import restore

    print(restore(_warehouse(), Path(arguments.folder)))
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    from pipelines.replay import raise_unless_equal, replay, verify

    if not arguments.verify:
        print(replay(_warehouse()))
        return 0
    compared = verify(_warehouse())
    print("\n".join(str(one) for one in compared))
    raise_unless_equal(compared)
    return 0


def _grant(arguments: argparse.Namespace) -> int:
    from pipelines.grants import grant

    print(grant(_warehouse()))
    return 0


def _upgrade(arguments: argparse.Namespace) -> int:
    from pipelines.ops import hold_lock
    from pipelines.versions import upgrade

    warehouse = _warehouse()
    with hold_lock(warehouse, wait=False, any_version=True) as connection:
        before, after = upgrade(connection, str(warehouse))
    if before == after:
        print(f"{warehouse} is of version {after} already")
    else:
        print(f"{warehouse} is of version {after} now, and was of {before}; every row is kept")
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
