"""What prices imply: of an event's markets together, of each market now, and how good they were."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from simulator import Simulator
from tests.conftest import Project, copied, empty_project
from tests.support.landing import START, Landing, Window, candle, event, flat, land, market

HOUR = timedelta(hours=1)
EMPTY_BOOK = {"yes_bid": "0.0000", "yes_ask": "1.0000"}


def quoted(minute: int, bid: str, ask: str, last_trade: str | None = None) -> Any:
    price = {"previous_dollars": last_trade} if last_trade else {}
    return candle(minute, yes_bid=flat(bid), yes_ask=flat(ask), price=price)


def settled(name: str, result: str, **fields: Any) -> Any:
    return market(
        name, "K", status="finalized", result=result, close_time="2026-11-01T01:30:00Z", **fields
    )


def three_markets(event_ticker: str) -> Landing:
    """What can be told of a price: by both sides, by the last trade, not at all."""
    a, b, c = (f"{event_ticker}-{name}" for name in "ABC")
    return Landing(
        minute=70,
        markets=[market(name, event_ticker) for name in (a, b, c)],
        windows=[
            Window(a, [quoted(1, "0.4000", "0.5000", "0.1000")]),
            # 0 and 1 are no quotes: the last trade counts
            Window(b, [quoted(2, "0.0000", "1.0000", "0.7000")]),
            # one side alone makes no mid, and nothing has traded
            Window(c, [quoted(3, "0.2000", "1.0000")]),
        ],
    )


CLOSES_EARLY = Landing(
    minute=70,
    markets=[
        market("CLOSES-A", "CLOSES"),
        market("CLOSES-B", "CLOSES", close_time="2026-11-01T00:10:00Z"),
    ],
    windows=[Window(f"CLOSES-{name}", [quoted(1, "0.4000", "0.5000")]) for name in "AB"],
)

SUMMARISED = [
    Landing(minute=10, markets=[market()]),
    Landing(
        minute=70,
        windows=[Window("M", [quoted(1, "0.1000", "0.2000"), quoted(30, "0.2000", "0.3000")])],
    ),
]

EMPTY = Landing(
    minute=70,
    markets=[
        market(
            "EMPTY",
            close_time="2026-11-01T00:05:00Z",
            status="closed",
            **{f"{side}_dollars": price for side, price in EMPTY_BOOK.items()},
        )
    ],
)

SETTLED = Landing(
    minute=70,
    markets=[
        *(settled(name, "yes" if name == "A" else "no") for name in "ABCD"),
        market("OPEN", "K", close_time="2026-11-01T01:30:00Z"),
        settled("SCALAR", "scalar"),
        settled("NEVER-ASKED", "yes"),
    ],
    windows=[Window(name, [quoted(5, "0.4000", "0.5000")]) for name in (*"ABCD", "OPEN", "SCALAR")],
)
"""Four markets that stood at 45 % an hour before their close, of which one settled yes, and others
that tell nothing."""

BUILD = (
    *("dbt", "run", "-s", "+market_summary", "+calibration"),
    *("+event_probabilities", "+candles_filled"),
)


@pytest.fixture(scope="module")
def warehouse(server_url: str, simulator: Simulator, dbt_work: Path) -> Iterator[Project]:
    """A warehouse with events of all kinds. For tests that only read."""
    with empty_project(server_url, simulator, dbt_work) as project:
        free = event("FREE", mutually_exclusive=False)
        events = [event(), event("ONE"), free, event("CLOSES"), event("K")]
        land(project, Landing(events=events), three_markets("ONE"), three_markets("FREE"))
        land(project, CLOSES_EARLY, *SUMMARISED, EMPTY, SETTLED)
        project.must(*BUILD)
        yield project


@pytest.fixture(scope="module")
def later(warehouse: Project) -> Iterator[Project]:
    """The same after more landed: a newer answer, results that were taken back, late candles."""
    with copied(warehouse) as project:
        land(
            project,
            Landing(minute=71, markets=[market(volume_fp="99.00")]),
            Landing(minute=80, markets=[settled("A", "no"), market("B", "K", status="closed")]),
            Landing(minute=90, windows=[Window("NEVER-ASKED", [quoted(7, "0.9000", "0.9400")])]),
        )
        project.must(*BUILD)
        yield project


def probabilities(project: Project, event_ticker: str) -> list[Any]:
    return project.query(
        "select market_ticker, probability, total_probability, overround, "
        "normalised_probability, open_markets, priced_markets "
        "from kalshi.event_probabilities(%s, 60, %s, %s)",
        event_ticker,
        START,
        START + HOUR,
    )


def test_the_markets_of_an_event_are_summed_up_and_normalised(warehouse: Project) -> None:
    total, over = Decimal("1.15"), Decimal("0.15")
    assert probabilities(warehouse, "ONE") == [
        ("ONE-A", Decimal("0.45"), total, over, Decimal("0.391304"), 3, 2),
        ("ONE-B", Decimal("0.7"), total, over, Decimal("0.608696"), 3, 2),
        ("ONE-C", None, total, over, None, 3, 2),
    ]


def test_markets_that_do_not_exclude_each_other_have_no_total(warehouse: Project) -> None:
    first = probabilities(warehouse, "FREE")[0]

    assert first[:5] == ("FREE-A", Decimal("0.45"), None, None, None)


def test_a_closed_market_is_part_of_no_later_total(warehouse: Project) -> None:
    rows = warehouse.query(
        "select extract(minute from end_ts)::integer, total_probability, open_markets "
        "from kalshi.event_probabilities('CLOSES', 5, %s, %s) where market_ticker = 'CLOSES-A'",
        START,
        START + timedelta(minutes=20),
    )

    one, both = Decimal("0.45"), Decimal("0.90")
    assert rows == [(5, both, 2), (10, both, 2), (15, one, 1), (20, one, 1)]


def summary(project: Project, ticker: str) -> Any:
    (row,) = project.query(
        "select yes_bid_dollars, yes_ask_dollars, spread_dollars, probability, change_1h, "
        "change_24h, as_of from kalshi.market_summary where market_ticker = %s",
        ticker,
    )
    return row


def test_a_summary_shows_the_newer_of_answer_and_candle(warehouse: Project, later: Project) -> None:
    row = summary(warehouse, "M")
    assert row[:4] == (Decimal("0.2"), Decimal("0.3"), Decimal("0.1"), Decimal("0.25"))
    assert row[6] == START + timedelta(minutes=30)

    # an answer at minute 71; an hour before it the bid was 0.1 and the ask 0.2
    row = summary(later, "M")
    assert row[:5] == (
        *(Decimal("0.34"), Decimal("0.36"), Decimal("0.02"), Decimal("0.35")),
        Decimal("0.20"),
    )
    # a day before it nothing was asked for
    assert row[5] is None


def test_an_empty_book_has_no_spread_and_a_closed_market_is_as_of_its_close(
    warehouse: Project,
) -> None:
    row = summary(warehouse, "EMPTY")

    assert row[2:4] == (None, Decimal("0.35"))
    assert row[6] == START + timedelta(minutes=5)
    assert warehouse.query(
        "select days_to_close from kalshi.market_summary where market_ticker = 'EMPTY'"
    ) == [(0,)]


def test_calibration_tells_how_often_prices_were_right(warehouse: Project) -> None:
    (row,) = warehouse.query("select * from kalshi.calibration")

    # Wilson's interval of 1 in 4, from any textbook: 4.6 % to 69.9 %
    assert row == (
        *(1, Decimal("0.4"), Decimal("0.5"), 4, Decimal("0.45"), Decimal("0.25")),
        *(Decimal("0.045586"), Decimal("0.699364")),
        # (0.55^2 + 3 * 0.45^2) / 4
        Decimal("0.2275"),
    )


def test_each_price_before_the_close_can_be_looked_up(warehouse: Project) -> None:
    rows = warehouse.query(
        "select market_ticker, hours_before_close, priced_at, candle_end_ts, is_settled_yes "
        "from kalshi.prices_before_close order by 1"
    )

    at, seen = START + timedelta(minutes=30), START + timedelta(minutes=5)
    assert rows == [(name, 1, at, seen, name == "A") for name in ("A", "B", "C", "D")]


def test_a_result_that_is_taken_back_leaves_the_calibration_and_late_candles_enter_it(
    later: Project,
) -> None:
    assert later.query(
        "select market_ticker, is_settled_yes from kalshi.prices_before_close order by 1"
    ) == [("A", False), ("C", False), ("D", False), ("NEVER-ASKED", True)]
    assert later.query(
        "select bucket_low, markets, yes_share from kalshi.calibration order by 1"
    ) == [(Decimal("0.4"), 3, 0), (Decimal("0.9"), 1, 1)]
