"""The lock that one job holds, and forgetting what kalshi_ops remembers of raw rows."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812

from pipelines.errors import BusyError
from pipelines.versions import prepare
from pipelines.warehouse import LOADER, LOADER_ROLE, Warehouse, select

LOCK = (0x6B616C73, 0x68690001)
"""Key of the advisory lock, two integers: "kals" and "hi" with a 1."""

LEAD = (LOCK[0], LOCK[1] + 1)
"""Key of the lock of the loader that leads others."""

PREPARING = (LOCK[0], LOCK[1] + 2)
"""Key of the lock of a loader that makes the tables, where several begin at once."""

SECONDS_BETWEEN_TRIES = 0.5

LEFT_BEHIND_SECONDS = 20.0
"""Longest wait for what a killed load left running in the server."""

HOLDERS = """
select pid::text from pg_locks
where
    locktype = 'advisory'
    and database = (select oid from pg_database where datname = current_database())
    and classid = %s
    and objid = %s
    and granted
"""
"""The server processes of those who hold the lock: several where they share it."""

LEFT_BEHIND = f"""
from pg_stat_activity
where
    datname = current_database()
    and application_name ~ %s
    and coalesce(substring(application_name from ' ([0-9]+)$'), '') not in ({HOLDERS})
    and usename = session_user
    and pid <> pg_backend_pid()
"""
"""Connections of loaders that are dead: who shares names his own as `application_of` says."""


@contextmanager
def hold_lock(
    warehouse: Warehouse,
    *,
    wait: bool,
    any_version: bool = False,
    role: str | None = LOADER_ROLE,
) -> Iterator[Connection]:
    """The connection of the one job that may run on a warehouse, committing by statement.

    Raises BusyError when another one holds the lock, unless `wait`, and WarehouseError when the
    warehouse is of another version, unless `any_version`. The lock goes with the connection, so a
    killed job leaves none. `role`: as whom to act, where there are roles (`kalshi-elt grant`).
    """
    acting = warehouse.acting_as(role) if role else warehouse
    with acting.connect(autocommit=True) as connection:
        _wait_for_lock(connection, "pg_try_advisory_lock", wait, str(warehouse))
        try:
            end_what_was_left_behind(connection)
            if not any_version:
                prepare(connection, str(warehouse))
            yield connection
        finally:
            # closing frees it too, but only when the server comes round to it
            with suppress(psycopg2.Error), connection.cursor() as cursor:
                cursor.execute("select pg_advisory_unlock(%s, %s)", LOCK)


@contextmanager
def share_lock(warehouse: Warehouse, *, wait: bool) -> Iterator[Connection]:
    """The same for one of several loaders: they hold the lock together, and nobody else does.

    One of them at a time holds LEAD besides (`try_to_lead`).
    """
    with warehouse.acting_as(LOADER_ROLE).connect(autocommit=True) as connection:
        _wait_for_lock(connection, "pg_try_advisory_lock_shared", wait, str(warehouse))
        try:
            with connection.cursor() as cursor:
                # two at once would make the same tables
                cursor.execute("select pg_advisory_lock(%s, %s)", PREPARING)
                prepare(connection, str(warehouse))
                cursor.execute("select pg_advisory_unlock(%s, %s)", PREPARING)
            end_what_was_left_behind(connection)
            yield connection
        finally:
            with suppress(psycopg2.Error), connection.cursor() as cursor:
                cursor.execute("select pg_advisory_unlock_all()")


def try_to_lead(connection: Connection) -> bool:
    """Whether this loader leads from now on those that share the lock."""
    return _try_lock(connection, "pg_try_advisory_lock", LEAD)


def count_holders(connection: Connection) -> int:
    """How many hold the lock: several where they share it."""
    return len(select(connection, HOLDERS, LOCK))


def application_of(connection: Connection) -> str:
    """The name of the connections through which a loader lands that shares the lock: it tells whose
    they are."""
    return f"{LOADER} {connection.info.backend_pid}"


def forget(connection: Connection) -> None:
    """Forget what was seen and covered: without the raw rows it would be wrong."""
    with connection.cursor() as cursor:
        cursor.execute("truncate kalshi_ops.objects, kalshi_ops.coverage, kalshi_ops.covered_loads")


def _wait_for_lock(connection: Connection, how: str, wait: bool, warehouse: str) -> None:
    while not _try_lock(connection, how, LOCK):
        if not wait:
            raise BusyError(
                f"another load is running on {warehouse}: run again when it has ended, or with "
                "--wait"
            )
        time.sleep(SECONDS_BETWEEN_TRIES)


def _try_lock(connection: Connection, how: str, key: tuple[int, int]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"select {how}(%s, %s)", key)
        (is_held,) = cursor.fetchone() or (False,)
    return bool(is_held)


def end_what_was_left_behind(connection: Connection) -> None:
    """End the statements of a killed load: a server notices late that its client has gone.

    They would make the same tables, or copy the same files, as the load that follows.
    """
    deadline = time.monotonic() + LEFT_BEHIND_SECONDS
    values = [f"^{LOADER}( [0-9]+)?$", *LOCK]
    with connection.cursor() as cursor:
        # a role may not end what its member has begun
        cursor.execute("set role none")
        cursor.execute(f"select pg_terminate_backend(pid) {LEFT_BEHIND}", values)
        while cursor.rowcount and time.monotonic() < deadline:
            time.sleep(0.05)
            cursor.execute(f"select pid {LEFT_BEHIND}", values)
        cursor.execute("reset role")
