"""The typed tables as Postgres' catalog knows them: columns, types, keys."""

from dataclasses import dataclass
from itertools import groupby

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.warehouse.names import TYPED_SCHEMA
from kalshi_elt.warehouse.queries import select

COLUMNS = """
select
    pg_class.relname,
    pg_class.relkind in ('v', 'm'),
    pg_attribute.attname,
    format_type(pg_attribute.atttypid, pg_attribute.atttypmod)
from pg_class
inner join pg_namespace
    on pg_class.relnamespace = pg_namespace.oid
inner join pg_attribute
    on pg_class.oid = pg_attribute.attrelid
where
    pg_namespace.nspname = %s
    and pg_class.relkind in ('r', 'p', 'v', 'm')
    and not pg_class.relispartition
    and pg_attribute.attnum > 0
    and not pg_attribute.attisdropped
order by pg_class.relname, pg_attribute.attnum
"""


KEYS = """
select
    pg_class.relname,
    array(
        select pg_attribute.attname::text
        from unnest(pg_index.indkey) with ordinality as member (attnum, position)
        inner join pg_attribute
            on pg_index.indrelid = pg_attribute.attrelid
            and member.attnum = pg_attribute.attnum
        order by member.position
    )
from pg_index
inner join pg_class
    on pg_index.indrelid = pg_class.oid
inner join pg_namespace
    on pg_class.relnamespace = pg_namespace.oid
where pg_namespace.nspname = %s and pg_index.indisprimary
"""


FIGURES = "count(*), coalesce(sum(hash_record_extended(present, 0)), 0)"
"""How many rows of a table called `present` there are, and the sum of a 64-bit hash of each: equal
for equal rows, in whatever order they are read."""


@dataclass(frozen=True)
class Column:
    """A column and its type, as Postgres spells it: `numeric(10,6)`."""

    name: str
    type: str


@dataclass(frozen=True)
class Table:
    """A table or a view of schema `kalshi`."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    """Columns of the primary key; a view has none."""
    is_view: bool

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(TYPED_SCHEMA, self.name)


def read_tables(connection: Connection) -> list[Table]:
    """All tables and views of schema `kalshi`, by name; none before the first `transform`."""
    keys = dict(select(connection, KEYS, [TYPED_SCHEMA]))
    columns = select(connection, COLUMNS, [TYPED_SCHEMA])
    return [
        Table(
            name,
            tuple(Column(*column) for _, _, *column in found),
            tuple(keys.get(name, ())),
            is_view,
        )
        for (name, is_view), found in groupby(columns, key=lambda row: row[:2])
    ]
