"""`kalshi-elt transform`: dbt build."""

import argparse

from kalshi_elt.cli.command import Command, the_warehouse


def execute(arguments: argparse.Namespace) -> int:
    # dbt takes a second to import: only here
    from kalshi_elt.transform.build import transform

    transform(the_warehouse(), arguments.rest)
    return 0


COMMAND = Command(
    "transform",
    "build the typed tables in schema kalshi from what landed, and test them; arguments go to "
    "`dbt build`",
    "Build the typed tables in schema kalshi from what landed, and test them.",
    execute,
    hands_on=True,
)
