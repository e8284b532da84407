"""`kalshi-elt run`: load, then transform, as one job."""

import argparse
import json
import signal
import sys

from kalshi_elt.base.errors import UsageError
from kalshi_elt.base.problems import shown_problems
from kalshi_elt.base.times import now, parse_range
from kalshi_elt.cli.command import Command, the_warehouse
from kalshi_elt.cli.settings_arguments import add_settings, given_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, "run")


def execute(arguments: argparse.Namespace) -> int:
    # dlt and dbt take 3 s to import: only here
    from kalshi_elt.job.notify import telling
    from kalshi_elt.job.run import run
    from kalshi_elt.load.configuration import load_settings

    # what a service manager stops with; the run is noted as interrupted
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = load_settings(given_settings(arguments, "run"))
    if settings.dry_run:
        # from the file or the environment: there is no such argument
        raise UsageError("run has no dry run: use `kalshi-elt load --dry-run`")
    wanted = parse_range(settings.since, settings.until, now=now())
    with telling(settings.on_failure, settings.on_success) as listeners:
        job = run(settings, wanted, the_warehouse())
        listeners.job = job
    print(json.dumps(job.fields()) if settings.log_format == "json" else job)
    for line in shown_problems(job.load.problems if job.load else []):
        print(f"kalshi-elt: not landed: {line}", file=sys.stderr)
    for line in job.errors:
        print(f"kalshi-elt: {line}", file=sys.stderr)
    return job.exit_status


COMMAND = Command(
    "run",
    "load, then transform: the job that a scheduler starts",
    "Load, then transform, as one job that a scheduler can start again and again. Each run is a "
    "row of kalshi_ops.runs. The defaults stand in .dlt/config.toml.",
    execute,
    add_arguments,
)
