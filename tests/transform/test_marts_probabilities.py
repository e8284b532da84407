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


def probabilities(project: Project) -> list[Any]:
    return project.query(
        "select market_ticker, probability, total_probability, overround, "
        "normalised_probability, open_markets, priced_markets "
        "from kalshi.event_probabilities('E', 60, %s, %s)",
        START,
        START + HOUR,
    )


def land_three(project: Project, **event_fields: Any) -> None:
    land(
        project,
        Landing(
            minute=70,
            events=[event(**event_fields)],
            markets=[market("A"), market("B"), market("C")],
            windows=[
                Window("A", [quoted(1, "0.4000", "0.5000", "0.1000")]),
                # 0 and 1 are no quotes: the last trade counts
                Window("B", [quoted(2, "0.0000", "1.0000", "0.7000")]),
                # one side alone makes no mid, and nothing has traded
                Window("C", [quoted(3, "0.2000", "1.0000")]),
            ],
        ),
    )
    project.must("dbt", "run")


def test_the_markets_of_an_event_are_summed_up_and_normalised(project: Project) -> None:
    land_three(project)

    total, over = Decimal("1.15"), Decimal("0.15")
    assert probabilities(project) == [
        ("A", Decimal("0.45"), total, over, Decimal("0.391304"), 3, 2),
        ("B", Decimal("0.7"), total, over, Decimal("0.608696"), 3, 2),
        ("C", None, total, over, None, 3, 2),
    ]


def test_markets_that_do_not_exclude_each_other_have_no_total(project: Project) -> None:
    land_three(project, mutually_exclusive=False)

    assert next(row[1:5] for row in probabilities(project)) == (Decimal("0.45"), None, None, None)


def test_a_closed_market_is_part_of_no_later_total(project: Project) -> None:
    land(
        project,
        Landing(
            minute=70,
            events=[event()],
            markets=[market("A"), market("B", close_time="2026-11-01T00:10:00Z")],
            windows=[Window(name, [quoted(1, "0.4000", "0.5000")]) for name in ("A", "B")],
        ),
    )
    project.must("dbt", "run")

    rows = project.query(
        "select extract(minute from end_ts)::integer, total_probability, open_markets "
        "from kalshi.event_probabilities('E', 5, %s, %s) where market_ticker = 'A'",
        START,
        START + timedelta(minutes=20),
    )

    one, both = Decimal("0.45"), Decimal("0.90")
    assert rows == [(5, both, 2), (10, both, 2), (15, one, 1), (20, one, 1)]


SUMMARY = """
select
    yes_bid_dollars, yes_ask_dollars, spread_dollars, probability, change_1h, change_24h, as_of
from kalshi.market_summary
where market_ticker = 'M'
"""


def test_a_summary_shows_the_newer_of_answer_and_candle(project: Project) -> None:
    windows = [Window("M", [quoted(1, "0.1000", "0.2000"), quoted(30, "0.2000", "0.3000")])]
    land(project, Landing(minute=10, events=[event()], markets=[market()]))
    land(project, Landing(minute=70, windows=windows))
    project.must("dbt", "run")

    (row,) = project.query(SUMMARY)
    assert row[:4] == (Decimal("0.2"), Decimal("0.3"), Decimal("0.1"), Decimal("0.25"))
    assert row[6] == START + timedelta(minutes=30)

    # an answer at minute 71; an hour before it the bid was 0.1 and the ask 0.2
    land(project, Landing(minute=71, markets=[market(volume_fp="99.00")]))
    project.must("dbt", "run")
    (row,) = project.query(SUMMARY)
    assert row[:5] == (
        *(Decimal("0.34"), Decimal("0.36"), Decimal("0.02"), Decimal("0.35")),
        Decimal("0.20"),
    )
    # a day before it nothing was asked for
    assert row[5] is None


def test_an_empty_book_has_no_spread_and_a_closed_market_is_as_of_its_close(
    project: Project,
) -> None:
    fields = {f"{side}_dollars": price for side, price in EMPTY_BOOK.items()}
    closed = market(close_time="2026-11-01T00:05:00Z", status="closed", **fields)
    land(project, Landing(minute=70, events=[event()], markets=[closed]))
    project.must("dbt", "run")

    (row,) = project.query(SUMMARY)

    assert row[2:4] == (None, Decimal("0.35"))
    assert row[6] == START + timedelta(minutes=5)
    assert project.query("select days_to_close from kalshi.market_summary") == [(0,)]


def settled(name: str, result: str, **fields: Any) -> Any:
    return market(
        name, status="finalized", result=result, close_time="2026-11-01T01:30:00Z", **fields
    )


@pytest.fixture(scope="module")
def template(server_url: str, simulator: Simulator, dbt_work: Path) -> Iterator[Project]:
    """Four markets that stood at 45 % an hour before their close, of which one settled yes, and
    others that tell nothing."""
    names = ("A", "B", "C", "D", "OPEN", "SCALAR")
    landing = Landing(
        minute=70,
        events=[event()],
        markets=[
            *(settled(name, "yes" if name == "A" else "no") for name in names[:4]),
            market("OPEN", close_time="2026-11-01T01:30:00Z"),
            settled("SCALAR", "scalar"),
            settled("NEVER-ASKED", "yes"),
        ],
        windows=[Window(name, [quoted(5, "0.4000", "0.5000")]) for name in names],
    )
    with empty_project(server_url, simulator, dbt_work) as project:
        land(project, landing)
        project.must("dbt", "run")
        yield project


@pytest.fixture
def with_settled(template: Project) -> Iterator[Project]:
    """A copy of it."""
    with copied(template) as project:
        yield project


def test_calibration_tells_how_often_prices_were_right(with_settled: Project) -> None:
    (row,) = with_settled.query("select * from kalshi.calibration")

    # Wilson's interval of 1 in 4, from any textbook: 4.6 % to 69.9 %
    assert row == (
        *(1, Decimal("0.4"), Decimal("0.5"), 4, Decimal("0.45"), Decimal("0.25")),
        *(Decimal("0.045586"), Decimal("0.699364")),
        # (0.55^2 + 3 * 0.45^2) / 4
        Decimal("0.2275"),
    )


def test_each_price_before_the_close_can_be_looked_up(with_settled: Project) -> None:
    rows = with_settled.query(
        "select market_ticker, hours_before_close, priced_at, candle_end_ts, is_settled_yes "
        "from kalshi.prices_before_close order by 1"
    )

    at, seen = START + timedelta(minutes=30), START + timedelta(minutes=5)
    assert rows == [(name, 1, at, seen, name == "A") for name in ("A", "B", "C", "D")]


def test_a_result_that_is_taken_back_leaves_the_calibration(with_settled: Project) -> None:
    land(
        with_settled,
        Landing(minute=80, markets=[settled("A", "no"), market("B", status="closed")]),
    )
    with_settled.must("dbt", "run")

    assert with_settled.query(
        "select market_ticker, is_settled_yes from kalshi.prices_before_close order by 1"
    ) == [("A", False), ("C", False), ("D", False)]
    assert with_settled.query("select yes_share, markets from kalshi.calibration") == [(0, 3)]


def test_candles_that_land_late_are_in_the_calibration(with_settled: Project) -> None:
    late = Window("NEVER-ASKED", [quoted(7, "0.9000", "0.9400")])
    land(with_settled, Landing(minute=90, windows=[late]))
    with_settled.must("dbt", "run")

    assert with_settled.query(
        "select bucket_low, markets, yes_share from kalshi.calibration order by 1"
    ) == [(Decimal("0.4"), 4, Decimal("0.25")), (Decimal("0.9"), 1, 1)]
