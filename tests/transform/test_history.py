"""The history of markets: every change of state, also where answers land late, and settlements."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import pytest

from tests.conftest import Project, copied
from tests.support.landing import START, Landing, Window, candle, event, land, market

STATES: list[tuple[int, dict[str, Any]]] = [
    (0, {"yes_bid_dollars": "0.1000"}),
    (1, {"yes_bid_dollars": "0.1000"}),
    (2, {"yes_bid_dollars": "0.2000"}),
    (3, {"yes_bid_dollars": "0.1000"}),
    (4, {"yes_bid_dollars": "0.1000", "status": "closed"}),
]
EXPECTED = [(0, 2, "0.1", "active"), (2, 3, "0.2", "active"), (3, 4, "0.1", "active")]


@pytest.fixture
def project(raw_project: Project) -> Project:
    """A warehouse whose raw tables are empty."""
    return raw_project


def test_each_change_is_a_row_whatever_the_order_of_landing(project: Project) -> None:
    """A market for each order in which its five answers can land, all in five builds."""
    orders = {f"M{number}": order for number, order in enumerate(permutations(range(5)))}
    land(project, Landing(events=[event()]))
    for step in range(5):
        land(
            project,
            *(
                Landing(
                    minute=minute,
                    markets=[
                        market(ticker, **fields)
                        for ticker, order in orders.items()
                        if order[step] == index
                    ],
                )
                for index, (minute, fields) in enumerate(STATES)
            ),
        )
        project.must("dbt", "run", "-s", "+market_history")

    found = project.query(
        "select market_ticker, (extract(epoch from valid_from) - %s) / 60, "
        "(extract(epoch from valid_to) - %s) / 60, trim_scale(yes_bid_dollars)::text, status "
        "from kalshi.market_history order by market_ticker, valid_from",
        START.timestamp(),
        START.timestamp(),
    )
    history: dict[str, list[Any]] = {ticker: [] for ticker in orders}
    for ticker, *row in found:
        history[ticker].append(tuple(row))
    expected = [*EXPECTED, (4, None, "0.1", "closed")]
    assert {orders[ticker]: rows for ticker, rows in history.items() if rows != expected} == {}

    rows = "select to_jsonb(h) from kalshi.market_history h order by market_ticker, valid_from"
    before = project.query(rows)
    project.must("dbt", "run", "--full-refresh", "-s", "market_history")
    assert before == project.query(rows)


def test_a_market_that_waited_for_its_event_has_its_whole_history(project: Project) -> None:
    land(
        project,
        Landing(minute=0, markets=[market()]),
        Landing(minute=1, markets=[market(status="closed")]),
    )
    project.must("dbt", "run", "-s", "+market_history")
    assert project.query("select count(*) from kalshi.market_history") == [(0,)]

    land(project, Landing(minute=2, events=[event()]))
    project.must("dbt", "run", "-s", "+market_history")

    assert project.query("select status, is_current from kalshi.market_history order by 1") == [
        ("active", False),
        ("closed", True),
    ]


SETTLED = {
    "status": "finalized",
    "result": "yes",
    "settlement_value_dollars": "1.0000",
    "settlement_ts": "2026-11-01T00:05:00Z",
    "open_interest_fp": "0.00",
    "last_price_dollars": "0.9900",
    "volume_fp": "25.00",
}


@dataclass(frozen=True)
class Settlement:
    """What landed of a market before it settled, and what its settlement shows."""

    case: str
    answers: Sequence[tuple[int, dict[str, Any]]]
    candles: Sequence[dict[str, Any]]
    open_interest: int | None
    last_candle: int | None


SETTLEMENTS = [
    Settlement("never seen before, no candle", [], [], None, None),
    Settlement("never seen before: the last candle", [], [candle(2), candle(6)], 10, 2),
    Settlement("the last state", [(4, {"open_interest_fp": "18.00"})], [], 18, None),
    Settlement(
        "a state newer than the last candle",
        [(1, {"open_interest_fp": "3.00"}), (4, {"open_interest_fp": "18.00"})],
        [candle(3)],
        *(18, 3),
    ),
    Settlement(
        "a candle newer than the last state",
        [(1, {"open_interest_fp": "18.00"})],
        [candle(3), candle(5, open_interest_fp="21.00"), candle(6)],
        *(21, 5),
    ),
    Settlement(
        "right after settlement it is still told",
        [(1, {}), (8, {**SETTLED, "open_interest_fp": "23.00"})],
        [candle(5)],
        *(23, 5),
    ),
]


@pytest.fixture(scope="module")
def settled(raw_template: Project) -> Iterator[Project]:
    """A market for each of them, its ticker that of the case, in one build."""
    with copied(raw_template) as project:
        land(project, Landing(events=[event()]))
        for each in SETTLEMENTS:
            land(
                project,
                *(
                    Landing(minute=minute, markets=[market(each.case, **fields)])
                    for minute, fields in each.answers
                ),
                Landing(
                    minute=9,
                    markets=[market(each.case, **SETTLED)],
                    windows=[Window(each.case, each.candles)],
                ),
            )
        project.must("dbt", "run", "-s", "+settlements")
        yield project


@pytest.mark.parametrize("settlement", SETTLEMENTS, ids=lambda settlement: settlement.case)
def test_a_settlement_shows_how_the_market_stood_before(
    settled: Project, settlement: Settlement
) -> None:
    assert settled.query(
        "select result, settlement_value_dollars::int, last_price_dollars::text, volume_fp::text, "
        "open_interest_fp::int, (extract(epoch from last_candle_end_ts) - %s)::int / 60 "
        "from kalshi.settlements where market_ticker = %s",
        START.timestamp(),
        settlement.case,
    ) == [("yes", 1, "0.990000", "25.00", settlement.open_interest, settlement.last_candle)]
