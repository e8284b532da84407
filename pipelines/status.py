"""What is in the warehouse: rows, the last load, markets, coverage and its gaps, rejects."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812

from pipelines.warehouse import RAW_SCHEMA, RAW_TABLES, TYPED_SCHEMA, TYPED_TABLES, Warehouse

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

COVERAGE = """
select
    coverage.interval_min,
    count(*),
    min(lower(coverage.covered)),
    max(upper(coverage.covered)),
    count(*) filter (where gaps.gaps > 0),
    coalesce(sum(gaps.gaps), 0)::bigint,
    coalesce(sum(gaps.minutes), 0)::bigint
from kalshi_ops.coverage
left join kalshi_ops.objects
    on objects.entity = 'market'
    and coverage.market_ticker = objects.ticker
left join lateral (
    select
        count(*) as gaps,
        sum(extract(epoch from upper(gap) - lower(gap))) / 60 as minutes
    -- the last minutes are asked for once more by design, so they are no gap yet
    from unnest(
        (coverage.wanted - coverage.covered)
        * tstzmultirange(tstzrange(null, upper(coverage.wanted) - interval '10 minutes'))
    ) as gap
) as gaps on coverage.has_gap and objects.gone_at is null
group by coverage.interval_min
order by coverage.interval_min
"""

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
class Status:
    """Counts and times; None where a table or a row is not there yet."""

    warehouse: str
    rows: dict[str, int | None]
    last_load: datetime | None
    open_markets: int
    settled_markets: int
    gone_markets: int
    known_markets: int
    coverage: list[Coverage]
    rejects: dict[str, int] | None
    newest_data: datetime | None
    """End of the newest period that is covered for good."""


def read_status(warehouse: Warehouse) -> Status:
    """Look into the warehouse."""
    with warehouse.connect() as connection:
        has_objects = _exists(connection, "kalshi_ops", "objects")
        markets = _select(connection, MARKETS)[0] if has_objects else (0, 0, 0, 0)
        coverage = _select(connection, COVERAGE) if has_objects else []
        has_loads = _exists(connection, RAW_SCHEMA, "_dlt_loads")
        has_rejects = _exists(connection, TYPED_SCHEMA, "rejects")
        found = [Coverage(*row) for row in coverage]
        return Status(
            warehouse=str(warehouse),
            rows={f"{schema}.{name}": _count(connection, schema, name) for schema, name in TABLES},
            last_load=_select(connection, LAST_LOAD)[0][0] if has_loads else None,
            open_markets=markets[0],
            settled_markets=markets[1],
            gone_markets=markets[2],
            known_markets=markets[3],
            coverage=found,
            rejects=dict(_select(connection, REJECTS)) if has_rejects else None,
            newest_data=max((one.until for one in found if one.until), default=None),
        )


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
    lines.append(
        f"markets      {status.open_markets:,} open, {status.settled_markets:,} settled, "
        f"{status.gone_markets:,} gone from Kalshi, {status.known_markets:,} known"
    )
    lines += [_coverage_line(one) for one in status.coverage]
    if status.rejects is not None:
        counts = ", ".join(f"{number:,} {entity}" for entity, number in status.rejects.items())
        lines.append(f"rejects      {counts or 'none'}")
    return "\n".join(lines)


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
    return int(_select(connection, query)[0][0])


def _select(connection: Connection, query: str | sql.Composed) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()
