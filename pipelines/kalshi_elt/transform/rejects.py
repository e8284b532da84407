"""Answers that can't be typed, counted."""

from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.warehouse.names import TYPED_SCHEMA
from kalshi_elt.warehouse.queries import exists, select

REJECTS = "select entity, count(*) from kalshi.rejects group by entity order by entity"


def count_rejects(connection: Connection) -> int:
    """How many answers can't be typed; 0 before any model was built."""
    if not exists(connection, TYPED_SCHEMA, "rejects"):
        return 0
    return sum(number for _, number in select(connection, REJECTS))
