"""`kalshi-elt dbt`: any dbt command."""

import argparse

from kalshi_elt.base.errors import UsageError
from kalshi_elt.cli.command import Command, the_warehouse


def execute(arguments: argparse.Namespace) -> int:
    # dbt takes a second to import: only here
    from kalshi_elt.transform.build import run_dbt

    if not arguments.rest:
        raise UsageError("name a dbt command, as in `kalshi-elt dbt ls`")
    run_dbt(the_warehouse(), arguments.rest)
    return 0


COMMAND = Command(
    "dbt",
    "run any dbt command on the warehouse, as in `kalshi-elt dbt ls`",
    "Run any dbt command on the warehouse.",
    execute,
    hands_on=True,
)
