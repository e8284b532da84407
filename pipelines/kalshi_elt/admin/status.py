"""What is in the warehouse: rows, the last load, markets, coverage and its gaps, rejects, nodes."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.ops import versions
from kalshi_elt.ops.gaps import Coverage, read_coverage
from kalshi_elt.transform.rejects import REJECTS
from kalshi_elt.warehouse.citus import Cluster, cluster_lines, is_distributed, read_cluster
from kalshi_elt.warehouse.connection import Warehouse
from kalshi_elt.warehouse.names import RAW_SCHEMA, RAW_TABLES, TYPED_SCHEMA, TYPED_TABLES
from kalshi_elt.warehouse.queries import exists, select
from kalshi_elt.warehouse.sizes import Size, read_size

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


@dataclass(frozen=True)
class LastRun:
    """The newest run of the job that has ended (`kalshi-elt run`)."""

    run_id: int
    outcome: str
    started_at: datetime
    ended_at: datetime | None
    """None when it was killed."""
    error: str | None
    tests_failed: list[str] | None
    requests: dict[str, int] | None


@dataclass(frozen=True)
class Status:
    """What is in a warehouse; None stands for what is not there yet."""

    warehouse: str
    rows: dict[str, int | None]
    """Rows of each table, None for a table that is not there. Counting takes a while where they are
    many, so it is empty unless it is asked for."""
    sizes: dict[str, Size]
    last_load: datetime | None
    open_markets: int
    settled_markets: int
    gone_markets: int
    known_markets: int
    coverage: list[Coverage]
    rejects: dict[str, int] | None
    newest_data: datetime | None
    """End of the newest covered period."""
    partitions: list[str] | None
    """Months that kalshi.candles has a partition for, as 2026_11."""
    last_run: LastRun | None
    cluster: Cluster | None = None
    """None when the warehouse is not distributed."""


def read_status(warehouse: Warehouse, *, count_rows: bool) -> Status:
    """Read the status. Without `count_rows` it takes no longer in a large warehouse than in a small
    one.

    Raises WarehouseError when the warehouse can't be reached or is of another version.
    """
    with warehouse.connect() as connection:
        versions.check(connection, str(warehouse))
        has_objects = exists(connection, "kalshi_ops", "objects")
        markets = select(connection, MARKETS)[0] if has_objects else (0, 0, 0, 0)
        has_loads = exists(connection, RAW_SCHEMA, "_dlt_loads")
        has_rejects = exists(connection, TYPED_SCHEMA, "rejects")
        found = read_coverage(connection) if has_objects else []
        return Status(
            warehouse=str(warehouse),
            rows={
                f"{schema}.{name}": _count(connection, schema, name)
                for schema, name in (TABLES if count_rows else ())
            },
            sizes={
                f"{schema}.{name}": read_size(connection, f"{schema}.{name}")
                for schema, name in TABLES
                if exists(connection, schema, name)
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
                if exists(connection, TYPED_SCHEMA, "candles")
                else None
            ),
            last_run=_last_run(connection) if has_objects else None,
            cluster=read_cluster(connection) if is_distributed(connection) else None,
        )


def render_json(status: Status) -> str:
    """The status as one JSON object, for machines; times are ISO texts."""
    return json.dumps(asdict(status), default=_iso, indent=2)


def render(status: Status) -> str:
    """The status as lines of text, for people."""
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
        lines += cluster_lines(status.cluster)
    return "\n".join(lines)


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


def _count(connection: Connection, schema: str, table: str) -> int | None:
    if not exists(connection, schema, table):
        return None
    query = sql.SQL("select count(*) from {}").format(sql.Identifier(schema, table))
    return int(select(connection, query)[0][0])
