"""`kalshi-elt distribute`: a plain warehouse on a Citus coordinator becomes a distributed one."""

import argparse

from kalshi_elt.cli.command import Command, the_warehouse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dry-run", action="store_true", help="print the statements, run none of them"
    )


def execute(arguments: argparse.Namespace) -> int:
    from kalshi_elt.admin.distribute import distribute, statements

    if not arguments.dry_run:
        print(distribute(the_warehouse()))
        return 0
    found = statements(the_warehouse())
    for statement in ["begin", *found, "commit"] if found else []:
        print(f"{statement.rstrip(';')};")
    if not found:
        print("-- all is distributed already")
    return 0


COMMAND = Command(
    "distribute",
    "spread a plain warehouse over a Citus cluster; every row stays",
    "Spread a plain warehouse on the coordinator of a Citus cluster over its nodes. Every row "
    "stays.",
    execute,
    add_arguments,
)
