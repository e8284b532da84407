"""The version of a warehouse: of its tables in `kalshi_ops`, which are made once and then kept.

A warehouse says which version it is of. A program works with its own version alone: it makes a new
warehouse of it, refuses a newer one, and carries an older one forward when it is told to.
"""

from pathlib import Path

from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.base.errors import WarehouseError

VERSION = 4

FOLDER = Path(__file__).parent / "sql"

FOUND = """
select
    to_regclass('kalshi_ops.warehouse_version') is not null,
    to_regclass('kalshi_ops.objects') is not null
"""


def version_of(connection: Connection) -> int | None:
    """The warehouse's version; None where there is none yet."""
    with connection.cursor() as cursor:
        cursor.execute(FOUND)
        has_version, has_objects = cursor.fetchone() or (False, False)
        if not has_version:
            # before there were versions
            return 1 if has_objects else None
        cursor.execute("select max(version) from kalshi_ops.warehouse_version")
        (version,) = cursor.fetchone() or (1,)
    return int(version)


def prepare(connection: Connection, warehouse: str) -> None:
    """Make the tables of a new warehouse; raise WarehouseError for one of another version."""
    version = version_of(connection)
    if version is None:
        _execute(connection, FOLDER / "kalshi_ops.sql")
    else:
        require(version, warehouse)


def check(connection: Connection, warehouse: str) -> None:
    """Raise WarehouseError unless this program can work with the warehouse; a new one is fine."""
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
    """Carry an older warehouse forward, a version at a time; returns its version before and after.

    Each step is one transaction, so an interrupted upgrade goes on where it stopped.
    """
    found = version_of(connection)
    if found is None:
        raise WarehouseError(f"{warehouse} is no warehouse yet: `make load` makes one")
    if found > VERSION:
        require(found, warehouse)
    for version in range(found + 1, VERSION + 1):
        _execute(connection, FOLDER / f"upgrade_to_{version}.sql")
    return found, VERSION


def _execute(connection: Connection, script: Path) -> None:
    """All of a script or nothing: one message to the server is one transaction."""
    with connection.cursor() as cursor:
        cursor.execute(script.read_text(encoding="utf-8"))
