"""`kalshi-elt docs`: dbt's documentation as one file."""

import argparse

from kalshi_elt.cli.command import Command, the_warehouse


def execute(arguments: argparse.Namespace) -> int:
    # dbt takes a second to import: only here
    from kalshi_elt.transform.build import write_docs

    print(f"docs: {write_docs(the_warehouse())}")
    return 0


COMMAND = Command(
    "docs",
    "write the documentation of all tables as one HTML file",
    "Write dbt's documentation of all tables and columns as one HTML file, which opens without a "
    "server.",
    execute,
)
