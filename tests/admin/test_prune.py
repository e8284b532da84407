"""`prune` removes raw windows that are typed, and nothing else, ever."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from kalshi_elt.transform.build import WITHOUT_UNIT_TESTS
from tests.conftest import Project, copied
from tests.support.landing import Landing, Window, candle, event, land, market

ROWS = Landing(
    minute=70,
    events=[event()],
    markets=[market(), market("N")],
    windows=[Window("M", [candle(1), candle(2)]), Window("N", [candle(1)]), Window("N", [], 60)],
)


@pytest.fixture(scope="module")
def template(raw_template: Project) -> Iterator[Project]:
    """A warehouse where these rows are typed."""
    with copied(raw_template) as project:
        land(project, ROWS)
        project.must("dbt", "run")
        yield project


@pytest.fixture
def typed(template: Project) -> Iterator[Project]:
    """A copy of it."""
    with copied(template) as project:
        yield project


def test_typed_windows_go_and_candles_coverage_and_later_runs_stay_as_they_were(
    typed: Project,
) -> None:
    candles, coverage = _candles(typed), _coverage(typed)

    dry = typed.must("prune", "--raw-older-than", "1h", "--dry-run")
    assert "would remove 3 typed windows" in dry.out
    assert _windows(typed) == 3

    result = typed.must("prune", "--raw-older-than", "1h")
    assert "removed 3 typed windows" in result.out
    assert "bytes)" in result.out and "(0 bytes)" not in result.out
    assert _windows(typed) == 0
    assert _coverage(typed) == coverage

    typed.must("dbt", "run")
    typed.must("transform", "--full-refresh")
    assert _candles(typed) == candles
    typed.must("dbt", "test", *WITHOUT_UNIT_TESTS)
    assert "removed 0 typed windows" in typed.must("prune", "--raw-older-than", "1h").out


@pytest.mark.clock
@pytest.mark.one_server
def test_a_full_refresh_after_pruning_still_removes_what_landed_since_and_is_gone(
    typed: Project,
) -> None:
    typed.must("prune", "--raw-older-than", "1h")
    now = (datetime.now(UTC) - datetime(2026, 11, 1, tzinfo=UTC)).total_seconds() / 60
    land(typed, Landing(minute=now, windows=[Window("M", [candle(3), candle(4)])]))
    typed.must("dbt", "run", "-s", "+candles")
    assert len(_candles(typed)) == 5

    typed.query("delete from kalshi_raw.candlesticks")
    typed.must("dbt", "run", "-s", "+candles", "--full-refresh")

    assert len(_candles(typed)) == 3


def test_what_is_not_typed_stays(raw_project: Project) -> None:
    land(
        raw_project,
        ROWS,
        Landing(
            minute=71,
            windows=[
                Window("WAITS", [candle(1)]),
                Window("M", [candle(3), candle(4, volume_fp="-1.00")], 60),
            ],
        ),
    )
    raw_project.must("dbt", "run")
    land(raw_project, Landing(minute=72, windows=[Window("N", [candle(5)])]))

    assert "removed 3 typed windows" in raw_project.must("prune", "--raw-older-than", "1h").out
    assert raw_project.query(
        "select market_ticker, interval_min from kalshi_raw.candlesticks order by 1, 2"
    ) == [("M", 60), ("N", 1), ("WAITS", 1)]

    land(raw_project, Landing(minute=73, markets=[market("WAITS")]))
    raw_project.must("dbt", "run")
    assert raw_project.query(
        "select count(*) from kalshi.candles where market_ticker = 'WAITS'"
    ) == [(1,)]
    assert "removed 2 typed windows" in raw_project.must("prune", "--raw-older-than", "1h").out
    assert _windows(raw_project) == 1


@pytest.mark.one_server
def test_what_is_younger_stays(typed: Project) -> None:
    result = typed.must("prune", "--raw-older-than", "2026-11-01T01:00Z")

    assert "removed 0 typed windows" in result.out
    assert _windows(typed) == 3


@pytest.mark.one_server
def test_before_the_first_build_nothing_goes_and_a_time_has_to_be_one(raw_project: Project) -> None:
    land(raw_project, ROWS)
    untyped = raw_project.run("prune", "--raw-older-than", "1h")
    assert (untyped.status, _windows(raw_project)) == (1, 3)
    assert "make transform" in untyped.last_line

    unreadable = raw_project.run("prune", "--raw-older-than", "soon")
    assert unreadable.status == 2
    assert "--raw-older-than 'soon' is not a valid time" in unreadable.last_line


@pytest.mark.one_server
def test_a_candle_table_that_was_dropped_keeps_everything(typed: Project) -> None:
    typed.query("drop table kalshi.candles cascade")

    assert typed.run("prune", "--raw-older-than", "1h").status == 1
    assert _windows(typed) == 3


def _windows(project: Project) -> int:
    return int(project.query("select count(*) from kalshi_raw.candlesticks")[0][0])


def _candles(project: Project) -> list[tuple[object, ...]]:
    return project.query("select to_jsonb(c) from kalshi.candles c order by 1")


def _coverage(project: Project) -> list[tuple[object, ...]]:
    return project.query("select to_jsonb(c) from kalshi_ops.coverage c order by 1")
