"""Tests land their own objects without dlt, and the same rows as the loader with it."""

from typing import Any

import pytest

from tests.conftest import Project
from tests.support.landing import Landing, Window, candle, event, land, land_through_dlt, market

RAW_TABLES = ("events", "markets", "candlesticks", "series")


@pytest.mark.one_server
def test_the_rows_are_those_that_the_loader_lands(raw_project: Project) -> None:
    landing = Landing(
        minute=3,
        tier="historical",
        events=[event(title="Who, Müller?"), {"event_ticker": 5}, "none"],
        markets=[market(), market(7), None],
        windows=[Window("M", [candle(1), candle(2)]), Window("N", "no list", 60)],
    )
    land(raw_project, landing)
    rows, loads = raw_rows(raw_project), finished_loads(raw_project)
    assert sum(map(len, rows.values())) == 8
    raw_project.query("truncate kalshi_raw.events, kalshi_raw.markets, kalshi_raw.candlesticks")

    land_through_dlt(raw_project, landing)

    assert raw_rows(raw_project) == rows
    assert finished_loads(raw_project) == loads + 1


def raw_rows(project: Project) -> dict[str, list[Any]]:
    return {
        table: project.query(f"select to_jsonb(r) - '_dlt_load_id' from kalshi_raw.{table} r")
        for table in RAW_TABLES
    }


def finished_loads(project: Project) -> int:
    """Of which each row has been counted as covered."""
    (found,) = project.query(
        "select count(*) from kalshi_raw._dlt_loads join kalshi_ops.covered_loads using (load_id) "
        "where status = 0"
    )
    return int(found[0])
