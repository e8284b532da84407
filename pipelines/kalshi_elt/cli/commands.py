"""What each command does: its arguments in, its exit status out, its words on the terminal.

What takes long to import (dlt 2 s, dbt 1 s, pyarrow 1 s) is imported by the commands that need it.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from kalshi_elt.base.errors import UsageError
from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.base.problems import shown_problems
from kalshi_elt.cli.settings_arguments import given_settings
from kalshi_elt.warehouse.connection import Warehouse, database_url, open_warehouse, pgdata_dir


def load_command(arguments: argparse.Namespace) -> int:
    # dlt takes 2 s to import: only here
    from kalshi_elt.base.times import parse_range
    from kalshi_elt.load.configuration import load_settings
    from kalshi_elt.load.load import load

    settings = load_settings(given_settings(arguments, "load"))
    wanted = parse_range(settings.since, settings.until, now=time.time())
    summary = load(settings, wanted, _warehouse())
    if settings.log_format == "json":
        print(json.dumps(summary.fields()))
        return summary.exit_status
    print(summary)
    for line in shown_problems(summary.problems):
        print(f"kalshi-elt: not landed: {line}", file=sys.stderr)
    return summary.exit_status


def run_command(arguments: argparse.Namespace) -> int:
    from kalshi_elt.base.times import parse_range
    from kalshi_elt.job.notify import telling
    from kalshi_elt.job.run import run
    from kalshi_elt.load.configuration import load_settings

    # what a service manager stops with; the run is noted as interrupted
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = load_settings(given_settings(arguments, "run"))
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


def transform_command(arguments: argparse.Namespace) -> int:
    from kalshi_elt.transform.build import transform

    transform(_warehouse(), arguments.rest)
    return 0


def check_command(arguments: argparse.Namespace) -> int:
    from kalshi_elt.transform.build import check

    check(_warehouse())
    return 0


def docs_command(arguments: argparse.Namespace) -> int:
    from kalshi_elt.transform.build import write_docs

    print(f"docs: {write_docs(_warehouse())}")
    return 0


def dbt_command(arguments: argparse.Namespace) -> int:
    from kalshi_elt.transform.build import run_dbt

    if not arguments.rest:
        raise UsageError("name a dbt command, as in `kalshi-elt dbt ls`")
    run_dbt(_warehouse(), arguments.rest)
    return 0


def psql_command(arguments: argparse.Namespace) -> int:
    from kalshi_elt.warehouse.client_programs import psql_program

    environment = {**os.environ, **_warehouse().libpq_environment()}
    return subprocess.call([psql_program(), *arguments.rest], env=environment)


def status_command(arguments: argparse.Namespace) -> int:
    from kalshi_elt.admin.metrics import render_prometheus
    from kalshi_elt.admin.status import read_status, render, render_json

    render_as = {"text": render, "json": render_json, "prometheus": render_prometheus}
    if arguments.check:
        return _check_promises(_warehouse(), arguments)
    status = read_status(_warehouse(), count_rows=arguments.format != "prometheus")
    print(render_as[arguments.format](status))
    return 0


def _check_promises(warehouse: Warehouse, arguments: argparse.Namespace) -> int:
    from kalshi_elt.admin.health import GB, Limits, broken_promises, free_bytes_of
    from kalshi_elt.admin.status import read_status
    from kalshi_elt.base.times import parse_duration

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


def prune_command(arguments: argparse.Namespace) -> int:
    from kalshi_elt.admin.prune import prune

    print(prune(_warehouse(), arguments.raw_older_than, now=time.time(), dry_run=arguments.dry_run))
    return 0


def schedule_command(arguments: argparse.Namespace) -> int:
    from kalshi_elt.job.schedule import default_scheduler, render, schedule_here, write

    schedule = schedule_here(arguments.every, arguments.user, arguments.image)
    files = render(arguments.scheduler or default_scheduler(), schedule)
    if arguments.to is not None:
        for path in write(files, Path(arguments.to)):
            print(f"wrote {path}")
    else:
        print("\n".join(files.values()), end="")
    return 0


def export_command(arguments: argparse.Namespace) -> int:
    # pyarrow takes a second to import: only here
    from kalshi_elt.publish.export.export import export

    print(export(_warehouse(), Path(arguments.to), arguments.format))
    return 0


def chart_command(arguments: argparse.Namespace) -> int:
    from kalshi_elt.publish.chart.write import read, wanted_of, write

    if arguments.terminal and (arguments.png or arguments.to):
        raise UsageError("--terminal writes no file: leave out --to and --png, or --terminal")
    wanted = wanted_of(
        arguments.ticker,
        arguments.since,
        arguments.until,
        time.time(),
        interval=arguments.interval,
        top=arguments.top,
    )
    chart = read(_warehouse(), wanted)
    if arguments.terminal:
        # plotext is imported for the terminal, vl_convert for files
        from kalshi_elt.publish.chart.terminal import render_terminal

        size = shutil.get_terminal_size()
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        # the line of the prompt stays
        print(render_terminal(chart, size.columns, size.lines - 1, colour=colour))
        return 0
    to = Path(arguments.to) if arguments.to else None
    for path in write(chart, to, png=arguments.png):
        print(f"wrote {path}")
    return 0


def backup_command(arguments: argparse.Namespace) -> int:
    from kalshi_elt.admin.backup import back_up

    print(back_up(_warehouse(), Path(arguments.folder)))
    return 0


def restore_command(arguments: argparse.Namespace) -> int:
    from kalshi_elt.admin.backup import restore

    print(restore(_warehouse(), Path(arguments.folder)))
    return 0


def replay_command(arguments: argparse.Namespace) -> int:
    from kalshi_elt.admin.replay import raise_unless_equal, replay, verify

    if not arguments.verify:
        print(replay(_warehouse()))
        return 0
    compared = verify(_warehouse())
    print("\n".join(str(one) for one in compared))
    raise_unless_equal(compared)
    return 0


def site_command(arguments: argparse.Namespace) -> int:
    # jinja2 and dbt take a second to import: only here
    from kalshi_elt.base.times import parse_moment
    from kalshi_elt.publish.site.build import Wish, write_site

    if arguments.most < 1:
        raise UsageError(f"--events {arguments.most}: give 1 or more")
    since = arguments.since
    wish = Wish(
        events=arguments.events,
        most=arguments.most,
        since=None if since is None else parse_moment("since", since, time.time()),
        has_docs=arguments.has_docs,
    )
    print(write_site(_warehouse(), Path(arguments.to), wish))
    return 0


def grant_command(arguments: argparse.Namespace) -> int:
    from kalshi_elt.admin.grants import grant

    print(grant(_warehouse()))
    return 0


def upgrade_command(arguments: argparse.Namespace) -> int:
    from kalshi_elt.ops.lock import hold_lock
    from kalshi_elt.ops.versions import upgrade

    warehouse = _warehouse()
    with hold_lock(warehouse, wait=False, any_version=True) as connection:
        before, after = upgrade(connection, str(warehouse))
    if before == after:
        print(f"{warehouse} is of version {after} already")
    else:
        print(f"{warehouse} is of version {after} now, and was of {before}; every row is kept")
    return 0


def distribute_command(arguments: argparse.Namespace) -> int:
    from kalshi_elt.admin.distribute import distribute, statements

    if not arguments.dry_run:
        print(distribute(_warehouse()))
        return 0
    found = statements(_warehouse())
    for statement in ["begin", *found, "commit"] if found else []:
        print(f"{statement.rstrip(';')};")
    if not found:
        print("-- all is distributed already")
    return 0


def stop_command(arguments: argparse.Namespace) -> int:
    from kalshi_elt.warehouse.embedded import EmbeddedServer

    folder = PROJECT_ROOT / pgdata_dir()
    print("stopped" if EmbeddedServer(folder).stop() else f"no server is running in {folder}")
    return 0


def _warehouse() -> Warehouse:
    return open_warehouse(database_url(), pgdata_dir())
