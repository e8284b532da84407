"""The lock that one job holds, and forgetting what kalshi_ops remembers of raw rows."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.base.errors import BusyError
from kalshi_elt.ops.versions import prepare
from kalshi_elt.warehouse.citus import is_distributed
from kalshi_elt.warehouse.connection import Warehouse
from kalshi_elt.warehouse.names import LOADER, LOADER_ROLE

LOCK = (0x6B616C73, 0x68690001)
"""Key of the advisory lock, two integers: "kals" and "hi" with a 1."""

SECONDS_BETWEEN_TRIES = 0.5

LEFT_BEHIND_SECONDS = 20.0
"""Longest wait for what a killed load left running in the server."""

LEFT_BEHIND = """
from pg_stat_activity
where
    datname = current_database()
    and application_name = %s
    and usename = session_user
    and pid <> pg_backend_pid()
"""
"""Connections of loaders that are dead: the one that lives, which asks, has opened none yet."""


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
        _wait_for_lock(connection, wait, str(warehouse))
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
def at_rest(warehouse: Warehouse) -> Iterator[None]:
    """No job begins in the block, and none is under way, where the warehouse is distributed: a
    snapshot holds for the coordinator alone. On plain Postgres a snapshot is all that is needed."""
    with warehouse.connect(autocommit=True) as connection:
        if not is_distributed(connection):
            yield
            return
        _wait_for_lock(connection, True, str(warehouse))
        try:
            yield
        finally:
            with suppress(psycopg2.Error), connection.cursor() as cursor:
                cursor.execute("select pg_advisory_unlock(%s, %s)", LOCK)


def forget(connection: Connection) -> None:
    """Forget what was seen and covered: without the raw rows it would be wrong."""
    with connection.cursor() as cursor:
        cursor.execute("truncate kalshi_ops.objects, kalshi_ops.coverage, kalshi_ops.covered_loads")


def _wait_for_lock(connection: Connection, wait: bool, warehouse: str) -> None:
    while not _try_lock(connection):
        if not wait:
            raise BusyError(
                f"another load is running on {warehouse}: run again when it has ended, or with "
                "--wait"
            )
        time.sleep(SECONDS_BETWEEN_TRIES)


def _try_lock(connection: Connection) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_lock(%s, %s)", LOCK)
        (is_held,) = cursor.fetchone() or (False,)
    return bool(is_held)


def end_what_was_left_behind(connection: Connection) -> None:
    """End the statements of a killed load: a server notices late that its client has gone.

    They would make the same tables, or copy the same files, as the load that follows.
    """
    deadline = time.monotonic() + LEFT_BEHIND_SECONDS
    values = [LOADER]
    with connection.cursor() as cursor:
        # a role may not end what its member has begun
        cursor.execute("set role none")
        cursor.execute(f"select pg_terminate_backend(pid) {LEFT_BEHIND}", values)
        while cursor.rowcount and time.monotonic() < deadline:
            time.sleep(0.05)
            cursor.execute(f"select pid {LEFT_BEHIND}", values)
        cursor.execute("reset role")
