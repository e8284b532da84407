"""`kalshi-elt psql`: a prompt on the warehouse."""

import argparse
import os
import subprocess

from kalshi_elt.cli.command import Command, the_warehouse


def execute(arguments: argparse.Namespace) -> int:
    from kalshi_elt.warehouse.client_programs import psql_program

    environment = {**os.environ, **the_warehouse().libpq_environment()}
    return subprocess.call([psql_program(), *arguments.rest], env=environment)


COMMAND = Command(
    "psql",
    "open psql on the warehouse; arguments go to psql",
    "Open psql on the warehouse.",
    execute,
    hands_on=True,
)
