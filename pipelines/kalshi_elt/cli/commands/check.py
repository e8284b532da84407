"""`kalshi-elt check`: dbt test and dbt source freshness."""

import argparse

from kalshi_elt.cli.command import Command, the_warehouse


def execute(arguments: argparse.Namespace) -> int:
    # dbt takes a second to import: only here
    from kalshi_elt.transform.build import check

    check(the_warehouse())
    return 0


COMMAND = Command(
    "check",
    "test everything in the warehouse, and how fresh it is",
    "Test everything in the warehouse, not only what is new, and how fresh it is.",
    execute,
)
