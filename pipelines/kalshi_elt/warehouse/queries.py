"""Running statements on a connection, with the cursor that each of them needs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812


def select(
    connection: Connection,
    query: str | sql.Composable,
    values: Sequence[object] | Mapping[str, object] | None = None,
) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()


def exists(connection: Connection, schema: str, name: str) -> bool:
    """Whether the schema has a table, a view or an index of that name."""
    return bool(
        select(connection, "select to_regclass(%s) is not null", [f"{schema}.{name}"])[0][0]
    )


def execute(
    connection: Connection,
    statement: str | sql.Composable,
    values: Sequence[object] | Mapping[str, object] | None = None,
) -> int:
    """Run a statement; returns the number of rows that it wrote."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.rowcount


IS_PART_OF_TABLE = """
relkind = 'r'
and (
    oid = to_regclass(%(table)s)
    or oid in (select relid from pg_partition_tree(to_regclass(%(table)s)))
)
"""
"""A condition on rows of pg_class: the table `%(table)s`, unless it is partitioned, and else its
partitions."""


def select_row(
    connection: Connection,
    query: str | sql.Composable,
    values: Sequence[object] | Mapping[str, object] | None = None,
) -> tuple[Any, ...]:
    """The first row of a query; an empty tuple when it has no rows."""
    rows = select(connection, query, values)
    return rows[0] if rows else ()


def execute_all(connection: Connection, statements: Iterable[str]) -> None:
    """Run one statement after the other."""
    for statement in statements:
        execute(connection, statement)
