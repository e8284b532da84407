"""The version of a warehouse, which says what its tables in `kalshi_ops` are like.

A program works with warehouses of one version, VERSION. It makes new ones of that version, refuses
newer ones, and brings older ones to it when it is told to (`kalshi-elt upgrade`).
"""

from pathlib import Path

from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.base.errors import WarehouseError
from kalshi_elt.warehouse.queries import execute, select

VERSION = 4

FOLDER = Path(__file__).parent / "sql"

FOUND = """
select
    to_regclass('kalshi_ops.warehouse_version') is not null,
    to_regclass('kalshi_ops.objects') is not null
"""


def version_of(connection: Connection) -> int | None:
    """The warehouse's version; None for a database that is not a warehouse yet."""
    ((has_version, has_objects),) = select(connection, FOUND)
    if not has_version:
        # a warehouse made before there were versions
        return 1 if has_objects else None
    ((version,),) = select(connection, "select max(version) from kalshi_ops.warehouse_version")
    return int(version)


def prepare(connection: Connection, warehouse: str) -> None:
    """Make the tables of a new warehouse; raise WarehouseError for one of another version."""
    version = version_of(connection)
    if version is None:
        _execute(connection, FOLDER / "kalshi_ops.sql")
    else:
        require(version, warehouse)


def check(connection: Connection, warehouse: str) -> None:
    """Raise WarehouseError unless this program can work with the warehouse, or make a new one."""
    require(version_of(connection), warehouse)


def require(version: int | None, warehouse: str) -> None:
    """Raise WarehouseError unless this program can work with a warehouse of that version."""
    if version is None or version == VERSION:
        return
    if version > VERSION:
        raise WarehouseError(
            f"warehouse {warehouse} is of version {version}, and this kalshi-elt knows {VERSION}: "
            "update the program (git pull, make setup)"
        )
    raise WarehouseError(
        f"warehouse {warehouse} is of version {version}, and this kalshi-elt works with {VERSION}: "
        "run `kalshi-elt upgrade`, which keeps every row"
    )


def upgrade(connection: Connection, warehouse: str) -> tuple[int, int]:
    """Bring an older warehouse to VERSION, one version at a time; returns its version before,
    after.

    Each step is one transaction, so an interrupted upgrade can be run again and goes on. Raises
    WarehouseError when the database is not a warehouse, or of a newer version.
    """
    found = version_of(connection)
    if found is None:
        raise WarehouseError(f"{warehouse} is not a warehouse yet: `make load` makes one")
    if found > VERSION:
        require(found, warehouse)
    for version in range(found + 1, VERSION + 1):
        _execute(connection, FOLDER / f"upgrade_to_{version}.sql")
    return found, VERSION


def _execute(connection: Connection, script: Path) -> None:
    """Run a script: all of it takes effect, or nothing, as it goes to the server in one message,
    which is one transaction."""
    execute(connection, script.read_text(encoding="utf-8"))
