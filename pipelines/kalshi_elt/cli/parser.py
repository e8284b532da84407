"""Which command is meant, and its arguments."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from kalshi_elt.base.errors import UsageError
from kalshi_elt.cli.command import Command
from kalshi_elt.cli.commands import COMMANDS

PROGRAM = "kalshi-elt"
DESCRIPTION = (
    "Kalshi's prediction-market data in a PostgreSQL of your own: fetch it, turn it into typed and "
    "tested tables, look at it, and get it out again."
)
EPILOG = (
    "DATABASE_URL names the PostgreSQL to use; without it an embedded one runs in .pgdata/. "
    f"`{PROGRAM} COMMAND --help` explains a command."
)
NAME_COLUMN = 18
"""Characters for the names in the list of commands."""


class _Parser(argparse.ArgumentParser):
    """Wrong usage is one line, not the whole usage text."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def parse(argv: Sequence[str] | None) -> tuple[Command, argparse.Namespace]:
    """The command that is meant, with its arguments. Raises UsageError."""
    parser = _build_parser()
    given = list(sys.argv[1:] if argv is None else argv)
    hands_on = {command.name for command in COMMANDS if command.hands_on}
    # what follows such a command is for the program behind it, its own --help too
    known, rest = (given[:1], given[1:]) if hands_on & set(given[:1]) else (given, [])
    arguments, unknown = parser.parse_known_args(known)
    command: Command = arguments.command
    if unknown:
        raise UsageError(
            f"unknown argument: {' '.join(unknown)} (see {PROGRAM} {command.name} --help)"
        )
    arguments.rest = [argument for argument in rest if argument != "--verbose"]
    return command, arguments


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        PROGRAM,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=NAME_COLUMN),
    )
    subparsers = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=_Parser
    )
    for command in COMMANDS:
        sub = subparsers.add_parser(
            command.name, help=command.text, description=command.description, allow_abbrev=False
        )
        sub.add_argument("--verbose", action="store_true", help="show where an error came from")
        sub.set_defaults(command=command)
        command.add_arguments(sub)
    return parser
