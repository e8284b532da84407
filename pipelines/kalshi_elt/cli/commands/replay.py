"""`kalshi-elt replay`: the typed tables anew, from raw alone."""

import argparse

from kalshi_elt.cli.command import Command, the_warehouse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--verify", action="store_true", help="prove that they are the same as before"
    )


def execute(arguments: argparse.Namespace) -> int:
    # dbt takes a second to import: only here
    from kalshi_elt.admin.replay import raise_unless_equal, replay, verify

    if not arguments.verify:
        print(replay(the_warehouse()))
        return 0
    compared = verify(the_warehouse())
    print("\n".join(str(one) for one in compared))
    raise_unless_equal(compared)
    return 0


COMMAND = Command(
    "replay",
    "rebuild all typed tables from the raw ones alone",
    "Rebuild all typed tables from the raw ones alone.",
    execute,
    add_arguments,
)
