"""The arguments of each command, and which function in commands.py does it."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from kalshi_elt.base.errors import UsageError
from kalshi_elt.cli import commands
from kalshi_elt.cli.settings_arguments import add_settings

DESCRIPTION = "The command line, `kalshi-elt`: arguments in, exit status out."
HANDED_ON = frozenset({"transform", "dbt", "psql"})
"""Commands that hand their arguments on to dbt or psql."""

EPILOG = "DATABASE_URL names the warehouse; without it an embedded PostgreSQL runs in .pgdata/."


class _Parser(argparse.ArgumentParser):
    """Wrong usage is one line, not the whole usage text."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments, with the function that does the command as `command`. Raises UsageError."""
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
    parser = _Parser("kalshi-elt", description=DESCRIPTION, epilog=EPILOG)
    subparsers = parser.add_subparsers(metavar="command", required=True, parser_class=_Parser)

    def add(
        name: str, command: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.add_argument("--verbose", action="store_true", help="show tracebacks")
        sub.set_defaults(command=command)
        return sub

    load = add("load", commands.load_command, "fetch from Kalshi and land in kalshi_raw")
    add_settings(load, "load")
    run = add(
        "run",
        commands.run_command,
        "one job for a schedule: load, then transform, recorded in kalshi_ops",
    )
    add_settings(run, "run")
    add("transform", commands.transform_command, "type and test what landed: dbt build [arguments]")
    add("check", commands.check_command, "test everything in the warehouse, and how fresh it is")
    add("docs", commands.docs_command, "write the dbt docs as one HTML file")
    add("dbt", commands.dbt_command, "run any dbt command on the warehouse: dbt [arguments]")
    add("psql", commands.psql_command, "open psql on the warehouse: psql [arguments]")
    status = add(
        "status", commands.status_command, "what is in the warehouse, how new, and what is missing"
    )
    _add_status_arguments(status)
    prune = add("prune", commands.prune_command, "remove raw windows of candles that are typed")
    prune.add_argument(
        "--raw-older-than",
        required=True,
        metavar="TIME",
        help="how long ago they were fetched, at least (30d), or an ISO date or time",
    )
    prune.add_argument("--dry-run", action="store_true", help="count them, remove nothing")
    schedule = add(
        "schedule",
        commands.schedule_command,
        "print what makes a scheduler run this again and again",
    )
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
    _add_chart_arguments(
        add("chart", commands.chart_command, "draw an event or a market: a page, a picture, text")
    )
    _add_site_arguments(
        add("site", commands.site_command, "write the warehouse as a static site, charts and all")
    )
    add(
        "grant",
        commands.grant_command,
        "make roles that load, transform and read with no more than they need",
    )
    add(
        "upgrade",
        commands.upgrade_command,
        "carry a warehouse of an older version forward; every row stays",
    )
    distribute = add(
        "distribute",
        commands.distribute_command,
        "turn a plain warehouse on a Citus coordinator into a distributed one; every row stays",
    )
    distribute.add_argument(
        "--dry-run", action="store_true", help="print the statements, run none of them"
    )
    add("stop", commands.stop_command, "stop the embedded PostgreSQL")
    return parser


def _add_ways_out(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Commands that take data out of the warehouse, bring it back, or make it anew."""
    export = add(
        "export", commands.export_command, "write the typed tables as files, or what changed since"
    )
    export.add_argument("--to", required=True, metavar="DIR", help="a new folder, or an export's")
    export.add_argument(
        "--format", choices=("parquet", "csv"), default="parquet", help="default: parquet"
    )
    backup = add(
        "backup", commands.backup_command, "write the whole warehouse into a new folder, by pg_dump"
    )
    backup.add_argument("folder", metavar="DIR")
    restore = add(
        "restore",
        commands.restore_command,
        "restore a backup into an empty warehouse, by pg_restore",
    )
    restore.add_argument("folder", metavar="DIR")
    replay = add("replay", commands.replay_command, "rebuild all typed tables from raw alone")
    replay.add_argument(
        "--verify", action="store_true", help="prove that they are the same as before"
    )


def _add_chart_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ticker", metavar="TICKER", help="an event's or a market's")
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="ISO date or time, how long ago (24h, 7d), or `open`: where its candles begin; "
        "default: there, but at most 30 days back",
    )
    parser.add_argument("--until", metavar="TIME", help="ISO date or time, or how long ago")
    parser.add_argument(
        "--interval",
        type=int,
        metavar="MINUTES",
        help="length of a period: 1, 5, 15, 60 or 1440; default: the shortest that suits the range",
    )
    parser.add_argument(
        "--top",
        type=int,
        default=12,
        metavar="MARKETS",
        help="how many of an event's markets, the likeliest; at most 15, default 12",
    )
    parser.add_argument("--to", metavar="FILE", help="the page; default TICKER.html, here")
    parser.add_argument("--png", action="store_true", help="write a picture beside the page")
    parser.add_argument(
        "--terminal", action="store_true", help="draw it in the terminal, write no file"
    )


def _add_site_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to", default="site", metavar="DIR", help="a new folder, or a site's; default site"
    )
    parser.add_argument(
        "--event",
        action="append",
        dest="events",
        default=[],
        metavar="EVENT",
        help="an event that gets a page, by its ticker; repeatable; default: the most traded ones",
    )
    parser.add_argument(
        "--events",
        type=int,
        dest="most",
        default=200,
        metavar="N",
        help="how many of the most traded events get a page; default 200",
    )
    parser.add_argument(
        "--since", metavar="TIME", help="where charts begin: ISO date or time, or how long ago"
    )
    parser.add_argument(
        "--no-docs",
        action="store_false",
        dest="has_docs",
        help="leave the dbt docs out, which take ten seconds and a role that may read all schemas",
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
