"""Bytes a candle of each table and index, partitions summed."""

from bench.measure import verdict
from bench.workspace import Database

RAW_TARGET = 100
TYPED_TARGET = 330

SIZES = """
with recursive

relations as (
    select oid, oid as root, 0 as depth from pg_class where oid = any (
        select %(table)s::regclass
        union all
        select indexrelid from pg_index where indrelid = %(table)s::regclass
    )
    union all
    select pg_inherits.inhrelid, relations.root, relations.depth + 1
    from relations inner join pg_inherits on relations.oid = pg_inherits.inhparent
)

select
    roots.relname,
    sum(pg_relation_size(relations.oid)
        + pg_relation_size(relations.oid, 'vm') + pg_relation_size(relations.oid, 'fsm'))::bigint,
    coalesce(sum(pg_total_relation_size(nullif(parts.reltoastrelid, 0))), 0)::bigint
from relations
inner join pg_class as roots on relations.root = roots.oid
inner join pg_class as parts on relations.oid = parts.oid
group by roots.oid, roots.relname, roots.relkind
order by roots.relkind not in ('r', 'p'), roots.relname
"""
"""The table, then its indexes, each with its own bytes and those of its values stored aside
(TOAST)."""


def show_storage(database: Database) -> None:
    """Print the storage of raw and typed candles, each against its target."""
    candles = database.number("select count(*) from kalshi.candles")
    if not candles:
        print("storage: no candles")
        return
    for table, target in (
        ("kalshi_raw.candlesticks", RAW_TARGET),
        ("kalshi.candles", TYPED_TARGET),
    ):
        total = 0.0
        print(f"storage of {table}, {candles:,.0f} candles, bytes a candle:")
        for name, own, aside in _sizes(database, table):
            total += own + aside
            kept_aside = f" + {aside / candles:,.1f} aside (TOAST)" if aside else ""
            print(f"  {name:<34} {own / candles:,.1f}{kept_aside}")
        verdict(f"storage {table}", total / candles, "bytes/candle", target=target)


def _sizes(database: Database, table: str) -> list[tuple[str, int, int]]:
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute(SIZES, {"table": table})
        return [(name, int(own), int(aside)) for name, own, aside in cursor.fetchall()]
