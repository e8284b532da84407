"""`kalshi-elt upgrade`: a warehouse of an older version becomes one of this version."""

import argparse

from kalshi_elt.cli.command import Command, the_warehouse
from kalshi_elt.ops.lock import hold_lock
from kalshi_elt.ops.versions import upgrade


def execute(arguments: argparse.Namespace) -> int:
    warehouse = the_warehouse()
    with hold_lock(warehouse, wait=False, any_version=True) as connection:
        before, after = upgrade(connection, str(warehouse))
    if before == after:
        print(f"{warehouse} is of version {after} already")
    else:
        print(f"{warehouse} is of version {after} now, and was of {before}; every row is kept")
    return 0


COMMAND = Command(
    "upgrade",
    "bring a warehouse of an older version up to this one; every row stays",
    "Bring a warehouse that an older version of this program made up to this version. Every row "
    "stays.",
    execute,
)
