"""The lock that keeps jobs on one warehouse apart, and forgetting what is known of raw rows."""

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
from kalshi_elt.warehouse.queries import execute, select

LOCK = (0x6B616C73, 0x68690001)
"""Key of the advisory lock, two integers: the letters "kals", and "hi" followed by the number 1."""

SECONDS_BETWEEN_TRIES = 0.5

LEFT_BEHIND_SECONDS = 20.0
"""Longest wait for statements of a killed load to end in the server."""

LEFT_BEHIND = """
from pg_stat_activity
where
    datname = current_database()
    and application_name = %s
    and usename = session_user
    and pid <> pg_backend_pid()
"""
"""Connections through which dlt landed for loads that are dead. The living load, which asks, holds
the lock and has not opened such a connection yet, so none of these is its own."""


@contextmanager
def hold_lock(
    warehouse: Warehouse,
    *,
    wait: bool,
    any_version: bool = False,
    role: str | None = LOADER_ROLE,
) -> Iterator[Connection]:
    """Hold the warehouse's lock, which only one job can, and give the connection that holds it.

    Each statement on it commits. The lock ends with the connection, so a killed job leaves none.
    `role` is the one to act as, where there are roles (`kalshi-elt grant`). Raises BusyError when
    another job holds the lock, unless `wait`, and WarehouseError when the warehouse is of another
    version, unless `any_version`.
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
            # closing the connection frees the lock, too, but some moments later, when the server
            # notices: the next job would find it held
            with suppress(psycopg2.Error):
                select(connection, "select pg_advisory_unlock(%s, %s)", LOCK)


@contextmanager
def at_rest(warehouse: Warehouse) -> Iterator[None]:
    """On a distributed warehouse, wait until no job is under way, and let none begin in the block.

    Whoever reads one moment of a warehouse takes a snapshot. On plain Postgres that is enough; on a
    cluster it holds for the coordinator alone, so nobody may write meanwhile.
    """
    with warehouse.connect(autocommit=True) as connection:
        if not is_distributed(connection):
            yield
            return
        _wait_for_lock(connection, True, str(warehouse))
        try:
            yield
        finally:
            with suppress(psycopg2.Error):
                select(connection, "select pg_advisory_unlock(%s, %s)", LOCK)


def forget(connection: Connection) -> None:
    """Forget what was seen and covered. For when the raw rows are gone: what they held would
    otherwise never be asked for again."""
    execute(
        connection, "truncate kalshi_ops.objects, kalshi_ops.coverage, kalshi_ops.covered_loads"
    )


def _wait_for_lock(connection: Connection, wait: bool, warehouse: str) -> None:
    while not _try_lock(connection):
        if not wait:
            raise BusyError(
                f"another load is running on {warehouse}: run again when it has ended, or with "
                "--wait"
            )
        time.sleep(SECONDS_BETWEEN_TRIES)


def _try_lock(connection: Connection) -> bool:
    ((is_held,),) = select(connection, "select pg_try_advisory_lock(%s, %s)", LOCK)
    return bool(is_held)


def end_what_was_left_behind(connection: Connection) -> None:
    """End what a killed load left running in the server, which notices late that its client is
    gone.

    Otherwise those statements would make the same tables, or copy the same files, as this load.
    """
    deadline = time.monotonic() + LEFT_BEHIND_SECONDS
    values = [LOADER]
    # as the user who logged in: the loader's role may not end statements that another of its
    # members began
    execute(connection, "set role none")
    left = select(connection, f"select pg_terminate_backend(pid) {LEFT_BEHIND}", values)
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = select(connection, f"select pid {LEFT_BEHIND}", values)
    execute(connection, "reset role")
