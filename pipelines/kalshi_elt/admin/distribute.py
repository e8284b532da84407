"""`kalshi-elt distribute`: a plain warehouse on a Citus coordinator becomes a distributed one.

All of it is one transaction, on the nodes, too: killed or broken off at any moment, it leaves the
plain warehouse as it was. Within the transaction the rows of each table are counted and hashed
before and after, and it commits only when they are the same.
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
    Distribution,
    Table,
    distribution_of,
    has_citus,
    is_distributed,
    not_distributed,
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
    """A table that was distributed or made a reference table, with the number of its rows."""

    name: str
    layout: str
    rows: int


@dataclass(frozen=True)
class Distributed:
    """What was done; `moved` is empty when everything was distributed before."""

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
    """The statements that `distribute` would run, in one transaction; none when everything is
    distributed already.

    Raises KalshiEltError when the server has no Citus, or the warehouse has nothing to distribute.
    """
    with warehouse.connect() as connection:
        versions.check(connection, str(warehouse))
        distribution = _distribution(warehouse, connection)
        return [_lock(distribution.tables), *distribution.statements] if distribution.tables else []


def distribute(warehouse: Warehouse) -> Distributed:
    """Distribute all tables that are not distributed yet, with every row and key, or change
    nothing.

    Raises KalshiEltError when the server has no Citus, or the warehouse has nothing to distribute;
    BusyError while a load is under way; WarehouseError when the cluster refuses, or a row would be
    lost.
    """
    started = time.monotonic()
    with hold_lock(warehouse, wait=False, role=None) as connection:
        with connection:
            distribution = _distribution(warehouse, connection)
            if not distribution.tables:
                return Distributed(str(warehouse))
            moved = _move(warehouse, connection, distribution)
        # outside of the transaction each statement on the lock's connection commits by itself.
        # Shards that were just made have no statistics for the planner
        execute_all(connection, [f"analyze {table.name}" for table in distribution.tables])
        ((nodes, shards),) = select(connection, NODES, [ANCHOR])
    seconds = time.monotonic() - started
    return Distributed(str(warehouse), tuple(moved), nodes, shards, seconds)


def _distribution(warehouse: Warehouse, connection: Connection) -> Distribution:
    """How to distribute what is not distributed yet. Raises KalshiEltError where that can't be
    done."""
    if not has_citus(connection):
        raise KalshiEltError(
            f"distribute: {warehouse} has no extension citus: set DATABASE_URL to the coordinator "
            "of a Citus cluster; on plain Postgres there is nothing to distribute"
        )
    tables = not_distributed(connection)
    if not is_distributed(connection) and not any(table.name == ANCHOR for table in tables):
        raise KalshiEltError(
            f"distribute: nothing has landed in {warehouse} yet: `make load` distributes a new "
            "warehouse by itself, `make restore` brings a backup back"
        )
    distribution = distribution_of(connection, tables)
    for view in distribution.views:
        if view.kind != "v":
            raise KalshiEltError(
                f"distribute: the materialized view {view.name} stands on a column that changes "
                "its type: drop it, and make it again afterwards"
            )
    return distribution


def _move(warehouse: Warehouse, connection: Connection, distribution: Distribution) -> list[Moved]:
    try:
        execute_all(connection, [_lock(distribution.tables), *distribution.before])
        before = [_fingerprint(connection, table) for table in distribution.tables]
        execute_all(connection, distribution.distribute + distribution.after)
        after = [_fingerprint(connection, table) for table in distribution.tables]
    except psycopg2.Error as error:
        raise WarehouseError(
            f"distribute: {server_said(error)}; nothing in {warehouse} was changed, run it again"
        ) from error
    for table, one, other in zip(distribution.tables, before, after, strict=True):
        if one != other:
            raise WarehouseError(
                f"distribute: {table.name} has {one[0]:,} rows, and {other[0]:,} on the nodes, or "
                f"others; nothing in {warehouse} was changed"
            )
    return [
        Moved(table.name, table.layout, rows)
        for table, (rows, _) in zip(distribution.tables, before, strict=True)
    ]


def _lock(tables: Sequence[Table]) -> str:
    """The statement that locks all tables before anything else is done. From then on readers wait:
    one that came half-way could hold us up, while we hold it up."""
    return f"lock table {', '.join(table.name for table in tables)} in access exclusive mode"


def _fingerprint(connection: Connection, table: Table) -> Fingerprint:
    ((rows, total),) = select(
        connection,
        f"select count(*), coalesce(sum(hash_record_extended(present, 0)), 0) "
        f"from {table.name} as present",
    )
    return rows, int(total)
