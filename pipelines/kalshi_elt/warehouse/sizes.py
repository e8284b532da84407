"""How large tables are, with their partitions, indexes and compressed values."""

from dataclasses import dataclass

from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.warehouse.citus import DISTRIBUTED_SIZES, is_distributed
from kalshi_elt.warehouse.queries import IS_PART_OF_TABLE, select

SIZES = f"""
select
    coalesce(sum(greatest(reltuples, 0)), 0)::bigint,
    coalesce(sum(pg_total_relation_size(oid)), 0)::bigint
from pg_class
where {IS_PART_OF_TABLE}
"""


@dataclass(frozen=True)
class Size:
    """Of one table, with its partitions, indexes and compressed values."""

    rows_estimate: int
    """As of the last analyze."""
    bytes: int


def read_size(connection: Connection, table: str) -> Size:
    """The size of a table, given by its name with its schema; 0 when there is no such table.

    Of a distributed table its shards on the nodes are counted.
    """
    query = DISTRIBUTED_SIZES if is_distributed(connection) else SIZES
    return Size(*select(connection, query, {"table": table})[0])
