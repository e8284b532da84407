"""`kalshi-elt status`: what is in the warehouse, and whether it keeps its promises."""

import argparse
from datetime import UTC, datetime

from kalshi_elt.base.errors import UsageError
from kalshi_elt.base.times import now, parse_duration
from kalshi_elt.cli.command import Command, the_warehouse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        choices=("text", "json", "prometheus"),
        default="text",
        help="text for people, one JSON object, or metrics for Prometheus; default: text",
    )
    check = parser.add_argument_group("Checking")
    check.add_argument(
        "--check",
        action="store_true",
        help="say which of the promises below are broken, and end with status 1 if one is",
    )
    for option, default, metavar, text in (
        ("--max-age", "2h", "DURATION", "how old the newest data may be"),
        ("--max-gaps", 0, "GAPS", "how many stretches that were asked for may be missing"),
        ("--max-rejects", 0, "REJECTS", "how many answers may stand in kalshi.rejects"),
        (
            "--min-disk",
            2.0,
            "GB",
            "how much disk must be free, for the loader and the embedded server",
        ),
    ):
        check.add_argument(
            option,
            default=default,
            type=type(default),
            metavar=metavar,
            help=f"{text}; default: {default}",
        )


def execute(arguments: argparse.Namespace) -> int:
    if arguments.check:
        return _check(arguments)
    from kalshi_elt.admin.metrics import render_prometheus
    from kalshi_elt.admin.status import read_status, render, render_json

    render_as = {"text": render, "json": render_json, "prometheus": render_prometheus}
    status = read_status(the_warehouse(), count_rows=arguments.format != "prometheus")
    print(render_as[arguments.format](status))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from kalshi_elt.admin.health import (
        GB,
        Limits,
        broken_promises,
        free_bytes_of,
        render,
        render_json,
    )
    from kalshi_elt.admin.status import read_status

    render_as = {"text": render, "json": render_json}
    if arguments.format not in render_as:
        # Prometheus has alerts of its own, on the metrics that it gets without --check
        raise UsageError(
            f"--check answers as text or json, not as {arguments.format}: leave out one of the two"
        )
    limits = Limits(
        oldest_data=parse_duration("max-age", arguments.max_age),
        most_gaps=arguments.max_gaps,
        most_rejects=arguments.max_rejects,
        least_disk=arguments.min_disk * GB,
    )
    warehouse = the_warehouse()
    broken = broken_promises(
        read_status(warehouse, count_rows=False),
        limits,
        now=datetime.fromtimestamp(now(), UTC),
        free_bytes=free_bytes_of(warehouse.work_folder),
    )
    print(render_as[arguments.format](broken))
    return 1 if broken else 0


COMMAND = Command(
    "status",
    "show what is in the warehouse, how new it is, and what is missing",
    "Show what is in the warehouse, how new it is, and what is missing.",
    execute,
    add_arguments,
)
