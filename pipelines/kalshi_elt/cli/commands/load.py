"""`kalshi-elt load`: fetch from Kalshi and land it in kalshi_raw."""

import argparse
import json
import sys

from kalshi_elt.base.problems import shown_problems
from kalshi_elt.base.times import now, parse_range
from kalshi_elt.cli.command import Command, the_warehouse
from kalshi_elt.cli.settings_arguments import add_settings, given_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, "load")


def execute(arguments: argparse.Namespace) -> int:
    # dlt takes 2 s to import: only here
    from kalshi_elt.load.configuration import load_settings
    from kalshi_elt.load.load import load

    settings = load_settings(given_settings(arguments, "load"))
    wanted = parse_range(settings.since, settings.until, now=now())
    summary = load(settings, wanted, the_warehouse())
    if settings.log_format == "json":
        print(json.dumps(summary.fields()))
        return summary.exit_status
    print(summary)
    for line in shown_problems(summary.problems):
        print(f"kalshi-elt: not landed: {line}", file=sys.stderr)
    return summary.exit_status


COMMAND = Command(
    "load",
    "fetch from Kalshi and store the answers in schema kalshi_raw",
    "Fetch series, events, markets and candles from Kalshi's public API and store each answer as "
    "it came, in schema kalshi_raw. Only what is missing or has changed is fetched, so a load that "
    "was stopped goes on where it ended. The defaults stand in .dlt/config.toml.",
    execute,
    add_arguments,
)
