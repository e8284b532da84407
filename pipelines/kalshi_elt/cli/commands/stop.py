"""`kalshi-elt stop`: the embedded server's end."""

import argparse

from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.cli.command import Command
from kalshi_elt.warehouse.connection import pgdata_dir
from kalshi_elt.warehouse.embedded import EmbeddedServer


def execute(arguments: argparse.Namespace) -> int:
    folder = PROJECT_ROOT / pgdata_dir()
    print("stopped" if EmbeddedServer(folder).stop() else f"no server is running in {folder}")
    return 0


COMMAND = Command(
    "stop",
    "stop the embedded PostgreSQL; its data stays",
    "Stop the embedded PostgreSQL. Its data stays, and the next command starts it again.",
    execute,
)
