"""Writing the whole warehouse to one folder and back, by pg_dump and pg_restore.

A backup is in Postgres' own directory format, so `pg_restore` alone can read it. The backup of a
distributed warehouse is like that of a plain one, and makes a plain one wherever it is restored.
"""

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.base.errors import BusyError, KalshiEltError, UsageError, WarehouseError
from kalshi_elt.base.text import size
from kalshi_elt.ops.lock import at_rest, hold_lock
from kalshi_elt.warehouse.citus import has_citus, lost_node
from kalshi_elt.warehouse.client_programs import client_program
from kalshi_elt.warehouse.connection import Warehouse
from kalshi_elt.warehouse.names import OPS_SCHEMA, RAW_SCHEMA, TYPED_SCHEMA
from kalshi_elt.warehouse.queries import execute, select

DATA_SCHEMAS = (RAW_SCHEMA, TYPED_SCHEMA, "kalshi_staging")
SCHEMAS = (*DATA_SCHEMAS, OPS_SCHEMA)
"""All schemas that are ours. dlt's own tables are in the raw one."""

JOBS = 2
"""How many tables pg_dump reads at the same time."""

CONTENTS = "toc.dat"
"""The file by which a backup in directory format is known."""

UNFINISHED = ".unfinished"

RELATIONS = """
select pg_namespace.nspname, pg_class.relname
from pg_class
inner join pg_namespace
    on pg_class.relnamespace = pg_namespace.oid
where pg_namespace.nspname = any (%s) and pg_class.relkind in ('r', 'p', 'v', 'm')
order by 1, 2
"""


@dataclass(frozen=True)
class BackedUp:
    """A backup that is complete."""

    warehouse: str
    folder: Path
    bytes: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"backed up {self.warehouse} to {self.folder}: {size(self.bytes)} "
            f"({self.seconds:.1f} s)"
        )


@dataclass(frozen=True)
class Restored:
    """A warehouse that was restored."""

    warehouse: str
    folder: Path
    tables: int
    seconds: float
    is_on_coordinator: bool
    """Whether the server is the coordinator of a Citus cluster, so that it can be distributed
    now."""

    def __str__(self) -> str:
        next_step = "; `kalshi-elt distribute` lays it out over the nodes"
        return (
            f"restored {self.tables:,} tables and views from {self.folder} to {self.warehouse} "
            f"({self.seconds:.1f} s){next_step if self.is_on_coordinator else ''}"
        )


def back_up(warehouse: Warehouse, folder: Path) -> BackedUp:
    """Write one moment of the warehouse into `folder`. Loads may be under way meanwhile, but not on
    a distributed warehouse, whose nodes share no moment: there loads are waited for, and wait.

    The folder is there only once the backup is complete. Raises UsageError when it was there
    before, BusyError when another backup is writing it, WarehouseError when pg_dump fails.
    """
    started = time.monotonic()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"backup {folder}: it is there already; choose another folder")
    server = _look_for_ours(warehouse)
    try:
        with at_rest(warehouse), _unfinished(folder) as (unfinished, handle):
            schemas = [f"--schema={schema}" for schema in SCHEMAS]
            how = ["--format=directory", f"--jobs={JOBS}", "--no-password", f"--file={unfinished}"]
            # pg_dump inherits the handle of the locked folder: when we are killed, the folder stays
            # locked until pg_dump has ended
            _run(warehouse, [client_program("pg_dump", server), *how, *schemas], handle)
            written = sum(file.stat().st_size for file in unfinished.iterdir())
            unfinished.rename(folder)
    except OSError as error:
        raise KalshiEltError(
            f"backup: {error.strerror or error} ({error.filename or folder}); choose another folder"
        ) from error
    return BackedUp(str(warehouse), folder, written, time.monotonic() - started)


def restore(warehouse: Warehouse, folder: Path) -> Restored:
    """Restore a backup into a database that has no rows of ours: all of it or nothing, as it is one
    transaction.

    Owners and grants are left out, as their roles may not exist there. Raises UsageError when the
    folder is not a backup, KalshiEltError when the database has something of ours, BusyError while
    a load is under way, WarehouseError when pg_restore fails.
    """
    started = time.monotonic()
    if not (folder / CONTENTS).is_file():
        raise UsageError(
            f"restore {folder}: that is not a backup; name a folder that `backup` wrote"
        )
    with hold_lock(warehouse, wait=False, role=None) as connection:
        _refuse_unless_empty(warehouse, connection)
        _make_room(connection)
        program = client_program("pg_restore", _major(connection))
        how = ["--single-transaction", "--no-owner", "--no-privileges", "--no-password"]
        _run(warehouse, [program, *how, f"--dbname={warehouse.dbname}", str(folder)])
        # a backup has no statistics for the planner
        execute(connection, "analyze")
        tables = len(_relations(connection, SCHEMAS))
        is_on_coordinator = has_citus(connection)
    seconds = time.monotonic() - started
    return Restored(str(warehouse), folder, tables, seconds, is_on_coordinator)


def _look_for_ours(warehouse: Warehouse) -> int:
    """The server's major version. Raises KalshiEltError when there is nothing to back up."""
    with warehouse.connect() as connection:
        if not _relations(connection, DATA_SCHEMAS):
            raise KalshiEltError(
                f"nothing has landed in {warehouse} yet: run `make load` (or `make demo`) first"
            )
        return _major(connection)


def _refuse_unless_empty(warehouse: Warehouse, connection: Connection) -> None:
    for schema, name in _relations(connection, DATA_SCHEMAS):
        raise KalshiEltError(
            f"restore: {warehouse} already holds {schema}.{name}; set DATABASE_URL to an empty "
            "database, or PGDATA_DIR to a new folder"
        )


def _make_room(connection: Connection) -> None:
    """Drop our schemas, which are empty, so that the backup can bring its own. kalshi_ops is not
    quite empty, as taking the lock makes its tables; nothing was remembered in them yet."""
    for schema in DATA_SCHEMAS:
        execute(connection, f"drop schema if exists {schema}")
    execute(connection, f"drop schema if exists {OPS_SCHEMA} cascade")


def _relations(connection: Connection, schemas: Sequence[str]) -> list[tuple[str, str]]:
    """Schema and name of each table and view of the schemas."""
    return [(schema, name) for schema, name in select(connection, RELATIONS, [list(schemas)])]


def _major(connection: Connection) -> int:
    return connection.server_version // 10_000


@contextmanager
def _unfinished(folder: Path) -> Iterator[tuple[Path, int]]:
    """A folder beside `folder` to write the backup in, and the handle that keeps it locked.

    What a killed backup left in it is removed first. It is gone after the block, unless it was
    renamed in it. Raises BusyError when another backup has it locked.
    """
    unfinished = folder.with_name(folder.name + UNFINISHED)
    unfinished.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(unfinished, os.O_RDONLY)
    try:
        _lock(handle, unfinished)
        for file in unfinished.iterdir():
            file.unlink()
        try:
            yield unfinished, handle
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BusyError(f"another backup is writing to {folder}: run again when it ends") from None


def _run(warehouse: Warehouse, command: list[str], *handles: int) -> None:
    """Run one of Postgres' programs; it gets the password by its environment, which others can't
    see.

    `handles` stay open in it. Raises WarehouseError, with its first error, when it fails.
    """
    environment = {**os.environ, **warehouse.libpq_environment()}
    result = subprocess.run(
        command, env=environment, pass_fds=handles, capture_output=True, text=True
    )
    if result.returncode != 0:
        name = Path(command[0]).name
        lines = [line for line in result.stderr.splitlines() if "error:" in line]
        reason = (lines or result.stderr.splitlines() or [f"status {result.returncode}"])[0]
        reason = lost_node(reason) or reason.strip().removeprefix(f"{name}: ")
        raise WarehouseError(f"{reason} ({name}, {warehouse})")
