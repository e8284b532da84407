"""Candles are partitioned by month; queries touch only the months that they ask for."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from simulator import Simulator
from tests.conftest import Project, empty_project
from tests.support.landing import START, Landing, Window, candle, event, land, market

QUERY = """
explain (costs off)
select * from kalshi.candles
where
    market_ticker = 'M'
    and interval_min = 1
    and end_ts > '2026-11-01T00:00Z'
    and end_ts <= '2026-11-08T00:00Z'
order by end_ts
"""


ROW = Landing(events=[event()], markets=[market()], windows=[Window("M", [candle()])])


@pytest.fixture(scope="module")
def partitioned(server_url: str, simulator: Simulator, dbt_work: Path) -> Iterator[Project]:
    """A candle, typed in a database whose sessions are in another time zone than UTC."""
    with empty_project(server_url, simulator, dbt_work) as project:
        database = project.database_url.rpartition("/")[2]
        project.query(f"alter database {database} set timezone = 'America/New_York'")
        land(project, ROW)
        project.must("dbt", "run", "-s", "+candles")
        yield project


@pytest.mark.clock
def test_months_of_the_data_and_three_to_come_have_partitions_with_all_keys(
    partitioned: Project,
) -> None:
    partitions = dict(
        partitioned.query(
            "set timezone = 'UTC'; select relid::regclass::text, pg_get_expr(relpartbound, relid) "
            "from pg_partition_tree('kalshi.candles') "
            "inner join pg_class on pg_class.oid = relid where isleaf order by 1"
        )
    )
    ((built_at,),) = partitioned.query(
        "set timezone = 'UTC'; select created_at from kalshi.candles"
    )
    # a month may have ended while it was built
    before = built_at - timedelta(minutes=5)
    assert list(partitions) in (names_until(before), names_until(built_at))
    assert partitions["kalshi.candles_2026_12"] == (
        "FOR VALUES FROM ('2026-12-01 00:00:00+00') TO ('2027-01-01 00:00:00+00')"
    )
    keys = partitioned.query(
        "select conrelid::regclass::text, string_agg(contype, '' order by contype) "
        "from pg_constraint where conparentid <> 0 and convalidated and contype in ('p', 'f') "
        "and conrelid::regclass::text like 'kalshi.candles_2%' group by 1"
    )
    assert dict(keys) == dict.fromkeys(partitions, "fp")


def names_until(now: datetime) -> list[str]:
    """Of the partitions from the month of `START` to three months after that of `now`."""
    first, last = (moment.year * 12 + moment.month - 1 for moment in (START, now))
    return [
        f"kalshi.candles_{month // 12}_{month % 12 + 1:02}" for month in range(first, last + 3 + 1)
    ]


def test_months_are_in_utc_whatever_the_session_says(partitioned: Project) -> None:
    assert partitioned.query("select tableoid::regclass::text from kalshi.candles") == [
        ("kalshi.candles_2026_11",)
    ]
    assert partitioned.query(
        "select to_regclass('kalshi.candles_2026_10') is null, "
        "pg_get_expr(relpartbound, oid) like '%%2026-10-31 20:00:00-04%%' "
        "from pg_class where oid = 'kalshi.candles_2026_11'::regclass"
    ) == [(True, True)]


def test_a_query_for_one_market_and_week_reads_one_partition_by_index(
    partitioned: Project,
) -> None:
    plan = "\n".join(line for (line,) in partitioned.query("set enable_seqscan = off; " + QUERY))

    assert "candles_2026_11" in plan
    assert "candles_2026_12" not in plan and "candles_2027" not in plan
    assert "Index" in plan


@pytest.mark.one_server
def test_a_table_of_an_older_version_is_left_alone_with_a_line_that_says_what_to_do(
    project: Project,
) -> None:
    land(project, ROW)
    project.query("create schema kalshi")
    project.query("create table kalshi.candles (market_ticker text)")

    result = project.run("dbt", "run", "-s", "+candles")

    assert result.status == 1
    assert "drop table" in result.out and "kalshi_raw" in result.out, result.out
