"""`kalshi-elt backup`: the whole warehouse in a folder."""

import argparse
from pathlib import Path

from kalshi_elt.cli.command import Command, the_warehouse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="a new folder")


def execute(arguments: argparse.Namespace) -> int:
    from kalshi_elt.admin.backup import back_up

    print(back_up(the_warehouse(), Path(arguments.folder)))
    return 0


COMMAND = Command(
    "backup",
    "write the whole warehouse into a folder, with pg_dump",
    "Write the whole warehouse into a new folder, with pg_dump.",
    execute,
    add_arguments,
)
