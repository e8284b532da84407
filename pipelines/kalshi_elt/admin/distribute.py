"""`kalshi-elt distribute`: a plain warehouse on a Citus coordinator becomes a distributed one.

All of it is one transaction, over the nodes too: killed or broken off at any moment, the warehouse
is the plain one that it was. The rows of each table are fingerprinted before and after, within it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.base.errors import KalshiEltError, WarehouseError
from kalshi_elt.base.text import count
from kalshi_elt.ops import versions
from kalshi_elt.ops.lock import hold_lock
from kalshi_elt.warehouse.citus import (
    ANCHOR,
    Plan,
    Table,
    has_citus,
    is_distributed,
    pending,
    plan_of,
    server_said,
)
from kalshi_elt.warehouse.connection import Warehouse
from kalshi_elt.warehouse.queries import execute_all, select

NODES = """
select
    (
        select count(*) from pg_dist_node
        where isactive and shouldhaveshards and noderole = 'primary'
    ),
    (select count(*) from pg_dist_shard where logicalrelid = to_regclass(%s))
"""

Fingerprint = tuple[int, int]
"""How many rows there are, and the sum of a hash of each."""


@dataclass(frozen=True)
class Moved:
    """A table that was laid out, with its rows."""

    name: str
    layout: str
    rows: int


@dataclass(frozen=True)
class Distributed:
    """What was done; nothing where all was laid out before."""

    warehouse: str
    moved: tuple[Moved, ...] = ()
    nodes: int = 0
    shards: int = 0
    """Of each distributed table."""
    seconds: float = 0.0

    def __str__(self) -> str:
        if not self.moved:
            return f"{self.warehouse} is distributed already: nothing was changed"
        width = max(len(moved.name) for moved in self.moved)
        return "\n".join(
            [
                *(f"{one.name:<{width}} {one.rows:>14,} rows, {one.layout}" for one in self.moved),
                f"distributed {count(len(self.moved), 'table')} of {self.warehouse} over "
                f"{count(self.nodes, 'node')} in {self.shards:,} shards each; every row and key "
                f"is there ({self.seconds:.1f} s)",
            ]
        )


def statements(warehouse: Warehouse) -> list[str]:
    """What `distribute` would run, in one transaction; empty where all is laid out already.

    Raises KalshiEltError where there is no Citus or nothing to distribute.
    """
    with warehouse.connect() as connection:
        versions.check(connection, str(warehouse))
        plan = _plan(warehouse, connection)
        return [_lock(plan.tables), *plan.statements] if plan.tables else []


def distribute(warehouse: Warehouse) -> Distributed:
    """Lay out what is not laid out yet, with every row and key, or change nothing.

    Raises KalshiEltError where there is no Citus or nothing to distribute, BusyError while a load
    runs, WarehouseError when the cluster refuses or a row would be lost.
    """
    started = time.monotonic()
    with hold_lock(warehouse, wait=False, role=None) as connection:
        with connection:
            plan = _plan(warehouse, connection)
            if not plan.tables:
                return Distributed(str(warehouse))
            moved = _move(warehouse, connection, plan)
        # the lock's connection commits by statement now; shards have no statistics yet
        execute_all(connection, [f"analyze {table.name}" for table in plan.tables])
        ((nodes, shards),) = select(connection, NODES, [ANCHOR])
    seconds = time.monotonic() - started
    return Distributed(str(warehouse), tuple(moved), nodes, shards, seconds)


def _plan(warehouse: Warehouse, connection: Connection) -> Plan:
    if not has_citus(connection):
        raise KalshiEltError(
            f"distribute: {warehouse} has no extension citus: set DATABASE_URL to the coordinator "
            "of a Citus cluster; on plain Postgres there is nothing to distribute"
        )
    tables = pending(connection)
    if not is_distributed(connection) and not any(table.name == ANCHOR for table in tables):
        raise KalshiEltError(
            f"distribute: nothing has landed in {warehouse} yet: `make load` distributes a new "
            "warehouse by itself, `make restore` brings a backup back"
        )
    plan = plan_of(connection, tables)
    for view in plan.views:
        if view.kind != "v":
            raise KalshiEltError(
                f"distribute: the materialized view {view.name} stands on a column that changes "
                "its type: drop it, and make it again afterwards"
            )
    return plan


def _move(warehouse: Warehouse, connection: Connection, plan: Plan) -> list[Moved]:
    try:
        execute_all(connection, [_lock(plan.tables), *plan.before])
        before = [_fingerprint(connection, table) for table in plan.tables]
        execute_all(connection, plan.distribute + plan.after)
        after = [_fingerprint(connection, table) for table in plan.tables]
    except psycopg2.Error as error:
        raise WarehouseError(
            f"distribute: {server_said(error)}; nothing in {warehouse} was changed, run it again"
        ) from error
    for table, one, other in zip(plan.tables, before, after, strict=True):
        if one != other:
            raise WarehouseError(
                f"distribute: {table.name} has {one[0]:,} rows, and {other[0]:,} on the nodes, or "
                f"others; nothing in {warehouse} was changed"
            )
    return [
        Moved(table.name, table.layout, rows)
        for table, (rows, _) in zip(plan.tables, before, strict=True)
    ]


def _lock(tables: Sequence[Table]) -> str:
    """All at once and before anything else: a reader waits, rather than be in the way half-way."""
    return f"lock table {', '.join(table.name for table in tables)} in access exclusive mode"


def _fingerprint(connection: Connection, table: Table) -> Fingerprint:
    ((rows, total),) = select(
        connection,
        f"select count(*), coalesce(sum(hash_record_extended(present, 0)), 0) "
        f"from {table.name} as present",
    )
    return rows, int(total)
