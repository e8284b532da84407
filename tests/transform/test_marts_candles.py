"""Candles rolled up to longer ones, and carried forward through periods without any."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from simulator import Simulator
from tests.conftest import Project, copied, empty_project
from tests.support.databases import is_cluster
from tests.support.landing import START, Landing, Window, candle, event, land, market

HOUR = timedelta(hours=1)
ROLLED_UP = ("candles_5m", "candles_15m", "candles_1h", "candles_1d", "candles_1d_utc")


def quote(low: str, high: str, opened: str | None = None, closed: str | None = None) -> Any:
    return {
        "open_dollars": opened or low,
        "high_dollars": high,
        "low_dollars": low,
        "close_dollars": closed or high,
    }


def trade(opened: str, high: str, low: str, closed: str, mean: str) -> Any:
    names = ("open", "high", "low", "close", "mean")
    values = zip(names, (opened, high, low, closed, mean), strict=True)
    return {"previous_dollars": "0.3000", **{f"{name}_dollars": value for name, value in values}}


QUIET = candle(2, price={"previous_dollars": "0.3000"}, yes_bid=quote("0.3100", "0.3300"))
LIVELY = candle(
    7,
    price=trade("0.3400", "0.3600", "0.3300", "0.3500", "0.3450"),
    yes_bid=quote("0.2900", "0.3500", opened="0.3300", closed="0.3400"),
    yes_ask=quote("0.3500", "0.3900"),
    volume_fp="2.00",
    open_interest_fp="12.00",
)
LATE = candle(
    9,
    price=trade("0.3700", "0.3800", "0.3700", "0.3700", "0.3750"),
    yes_bid=quote("0.3400", "0.3600"),
    yes_ask=quote("0.3700", "0.4000", closed="0.3900"),
    volume_fp="6.00",
    open_interest_fp="15.00",
)
KALSHIS_HOUR = candle(
    60,
    price=trade("0.3400", "0.3800", "0.3300", "0.3700", "0.3675"),
    yes_bid=quote("0.2900", "0.3600", opened="0.3100"),
    yes_ask=quote("0.3400", "0.4000", closed="0.3900"),
    volume_fp="8.00",
    open_interest_fp="15.00",
)
"""Those three minutes as Kalshi's own candle of the hour."""

OF_AN_HOUR = Landing(
    minute=70,
    events=[event()],
    markets=[
        *(market(name, close_time="2026-11-01T00:40:00Z") for name in ("M", "TWIN")),
        market("P"),
        market("DAYS"),
    ],
    windows=[
        *(Window(name, [QUIET, LIVELY, LATE]) for name in ("M", "TWIN")),
        Window("P", [candle(minute) for minute in (5, 6, 60)]),
        Window("DAYS", [candle(1)]),
    ],
)
KALSHIS_OWN = Landing(
    minute=71,
    windows=[
        Window("M", [candle(60, yes_bid=quote("0.1000", "0.2000"))], 60),
        Window("TWIN", [KALSHIS_HOUR], 60),
    ],
)
"""An hour that differs from its minutes, and one that does not."""

COMPARED = "candles_1h_equals_kalshis"


@pytest.fixture(scope="module")
def template(server_url: str, simulator: Simulator, dbt_work: Path) -> Iterator[Project]:
    """A warehouse with the minutes of a few markets, rolled up. For tests that only read."""
    with empty_project(server_url, simulator, dbt_work) as project:
        land(project, OF_AN_HOUR)
        project.must("dbt", "run", "-s", "+candles")
        # in the last minute and the first of a day in New York, and in the last of the next
        project.query(
            "insert into kalshi.candles select (jsonb_populate_record(c, jsonb_build_object("
            "'end_ts', c.end_ts + n * interval '1 minute'))).* "
            "from kalshi.candles c, unnest(%s) as n where market_ticker = 'DAYS'",
            [60 * 4 - 1, 60 * 4, 60 * 29 - 1],
        )
        project.must("dbt", "run")
        yield project


@pytest.fixture
def rolled_up(template: Project) -> Iterator[Project]:
    """A copy of it. For tests that change it."""
    with copied(template) as project:
        yield project


@dataclass(frozen=True)
class Later:
    """A copy of it, after Kalshi's own candles of the hour landed and were typed."""

    project: Project
    said: str
    views_before: list[Any]


VIEWS = "select relname, oid from pg_class where relkind = 'v' and oid > 16384 order by 1"


@pytest.fixture(scope="module")
def later(template: Project) -> Iterator[Later]:
    with copied(template) as project:
        project.query("create view public.mine as select * from kalshi.market_summary")
        before = project.query(VIEWS)
        land(project, KALSHIS_OWN)
        # all models, and one test
        models = ("path:dbt_project/models", COMPARED, "--indirect-selection", "empty")
        yield Later(project, project.must("transform", "-s", *models).out, before)


def ends(project: Project, table: str, ticker: str) -> list[datetime]:
    query = f"select end_ts from kalshi.{table} where market_ticker = %s order by 1"
    return [end for (end,) in project.query(query, ticker)]


HOURS = "select to_jsonb(c) - 'updated_at' from kalshi.candles_1h c order by market_ticker, end_ts"


def test_longer_candles_have_what_the_minutes_in_them_say(template: Project) -> None:
    for table in ROLLED_UP:
        found = template.query(
            "select sum(volume_fp), sum(candle_count), min(trade_low_dollars), "
            f"max(yes_ask_high_dollars) from kalshi.{table} where market_ticker = 'M'"
        )
        assert found == [(8, 3, Decimal("0.33"), Decimal("0.40"))], table
    (hour,) = (hour for (hour,) in template.query(HOURS) if hour["market_ticker"] == "M")
    assert hour == {
        "market_ticker": "M",
        "end_ts": (START + HOUR).isoformat(),
        **{"trade_open_dollars": 0.34, "trade_high_dollars": 0.38, "trade_low_dollars": 0.33},
        **{"trade_close_dollars": 0.37, "trade_prev_dollars": 0.3},
        # (2 * 0.345 + 6 * 0.375) / 8
        "trade_mean_dollars": 0.3675,
        **{"yes_bid_open_dollars": 0.31, "yes_bid_high_dollars": 0.36},
        **{"yes_bid_low_dollars": 0.29, "yes_bid_close_dollars": 0.36},
        **{"yes_ask_open_dollars": 0.34, "yes_ask_high_dollars": 0.4},
        **{"yes_ask_low_dollars": 0.34, "yes_ask_close_dollars": 0.39},
        **{"volume_fp": 8.0, "open_interest_fp": 15.0, "candle_count": 3},
    }


def test_a_candle_belongs_to_the_period_that_ends_with_or_after_it(template: Project) -> None:
    assert ends(template, "candles_5m", "P") == [
        START + timedelta(minutes=minute) for minute in (5, 10, 60)
    ]
    assert ends(template, "candles_1h", "P") == [START + HOUR]


def test_days_end_at_midnight_in_new_york_also_when_clocks_change(template: Project) -> None:
    """On 2026-11-01 clocks go back: that day has 25 hours, and ends at 05:00 UTC."""
    assert ends(template, "candles_1d", "DAYS") == [START + 4 * HOUR, START + 29 * HOUR]
    assert ends(template, "candles_1d_utc", "DAYS") == [START + 24 * HOUR, START + 48 * HOUR]


EXACT = [
    *(f"trade_{name}_dollars" for name in ("open", "high", "low", "close", "prev")),
    *(
        f"{side}_{name}_dollars"
        for side in ("yes_bid", "yes_ask")
        for name in ("open", "high", "low", "close")
    ),
    *("volume_fp", "open_interest_fp"),
]
"""Every column of a rolled-up candle but the mean, which is rounded on the way."""


@pytest.mark.slow
@pytest.mark.clock
@pytest.mark.clock_change
@pytest.mark.one_server
def test_rolled_up_hours_and_days_equal_kalshis_own(project: Project) -> None:
    """All is equal but the means, which are rounded: the simulated Kalshi's to four decimals, off
    by at most 0.00005 from the exact mean of the minutes that both are made of; ours to six, off by
    0.0000005 for an hour, and by that once more for a day, as it is made of hours."""
    intervals = ("--interval", "1", "--interval", "60", "--interval", "1440")
    project.must("load", *intervals, "--since", "4d")
    tests = (COMPARED, "candles_1d_equals_kalshis", "--indirect-selection", "empty")
    out = project.must("transform", "-s", "+candles_1d", "+coverage", *tests).out

    for name in (COMPARED, "candles_1d_equals_kalshis"):
        assert f"PASS {name}" in out, out
    # a day begins at the midnight before its end, which may be 23 or 25 hours earlier
    day_before = "((theirs.end_ts at time zone 'America/New_York') - interval '1 day')"
    for table, minutes, begins, farthest_mean in (
        ("candles_1h", 60, "theirs.end_ts - interval '1 hour'", "0.0000505"),
        ("candles_1d", 1440, f"{day_before} at time zone 'America/New_York'", "0.0000510"),
    ):
        compared, traded, *differing = project.query(
            f"""
            select
                count(*),
                count(theirs.trade_mean_dollars),
                count(*) filter (where
                    ({", ".join(f"ours.{column}" for column in EXACT)})
                    is distinct from ({", ".join(f"theirs.{column}" for column in EXACT)})
                ),
                count(*) filter (where
                    (ours.trade_mean_dollars is null) <> (theirs.trade_mean_dollars is null)
                    or abs(ours.trade_mean_dollars - theirs.trade_mean_dollars) > {farthest_mean}
                )
            from kalshi.candles as theirs
            join kalshi.{table} as ours using (market_ticker, end_ts)
            join kalshi.coverage as asked
                on asked.market_ticker = theirs.market_ticker and asked.interval_min = 1
            where
                theirs.interval_min = %s
                and asked.covered @> tstzrange({begins}, theirs.end_ts, '(]')
            """,
            minutes,
        )[0]
        assert compared > 15
        assert traded > 10
        assert differing == [0, 0]


def test_a_rolled_up_hour_that_differs_from_kalshis_is_a_warning(later: Later) -> None:
    assert re.search(rf"WARN 1 {COMPARED}", later.said)


def test_a_mean_may_differ_from_kalshis_by_what_rounding_explains_and_no_more(
    later: Later,
) -> None:
    """By the test's own SQL, as dbt compiled it."""
    with copied(later.project) as project:
        out = project.must("dbt", "test", "-s", COMPARED).out
        assert f"WARN 1 {COMPARED}" in out
        (compiled,) = (project.target / "compiled").rglob(f"{COMPARED}.sql")
        for ours, is_told in (
            ("0.367500", False),
            ("0.367400", False),
            ("0.367600", False),
            ("0.367399", True),
            ("0.367601", True),
            (None, True),
        ):
            project.query(
                "update kalshi.candles_1h set trade_mean_dollars = %s where market_ticker = 'TWIN'",
                ours,
            )
            told = {row[0] for row in project.query(compiled.read_text())}
            assert told == ({"M", "TWIN"} if is_told else {"M"}), ours


def filled(
    project: Project, minutes: int, since: datetime, until: datetime, ticker: str = "M"
) -> list[Any]:
    return project.query(
        "select extract(epoch from end_ts - %s)::integer / 60, yes_bid_close_dollars, "
        "last_trade_dollars, volume_fp, probability, is_filled, is_covered "
        "from kalshi.candles_filled(%s, %s, %s, %s)",
        *(START, ticker, minutes, since, until),
    )


def test_every_period_has_a_row_that_shows_the_last_candle(template: Project) -> None:
    rows = filled(template, 1, START, START + timedelta(minutes=10))

    # the first candle ends after two minutes: before it nothing is known
    assert [row[0] for row in rows] == list(range(2, 11))
    assert [row[5] for row in rows] == [minute not in (2, 7, 9) for minute in range(2, 11)]
    in_between, at_the_end = rows[3], rows[-1]
    assert in_between[1:5] == (Decimal("0.33"), Decimal("0.30"), 0, Decimal("0.335"))
    # bid 0.36, ask 0.39
    assert at_the_end[1:5] == (Decimal("0.36"), Decimal("0.37"), 0, Decimal("0.375"))
    assert all(row[6] for row in rows)


def test_a_range_begins_with_what_came_before_it_and_ends_with_the_close(
    template: Project,
) -> None:
    rows = filled(template, 5, START + timedelta(minutes=20), START + 2 * HOUR)

    assert [row[0] for row in rows] == [25, 30, 35, 40]
    assert {row[1:6] for row in rows} == {
        (Decimal("0.36"), Decimal("0.37"), 0, Decimal("0.375"), True)
    }


def test_what_was_not_asked_for_is_not_covered(template: Project) -> None:
    rows = filled(template, 15, START, START + timedelta(minutes=90), "P")

    assert [(row[0], row[6]) for row in rows] == [
        *((15, True), (30, True), (45, True), (60, True)),
        *((75, False), (90, False)),
    ]


def test_kalshis_own_candles_go_before_rolled_up_ones(later: Later) -> None:
    (row,) = filled(later.project, 60, START, START + HOUR)

    assert row[1] == Decimal("0.20")


def test_days_are_filled_too_and_an_unknown_market_has_none(template: Project) -> None:
    days = filled(template, 1440, START - HOUR, START + timedelta(days=3), "P")

    assert [minutes // 60 for minutes, *_ in days] == [4, 29, 53]
    assert template.query("select * from kalshi.candles_filled('X', 1, '2026-11-01', now())") == []


def test_only_what_is_asked_for_is_read(rolled_up: Project) -> None:
    if is_cluster(rolled_up.database_url):
        pytest.skip("a cluster's plans are read in tests/deploy/test_on_a_cluster.py")
    rolled_up.query(
        "insert into kalshi.candles select (jsonb_populate_record(c, jsonb_build_object("
        "'end_ts', c.end_ts + n * interval '10 minutes'))).* "
        "from kalshi.candles c, generate_series(1, 2000) as n "
        "where market_ticker = 'M' and end_ts = %s",
        START + timedelta(minutes=9),
    )
    rolled_up.query("analyze kalshi.candles")
    rolled_up.query("update kalshi.markets set close_time = null")

    (plan,) = rolled_up.query(
        "explain (analyze, format json) select * from kalshi.candles_filled('M', 5, %s, %s)",
        START + timedelta(days=5),
        START + timedelta(days=5, hours=1),
    )[0]

    read = sum(_rows_read(plan[0]["Plan"]))
    assert 6 <= read <= 20


def _rows_read(node: Any) -> Any:
    if str(node.get("Relation Name", "")).startswith("candles"):
        yield node["Actual Rows"] * node["Actual Loops"]
    for child in node.get("Plans", ()):
        yield from _rows_read(child)


def test_views_that_users_built_stay_and_unchanged_ones_are_left_alone(later: Later) -> None:
    assert later.project.query(VIEWS) == later.views_before
    tickers = "select market_ticker from public.mine order by 1"
    assert later.project.query(tickers) == [("DAYS",), ("M",), ("P",), ("TWIN",)]


def test_what_an_older_version_made_is_replaced_and_what_it_lacks_is_made_of_the_candles(
    rolled_up: Project,
) -> None:
    """Of a version without rolled-up tables, whose raw windows are pruned."""
    hours = rolled_up.query(HOURS)
    rolled_up.query("drop view kalshi.calibration")
    rolled_up.query("create view kalshi.calibration as select 1 as hours_before_close")
    rolled_up.query("drop function kalshi.candles_filled")
    rolled_up.query(
        "create function kalshi.candles_filled(ticker text) returns text "
        "language sql as $$ select ticker $$"
    )
    rolled_up.query(
        "drop table kalshi.candles_1h, kalshi.candles_1d, kalshi.candles_1d_utc cascade"
    )
    rolled_up.query("delete from kalshi_ops.typed_models where model like 'candles_1%'")
    rolled_up.query("delete from kalshi_raw.candlesticks")

    rolled_up.must("dbt", "run", "-s", "+candles_1d_utc", "+candles_filled", "+calibration")

    assert rolled_up.query("select brier_score from kalshi.calibration") == []
    assert filled(rolled_up, 60, START, START + HOUR)
    assert rolled_up.query(HOURS) == hours


def test_any_number_of_minutes_is_a_period(template: Project) -> None:
    rows = filled(template, 4, START, START + timedelta(minutes=12))

    assert [(row[0], row[5]) for row in rows] == [(4, False), (8, False), (12, False)]


@pytest.mark.clock
@pytest.mark.clock_change
def test_now_is_the_latest_end(rolled_up: Project) -> None:
    rolled_up.query("update kalshi.markets set close_time = null")
    now = datetime.now(UTC)

    (last,) = rolled_up.query(
        "select max(end_ts) from kalshi.candles_filled('M', 60, %s, %s)",
        now - timedelta(hours=5),
        now + timedelta(hours=5),
    )[0]

    assert now - HOUR < last <= datetime.now(UTC)
