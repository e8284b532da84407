"""`prune` removes raw windows that are typed, and nothing else, ever."""

from datetime import UTC, datetime

import pytest

from tests.conftest import Project
from tests.support.landing import Landing, Window, candle, event, land, market

ROWS = Landing(
    minute=70,
    events=[event()],
    markets=[market(), market("N")],
    windows=[Window("M", [candle(1), candle(2)]), Window("N", [candle(1)]), Window("N", [], 60)],
)


def test_typed_windows_go_and_candles_coverage_and_later_runs_stay_as_they_were(
    project: Project,
) -> None:
    land(project, ROWS)
    project.must("transform")
    candles, coverage = _candles(project), _coverage(project)

    dry = project.must("prune", "--raw-older-than", "1h", "--dry-run")
    assert "would remove 3 typed windows" in dry.out
    assert _windows(project) == 3

    result = project.must("prune", "--raw-older-than", "1h")
    assert "removed 3 typed windows" in result.out
    assert "bytes)" in result.out and "(0 bytes)" not in result.out
    assert _windows(project) == 0
    assert _coverage(project) == coverage

    project.must("transform")
    project.must("transform", "--full-refresh")
    assert _candles(project) == candles
    project.must("dbt", "test")
    assert "removed 0 typed windows" in project.must("prune", "--raw-older-than", "1h").out


@pytest.mark.clock
def test_a_full_refresh_after_pruning_still_removes_what_landed_since_and_is_gone(
    project: Project,
) -> None:
    land(project, ROWS)
    project.must("dbt", "run")
    project.must("prune", "--raw-older-than", "1h")
    now = (datetime.now(UTC) - datetime(2026, 11, 1, tzinfo=UTC)).total_seconds() / 60
    land(project, Landing(minute=now, windows=[Window("M", [candle(3), candle(4)])]))
    project.must("dbt", "run")
    assert len(_candles(project)) == 5

    project.query("delete from kalshi_raw.candlesticks")
    project.must("dbt", "run", "--full-refresh")

    assert len(_candles(project)) == 3


def test_what_is_not_typed_stays(project: Project) -> None:
    land(
        project,
        ROWS,
        Landing(
            minute=71,
            windows=[
                Window("WAITS", [candle(1)]),
                Window("M", [candle(3), candle(4, volume_fp="-1.00")], 60),
            ],
        ),
    )
    project.must("transform")
    land(project, Landing(minute=72, windows=[Window("N", [candle(5)])]))

    assert "removed 3 typed windows" in project.must("prune", "--raw-older-than", "1h").out
    assert project.query(
        "select market_ticker, interval_min from kalshi_raw.candlesticks order by 1, 2"
    ) == [("M", 60), ("N", 1), ("WAITS", 1)]

    land(project, Landing(minute=73, markets=[market("WAITS")]))
    project.must("transform")
    assert project.query("select count(*) from kalshi.candles where market_ticker = 'WAITS'") == [
        (1,)
    ]
    assert "removed 2 typed windows" in project.must("prune", "--raw-older-than", "1h").out
    assert _windows(project) == 1


def test_what_is_younger_stays(project: Project) -> None:
    land(project, ROWS)
    project.must("dbt", "run")

    result = project.must("prune", "--raw-older-than", "2026-11-01T01:00Z")

    assert "removed 0 typed windows" in result.out
    assert _windows(project) == 3


def test_before_the_first_build_nothing_goes_and_a_time_has_to_be_one(project: Project) -> None:
    land(project, ROWS)
    untyped = project.run("prune", "--raw-older-than", "1h")
    assert (untyped.status, _windows(project)) == (1, 3)
    assert "make transform" in untyped.last_line

    unreadable = project.run("prune", "--raw-older-than", "soon")
    assert unreadable.status == 2
    assert "--raw-older-than 'soon' is not a valid time" in unreadable.last_line


def test_a_candle_table_that_was_dropped_keeps_everything(project: Project) -> None:
    land(project, ROWS)
    project.must("dbt", "run")
    project.query("drop table kalshi.candles cascade")

    assert project.run("prune", "--raw-older-than", "1h").status == 1
    assert _windows(project) == 3


def _windows(project: Project) -> int:
    return int(project.query("select count(*) from kalshi_raw.candlesticks")[0][0])


def _candles(project: Project) -> list[tuple[object, ...]]:
    return project.query("select to_jsonb(c) from kalshi.candles c order by 1")


def _coverage(project: Project) -> list[tuple[object, ...]]:
    return project.query("select to_jsonb(c) from kalshi_ops.coverage c order by 1")
