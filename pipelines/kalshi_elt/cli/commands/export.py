"""`kalshi-elt export`: the typed tables as files."""

import argparse
from pathlib import Path

from kalshi_elt.cli.command import Command, the_warehouse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to", required=True, metavar="DIR", help="a new folder, or the folder of an export"
    )
    parser.add_argument(
        "--format", choices=("parquet", "csv"), default="parquet", help="default: parquet"
    )


def execute(arguments: argparse.Namespace) -> int:
    # pyarrow takes a second to import: only here
    from kalshi_elt.publish.export.export import export

    print(export(the_warehouse(), Path(arguments.to), arguments.format))
    return 0


COMMAND = Command(
    "export",
    "write the typed tables as Parquet or CSV files",
    "Write the typed tables as files; in the folder of an earlier export, what changed since.",
    execute,
    add_arguments,
)
