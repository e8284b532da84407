"""A module for each command: its arguments, and what it does.

What takes long to import (dlt 2 s, dbt 1 s, pyarrow 1 s) a command imports when it is executed, so
that every command starts quickly.
"""

from kalshi_elt.cli.commands import (
    backup,
    chart,
    check,
    dbt,
    distribute,
    docs,
    export,
    grant,
    load,
    prune,
    psql,
    replay,
    restore,
    run,
    schedule,
    site,
    status,
    stop,
    transform,
    upgrade,
)

COMMANDS = (
    # fresh data
    load.COMMAND,
    transform.COMMAND,
    run.COMMAND,
    schedule.COMMAND,
    # what is there
    status.COMMAND,
    check.COMMAND,
    psql.COMMAND,
    dbt.COMMAND,
    docs.COMMAND,
    # out of the warehouse
    chart.COMMAND,
    site.COMMAND,
    export.COMMAND,
    # care of the warehouse
    backup.COMMAND,
    restore.COMMAND,
    replay.COMMAND,
    prune.COMMAND,
    grant.COMMAND,
    upgrade.COMMAND,
    distribute.COMMAND,
    stop.COMMAND,
)
"""In the order of `kalshi-elt --help`."""
