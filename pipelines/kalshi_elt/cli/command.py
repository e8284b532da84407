"""What a command is, and the warehouse that commands work on."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from kalshi_elt.warehouse.connection import Warehouse, database_url, open_warehouse, pgdata_dir


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    """Most commands have none."""


@dataclass(frozen=True)
class Command:
    """One command of `kalshi-elt`: its arguments and what it does."""

    name: str
    text: str
    """What it does, in a line of `kalshi-elt --help`."""
    description: str
    """What it does, in full sentences."""
    execute: Callable[[argparse.Namespace], int]
    """Does it; returns the exit status."""
    add_arguments: Callable[[argparse.ArgumentParser], None] = _no_arguments
    hands_on: bool = False
    """Whether its arguments are for the program behind it, `--help` too; they come as `rest`."""


def the_warehouse() -> Warehouse:
    """The one that DATABASE_URL names, else the embedded one."""
    return open_warehouse(database_url(), pgdata_dir())
