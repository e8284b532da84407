"""What is in the warehouse: rows, the last load, markets, coverage and its gaps, rejects, nodes."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from statistics import fmean

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812

from pipelines import versions
from pipelines.distribution import is_distributed
from pipelines.summary import size
from pipelines.warehouse import (
    OPS_SCHEMA,
    RAW_SCHEMA,
    RAW_TABLES,
    TYPED_SCHEMA,
    TYPED_TABLES,
    Warehouse,
    select,
)

TABLES = (
    *((RAW_SCHEMA, name) for name in RAW_TABLES),
    *((TYPED_SCHEMA, name) for name in TYPED_TABLES),
)

LAST_LOAD = f"select max(inserted_at) from {RAW_SCHEMA}._dlt_loads where status = 0"

MARKETS = """
select
    count(*) filter (where status in ('active', 'open')),
    count(*) filter (where status in ('finalized', 'settled')),
    count(*) filter (where gone_at is not null),
    count(*)
from kalshi_ops.objects
where entity = 'market'
"""

GAPS = """
(coverage.wanted - coverage.covered)
* tstzmultirange(tstzrange(null, to_timestamp(extract(epoch from upper(coverage.wanted)) - 600)))
"""
"""What is missing of a row of kalshi_ops.coverage: the last ten minutes are asked for once more by
design, so they are no gap yet. Of immutable functions: each node unnests its own."""

COVERAGE = f"""
with

totals as (

    select
        interval_min,
        count(*) as markets,
        min(lower(covered)) as since,
        max(upper(covered)) as until
    from kalshi_ops.coverage
    group by interval_min

),

incomplete as materialized (

    select
        interval_min,
        market_ticker,
        {GAPS} as gaps
    from kalshi_ops.coverage
    where has_gap

),

missing as (

    select
        incomplete.interval_min,
        count(distinct incomplete.market_ticker) as markets,
        count(*) as gaps,
        sum(extract(epoch from upper(gap) - lower(gap))) / 60 as minutes
    from incomplete
    left join kalshi_ops.objects
        on objects.entity = 'market'
        and incomplete.market_ticker = objects.ticker
    cross join lateral unnest(incomplete.gaps) as gap
    where objects.gone_at is null
    group by incomplete.interval_min

)

select
    totals.interval_min,
    totals.markets,
    totals.since,
    totals.until,
    coalesce(missing.markets, 0),
    coalesce(missing.gaps, 0),
    coalesce(missing.minutes, 0)::bigint
from totals
left join missing
    on totals.interval_min = missing.interval_min
order by totals.interval_min
"""
"""Counted where the rows are; of those with a gap alone the market is looked up."""

LAST_RUN = """
select run_id, outcome, started_at, ended_at, error, tests_failed, requests
from kalshi_ops.runs
where outcome <> 'running'
order by run_id desc
limit 1
"""

PARTITIONS = """
select right(inhrelid::regclass::text, 7) from pg_inherits
where inhparent = to_regclass('kalshi.candles')
order by 1
"""

IS_PART = """
relkind = 'r'
and (
    oid = to_regclass(%(table)s)
    or oid in (select relid from pg_partition_tree(to_regclass(%(table)s)))
)
"""
"""Of pg_class: the table that has rows, or its partitions."""

SIZES = f"""
select
    coalesce(sum(greatest(reltuples, 0)), 0)::bigint,
    coalesce(sum(pg_total_relation_size(oid)), 0)::bigint
from pg_class
where {IS_PART}
"""

DISTRIBUTED_SIZES = f"""
with

relations as (

    select
        oid,
        reltuples,
        oid in (select logicalrelid from pg_dist_partition) as is_distributed
    from pg_class
    where {IS_PART}

),

sizes as (

    select
        greatest(reltuples, 0) as rows_estimate,
        pg_total_relation_size(oid) as bytes
    from relations
    where not is_distributed

    union all

    select
        greatest(split_part(shards.result, ' ', 1)::real, 0),
        split_part(shards.result, ' ', 2)::bigint
    from relations
    cross join lateral run_command_on_shards(
        relations.oid::regclass,
        $$
        select reltuples || ' ' || pg_total_relation_size(oid) from pg_class
        where oid = '%%s'::regclass
        $$
    ) as shards
    where relations.is_distributed and shards.success

)

select
    coalesce(sum(rows_estimate), 0)::bigint,
    coalesce(sum(bytes), 0)::bigint
from sizes
"""
"""The coordinator's own table is empty, what counts is on the nodes; of a reference table, one
copy."""

NODES = """
select
    pg_dist_node.nodename,
    pg_dist_node.nodeport,
    pg_dist_node.isactive,
    pg_dist_node.shouldhaveshards,
    pg_dist_shard.shardminvalue,
    count(shards.shardid),
    coalesce(sum(shards.shard_size), 0)::bigint
from pg_dist_node
left join (
    select citus_shards.* from citus_shards
    inner join pg_class
        on citus_shards.table_name = pg_class.oid
    where pg_class.relnamespace::regnamespace::text = any (%s)
) as shards
    on pg_dist_node.nodename = shards.nodename
    and pg_dist_node.nodeport = shards.nodeport
left join pg_dist_shard
    on shards.shardid = pg_dist_shard.shardid
where pg_dist_node.noderole = 'primary'
group by 1, 2, 3, 4, 5
order by 1, 2, 5
"""
"""What lies where, by range of the hash: all tables' shards of a range lie together. A reference
table has no range."""

REJECTS = "select entity, count(*) from kalshi.rejects group by entity order by entity"


@dataclass(frozen=True)
class Coverage:
    """What landed windows cover for one interval, and what is missing of what was wanted."""

    interval_min: int
    markets: int
    since: datetime | None
    until: datetime | None
    markets_with_gaps: int
    gaps: int
    gap_minutes: int


@dataclass(frozen=True)
class LastRun:
    """The newest run of `kalshi-elt run` that has ended."""

    run_id: int
    outcome: str
    started_at: datetime
    ended_at: datetime | None
    """None where it was killed."""
    error: str | None
    tests_failed: list[str] | None
    requests: dict[str, int] | None


@dataclass(frozen=True)
class Size:
    """Of one table, with its partitions, indexes and compressed values."""

    rows_estimate: int
    """As of the last analyze."""
    bytes: int


@dataclass(frozen=True)
class Node:
    """A server of the Citus cluster, and what of the warehouse it holds."""

    name: str
    port: int
    is_active: bool
    holds_shards: bool
    """False for a coordinator that holds copies of reference tables alone."""
    shards: int
    """Of all tables, their partitions and indexes; copies of reference tables, too."""
    bytes: int


@dataclass(frozen=True)
class Cluster:
    """How a distributed warehouse lies on its nodes."""

    nodes: list[Node]
    shards: int
    """Of each distributed table."""
    bytes: int
    node_skew: float | None
    """Bytes on the fullest node over the mean of all that hold shards; 1 is even, None is empty."""
    shard_skew: float | None
    """The same for shards, all tables' of one range together."""


@dataclass(frozen=True)
class Status:
    """Counts and times; None where a table or a row is not there yet."""

    warehouse: str
    rows: dict[str, int | None]
    """Counted one by one, which takes its time with many; empty unless asked for."""
    sizes: dict[str, Size]
    last_load: datetime | None
    open_markets: int
    settled_markets: int
    gone_markets: int
    known_markets: int
    coverage: list[Coverage]
    rejects: dict[str, int] | None
    newest_data: datetime | None
    """End of the newest period that is covered for good."""
    partitions: list[str] | None
    """Months of kalshi.candles, as 2026_11."""
    last_run: LastRun | None
    cluster: Cluster | None = None
    """None where the warehouse is not distributed."""


def read_status(warehouse: Warehouse, *, count_rows: bool) -> Status:
    """Look into the warehouse. Without `count_rows` it takes no longer with more rows."""
    with warehouse.connect() as connection:
        versions.require(versions.version_of(connection), str(warehouse))
        has_objects = _exists(connection, "kalshi_ops", "objects")
        markets = select(connection, MARKETS)[0] if has_objects else (0, 0, 0, 0)
        coverage = select(connection, COVERAGE) if has_objects else []
        has_loads = _exists(connection, RAW_SCHEMA, "_dlt_loads")
        has_rejects = _exists(connection, TYPED_SCHEMA, "rejects")
        found = [Coverage(*row) for row in coverage]
        is_on_nodes = is_distributed(connection)
        sizes = DISTRIBUTED_SIZES if is_on_nodes else SIZES
        return Status(
            warehouse=str(warehouse),
            rows={
                f"{schema}.{name}": _count(connection, schema, name)
                for schema, name in (TABLES if count_rows else ())
            },
            sizes={
                f"{schema}.{name}": Size(
                    *select(connection, sizes, {"table": f"{schema}.{name}"})[0]
                )
                for schema, name in TABLES
                if _exists(connection, schema, name)
            },
            last_load=select(connection, LAST_LOAD)[0][0] if has_loads else None,
            open_markets=markets[0],
            settled_markets=markets[1],
            gone_markets=markets[2],
            known_markets=markets[3],
            coverage=found,
            rejects=dict(select(connection, REJECTS)) if has_rejects else None,
            newest_data=max((one.until for one in found if one.until), default=None),
            partitions=(
                [month for (month,) in select(connection, PARTITIONS)]
                if _exists(connection, TYPED_SCHEMA, "candles")
                else None
            ),
            last_run=_last_run(connection) if has_objects else None,
            cluster=_cluster(connection) if is_on_nodes else None,
        )


def count_gaps(connection: Connection) -> int:
    """How many stretches were wanted and are not covered."""
    return sum(Coverage(*row).gaps for row in select(connection, COVERAGE))


def count_rejects(connection: Connection) -> int:
    """How many answers can't be typed; 0 before any model was built."""
    if not _exists(connection, TYPED_SCHEMA, "rejects"):
        return 0
    return sum(number for _, number in select(connection, REJECTS))


def render_json(status: Status) -> str:
    """The status for machines: one JSON object, times in ISO form."""
    return json.dumps(asdict(status), default=_iso, indent=2)


def render(status: Status) -> str:
    """The status as lines of text."""
    lines = [f"warehouse    {status.warehouse}"]
    lines += [
        f"{name:<24} {'not there yet' if count is None else f'{count:>12,} rows'}"
        for name, count in status.rows.items()
    ]
    lines.append(f"last load    {_ago(status.last_load)}")
    lines.append(f"newest data  {_ago(status.newest_data)}")
    if status.last_run:
        lines.append(_last_run_line(status.last_run))
    lines.append(
        f"markets      {status.open_markets:,} open, {status.settled_markets:,} settled, "
        f"{status.gone_markets:,} gone from Kalshi, {status.known_markets:,} known"
    )
    lines += [_coverage_line(one) for one in status.coverage]
    if status.rejects is not None:
        counts = ", ".join(f"{number:,} {entity}" for entity, number in status.rejects.items())
        lines.append(f"rejects      {counts or 'none'}")
    if status.cluster is not None:
        lines += _cluster_lines(status.cluster)
    return "\n".join(lines)


def _cluster(connection: Connection) -> Cluster:
    rows = select(connection, NODES, [[RAW_SCHEMA, TYPED_SCHEMA, OPS_SCHEMA]])
    shards: dict[str, int] = {}
    nodes: dict[tuple[str, int], Node] = {}
    for name, port, is_active, holds_shards, shard, number, in_bytes in rows:
        so_far = nodes.get((name, port))
        nodes[name, port] = Node(
            name,
            port,
            is_active,
            holds_shards,
            number + (so_far.shards if so_far else 0),
            in_bytes + (so_far.bytes if so_far else 0),
        )
        if shard is not None:
            shards[shard] = shards.get(shard, 0) + in_bytes
    return Cluster(
        nodes=list(nodes.values()),
        shards=len(shards),
        bytes=sum(node.bytes for node in nodes.values()),
        node_skew=_skew([node.bytes for node in nodes.values() if node.holds_shards]),
        shard_skew=_skew(list(shards.values())),
    )


def _skew(sizes: list[int]) -> float | None:
    """The largest over the mean."""
    return round(max(sizes) / fmean(sizes), 2) if any(sizes) else None


def _cluster_lines(cluster: Cluster) -> list[str]:
    skews = (("node", cluster.node_skew), ("shard", cluster.shard_skew))
    even = ", ".join(f"largest {name} {skew:.2f} x the mean" for name, skew in skews if skew)
    return [
        f"cluster      {len(cluster.nodes):,} nodes, {cluster.shards:,} shards of each table, "
        f"{size(cluster.bytes)}{f'; {even}' if even else ''}",
        *(
            f"node         {node.name}:{node.port} {'active' if node.is_active else 'NOT ACTIVE'}, "
            f"{node.shards:,} shards, {size(node.bytes)}"
            f"{'' if node.holds_shards else ' (reference tables alone)'}"
            for node in cluster.nodes
        ),
    ]


def _last_run(connection: Connection) -> LastRun | None:
    found = select(connection, LAST_RUN)
    return LastRun(*found[0]) if found else None


def _last_run_line(run: LastRun) -> str:
    ended = f", {_ago(run.ended_at)}" if run.ended_at else ""
    return f"last run     {run.run_id} {run.outcome}{ended}{': ' + run.error if run.error else ''}"


def _coverage_line(one: Coverage) -> str:
    gaps = (
        f"{one.gaps:,} gaps of {one.gap_minutes:,} min in {one.markets_with_gaps:,} markets: "
        "the next load asks for them"
        if one.gaps
        else "no gaps"
    )
    return (
        f"{one.interval_min}-minute candles of {one.markets:,} markets, "
        f"{_iso(one.since)} to {_iso(one.until)}: {gaps}"
    )


def _iso(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if moment else "never"


def _ago(moment: datetime | None) -> str:
    if moment is None:
        return "none yet"
    minutes = int((datetime.now(UTC) - moment).total_seconds() // 60)
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC, {minutes:,} min ago"


def _exists(connection: Connection, schema: str, table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("select to_regclass(%s) is not null", [f"{schema}.{table}"])
        (found,) = cursor.fetchone() or (False,)
    return bool(found)


def _count(connection: Connection, schema: str, table: str) -> int | None:
    if not _exists(connection, schema, table):
        return None
    query = sql.SQL("select count(*) from {}").format(sql.Identifier(schema, table))
    return int(select(connection, query)[0][0])
