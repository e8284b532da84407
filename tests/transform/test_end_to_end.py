"""From the API to typed, keyed tables, on the embedded server and on PostgreSQL 15."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.conftest import Project

SEED = "KXPRESPERSON-28"

# The notebook's own table: last price, yes ask and bid, no ask and bid in cents, liquidity in
# cents, then open interest, volume and volume of 24 h in contracts.
SEED_MARKETS = [
    ("GNEWS", "Gavin Newsom", 20, 20, 19, 81, 80, 1687788542, 637079, 1064135, 11869),
    ("AOCA", "Alexandria Ocasio-Cortez", 6, 6, 5, 95, 94, 1618018807, 459607, 561405, 1579),
    ("PBUT", "Pete Buttigieg", 4, 4, 3, 97, 96, 1636308945, 271676, 334697, 4729),
    ("JSHA", "Josh Shapiro", 4, 4, 3, 97, 96, 1623454560, 327390, 354921, 5842),
    ("KHAR", "Kamala Harris", 3, 3, 2, 98, 97, 1452795617, 498028, 562904, 3121),
    ("WMOO", "Wes Moore", 3, 3, 2, 98, 97, 1616357273, 175774, 253223, 905),
    ("SSMI", "Stephen A. Smith", 1, 1, 0, 100, 99, 1571123549, 189473, 189973, 85),
    ("GWHI", "Gretchen Whitmer", 3, 3, 2, 98, 97, 1614748413, 277124, 312970, 0),
    ("ABES", "Andy Beshear", 3, 3, 2, 98, 97, 1392765186, 236684, 268630, 888),
    ("JPRI", "J.B. Pritzker", 3, 3, 2, 98, 97, 1618593126, 555637, 594056, 435),
]

PRICES = ("last_price", "yes_ask", "yes_bid", "no_ask", "no_bid")
COUNTS = ("open_interest", "volume", "volume_24h")


def test_the_seeds_event_has_the_seeds_values(loaded_project: Project) -> None:
    assert loaded_project.query(
        "select event_ticker, series_ticker, title, category, available_on_brokers, "
        "mutually_exclusive, collateral_return_type, strike_period from kalshi.events"
    ) == [
        (
            *(SEED, "KXPRESPERSON", "Next U.S. Presidential Election Winner?", "Elections"),
            *(True, True, "MECNET", None),
        )
    ]


@pytest.mark.parametrize("expected", SEED_MARKETS, ids=[row[0] for row in SEED_MARKETS])
def test_the_seeds_markets_have_the_seeds_values(
    loaded_project: Project, expected: tuple[object, ...]
) -> None:
    suffix, name, *numbers = expected
    columns = ", ".join(("yes_sub_title", *PRICES, "liquidity", *COUNTS))

    rows = loaded_project.query(
        f"select {columns} from kalshi.markets where market_ticker = %s", f"{SEED}-{suffix}"
    )

    assert rows == [(name, *numbers)]


def test_dollars_are_the_seeds_cents_and_counts_exactly(loaded_project: Project) -> None:
    dollars = [f"{price} = {price}_dollars * 100" for price in (*PRICES, "liquidity")]
    counts = [f"{count} = {count}_fp" for count in COUNTS]

    exact = loaded_project.query(
        f"select count(*) from kalshi.markets where {' and '.join(dollars + counts)}"
    )

    assert exact == [(10,)]


def test_what_the_seed_shows_as_text_and_time_is_typed(loaded_project: Project) -> None:
    assert loaded_project.query(
        "select status, market_type, result, expiration_value, created_time, open_time::text, "
        "close_time::text, tick_size, subtitle, custom_strike ->> 'Pres candidate', "
        "price_ranges -> 0 ->> 'step' from kalshi.markets where market_ticker = %s",
        f"{SEED}-GNEWS",
    ) == [
        (
            *("active", "binary", None, None, None),
            *("2025-05-10 14:00:00+00", "2029-11-07 15:00:00+00", 1, ":: Democratic"),
            *("Gavin Newsom", "0.0100"),
        )
    ]


@pytest.mark.clock
def test_candles_are_those_of_the_last_24_hours_and_equal_what_the_api_answered(
    loaded_project: Project,
) -> None:
    windows = loaded_project.query(
        "select market_ticker, payload from kalshi_raw.candlesticks order by 1, window_start"
    )
    expected = {
        (ticker, candle["end_period_ts"]): (
            Decimal(candle["yes_bid"]["close_dollars"]),
            Decimal(candle["yes_ask"]["low_dollars"]),
            Decimal(candle["price"]["mean_dollars"]) if "mean_dollars" in candle["price"] else None,
            Decimal(candle["volume_fp"]),
            int(Decimal(candle["open_interest_fp"])),
        )
        for ticker, payload in windows
        for candle in payload
    }

    rows = loaded_project.query(
        "select market_ticker, extract(epoch from end_ts)::bigint, yes_bid_close_dollars, "
        "yes_ask_low_dollars, trade_mean_dollars, volume_fp, open_interest "
        "from kalshi.candles where interval_min = 1"
    )

    assert len(expected) > 1000
    assert {(ticker, end): tuple(rest) for ticker, end, *rest in rows} == expected
    assert loaded_project.query(
        "select max(end_ts) - min(end_ts) <= interval '24 hours', count(distinct market_ticker) "
        "from kalshi.candles"
    ) == [(True, 10)]


@pytest.mark.one_server
def test_a_second_run_adds_nothing_twice(project: Project) -> None:
    now = datetime.now(UTC)
    since, until = ((now - timedelta(hours=hours)).isoformat() for hours in (3, 1))
    project.must("load", "--since", since, "--until", until)
    _build_candles(project)
    before = _typed_rows(project)

    project.must("load", "--since", since, "--until", until)
    _build_candles(project)

    assert _typed_rows(project) == before
    for table, rows in (("events", 1), ("markets", 10), ("candlesticks", 10)):
        assert project.query(f"select count(*) from kalshi_raw.{table}") == [(rows,)]


@pytest.mark.one_server
def test_a_full_refresh_of_one_table_keeps_rows_and_keys_of_all(typed_project: Project) -> None:
    rows, keys = _typed_rows(typed_project), _keys(typed_project)

    for selection in ("events", "markets", "candles"):
        typed_project.must("dbt", "run", "--full-refresh", "-s", selection)

        assert (_typed_rows(typed_project), _keys(typed_project)) == (rows, keys), selection
    typed_project.must("transform")
    assert (_typed_rows(typed_project), _keys(typed_project)) == (rows, keys)


def test_a_full_refresh_removes_what_raw_no_longer_holds(typed_project: Project) -> None:
    typed_project.query("delete from kalshi_raw.markets where market_ticker = %s", f"{SEED}-GNEWS")

    _build_candles(typed_project, "--full-refresh")

    assert typed_project.query("select count(*) from kalshi.markets") == [(9,)]
    assert typed_project.query(
        "select count(*) from kalshi.candles where market_ticker = %s", f"{SEED}-GNEWS"
    ) == [(0,)]


def test_removing_an_event_removes_its_markets_and_candles(typed_project: Project) -> None:
    typed_project.query("delete from kalshi.events")

    assert typed_project.query("select count(*) from kalshi.markets") == [(0,)]
    assert typed_project.query("select count(*) from kalshi.candles") == [(0,)]


@pytest.mark.clock
@pytest.mark.one_server
def test_all_intervals_and_the_whole_life_of_a_market(project: Project) -> None:
    # of one market, as its life grows longer with every day that the test is run later
    intervals = ("--interval", "60", "--interval", "1440")
    project.must("load", "--market", f"{SEED}-GNEWS", *intervals, "--since", "open")
    _build_candles(project)

    rows = project.query(
        "select interval_min, min(end_ts)::text, max(end_ts) > now() - interval '3 days' "
        "from kalshi.candles group by 1 order by 1"
    )

    # it opened at 14:00 UTC of a summer's day in New York
    assert rows == [(60, "2025-05-10 15:00:00+00", True), (1440, "2025-05-11 04:00:00+00", True)]


@pytest.mark.one_server
def test_a_failing_dbt_test_ends_transform_with_status_1_and_its_name(
    typed_project: Project,
) -> None:
    typed_project.query("update kalshi.markets set last_price_dollars = 1.5")

    result = typed_project.run("transform", "-s", "markets")

    assert result.status == 1
    assert "markets_prices_between_zero_and_one" in result.last_line


@pytest.mark.one_server
def test_transform_before_the_first_load_says_so(project: Project) -> None:
    result = project.run("transform")

    assert result.status == 1
    assert "run `make load`" in result.last_line


@pytest.mark.one_server
def test_an_older_answer_that_lands_later_overwrites_nothing(typed_project: Project) -> None:
    before = _typed_rows(typed_project)
    typed_project.query(
        """
        insert into kalshi_raw.markets
        select
            market_ticker, event_ticker, jsonb_set(payload, '{status}', '"initialized"'),
            is_sanitized, endpoint, tier, fetched_at - interval '1 hour', '1.0'
        from kalshi_raw.markets;
        insert into kalshi_raw._dlt_loads (load_id, schema_name, status, inserted_at)
        values ('1.0', 'kalshi', 0, now());
        """
    )

    _build_candles(typed_project)

    assert _typed_rows(typed_project) == before


@pytest.mark.one_server
def test_docs_are_one_html_file_with_every_column_described(loaded_project: Project) -> None:
    result = loaded_project.must("docs")

    page = result.out.strip().splitlines()[-1].removeprefix("docs: ")
    html = Path(page).read_text(encoding="utf-8")
    assert "Last trade of the period, in dollars" in html
    assert "One row per market and requested window" in html


def test_status_shows_rows_and_age(loaded_project: Project) -> None:
    out = loaded_project.must("status").out

    assert "kalshi.markets                     10 rows" in out
    assert "min ago" in out


def test_the_models_unit_tests_pass(loaded_project: Project) -> None:
    done = loaded_project.must("dbt", "test", "-s", "test_type:unit").out

    assert "PASS=0" not in done and "Completed successfully" in done


def _build_candles(project: Project, *arguments: str) -> None:
    """All that these tests compare."""
    project.must("dbt", "run", "-s", "+candles", *arguments)


def _typed_rows(project: Project) -> dict[str, list[tuple[object, ...]]]:
    """Every row but for the times at which it was fetched and written."""
    return {
        table: project.query(
            f"select to_jsonb({table}) - 'fetched_at' - 'updated_at' - 'created_at' "
            f"from kalshi.{table} order by {keys}"
        )
        for table, keys in {
            "events": "event_ticker",
            "markets": "market_ticker",
            "candles": "market_ticker, interval_min, end_ts",
        }.items()
    }


def _keys(project: Project) -> list[tuple[object, ...]]:
    return project.query(
        "select conname, pg_get_constraintdef(oid), convalidated from pg_constraint "
        "where connamespace = 'kalshi'::regnamespace union all select indexname, indexdef, true "
        "from pg_indexes where schemaname = 'kalshi' order by 1, 2"
    )
