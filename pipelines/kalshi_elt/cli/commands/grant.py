"""`kalshi-elt grant`: the roles of a warehouse."""

import argparse

from kalshi_elt.cli.command import Command, the_warehouse


def execute(arguments: argparse.Namespace) -> int:
    from kalshi_elt.admin.grants import grant

    print(grant(the_warehouse()))
    return 0


COMMAND = Command(
    "grant",
    "make roles that may load, transform or read, and nothing more",
    "Make three roles in the database, which may load, transform and read, and nothing more.",
    execute,
)
