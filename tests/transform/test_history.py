"""The history of markets: every change of state, also where answers land late, and settlements."""

from itertools import permutations
from typing import Any

import pytest

from tests.conftest import Project
from tests.support.landing import START, Landing, Window, candle, event, land, market

STATES: list[tuple[int, dict[str, Any]]] = [
    (0, {"yes_bid_dollars": "0.1000"}),
    (1, {"yes_bid_dollars": "0.1000"}),
    (2, {"yes_bid_dollars": "0.2000"}),
    (3, {"yes_bid_dollars": "0.1000"}),
    (4, {"yes_bid_dollars": "0.1000", "status": "closed"}),
]
EXPECTED = [(0, 2, "0.1", "active"), (2, 3, "0.2", "active"), (3, 4, "0.1", "active")]


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (1, 3, 0, 4, 2)])
def test_each_change_is_a_row_whatever_the_order_of_landing(
    project: Project, order: tuple[int, ...]
) -> None:
    assert order in permutations(range(5))
    land(project, Landing(events=[event()]))
    for index in order:
        minute, fields = STATES[index]
        land(project, Landing(minute=minute, markets=[market(**fields)]))
        project.must("dbt", "run", "-s", "+market_history")

    found = project.query(
        "select (extract(epoch from valid_from) - %s) / 60, "
        "(extract(epoch from valid_to) - %s) / 60, trim_scale(yes_bid_dollars)::text, status "
        "from kalshi.market_history order by valid_from",
        START.timestamp(),
        START.timestamp(),
    )
    assert [tuple(row) for row in found] == [*EXPECTED, (4, None, "0.1", "closed")]
    before = project.query("select to_jsonb(h) from kalshi.market_history h order by valid_from")
    project.must("dbt", "run", "--full-refresh", "-s", "market_history")
    assert before == project.query(
        "select to_jsonb(h) from kalshi.market_history h order by valid_from"
    )


def test_a_market_that_waited_for_its_event_has_its_whole_history(project: Project) -> None:
    land(
        project,
        Landing(minute=0, markets=[market()]),
        Landing(minute=1, markets=[market(status="closed")]),
    )
    project.must("transform")
    assert project.query("select count(*) from kalshi.market_history") == [(0,)]

    land(project, Landing(minute=2, events=[event()]))
    project.must("transform")

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


@pytest.mark.parametrize(
    ("answers", "candles", "open_interest", "last_candle"),
    [
        pytest.param([], [], None, None, id="never seen before, no candle"),
        pytest.param([], [candle(2), candle(6)], 10, 2, id="never seen before: the last candle"),
        pytest.param([(4, market(open_interest_fp="18.00"))], [], 18, None, id="the last state"),
        pytest.param(
            [(1, market(open_interest_fp="3.00")), (4, market(open_interest_fp="18.00"))],
            [candle(3)],
            18,
            3,
            id="a state newer than the last candle",
        ),
        pytest.param(
            [(1, market(open_interest_fp="18.00"))],
            [candle(3), candle(5, open_interest_fp="21.00"), candle(6)],
            21,
            5,
            id="a candle newer than the last state",
        ),
        pytest.param(
            [(1, market()), (8, market(**{**SETTLED, "open_interest_fp": "23.00"}))],
            [candle(5)],
            23,
            5,
            id="right after settlement it is still told",
        ),
    ],
)
def test_a_settlement_shows_how_the_market_stood_before(
    project: Project,
    answers: list[tuple[int, dict[str, Any]]],
    candles: list[dict[str, Any]],
    open_interest: int | None,
    last_candle: int | None,
) -> None:
    land(
        project,
        Landing(events=[event()]),
        *(Landing(minute=minute, markets=[answer]) for minute, answer in answers),
        Landing(minute=9, markets=[market(**SETTLED)], windows=[Window("M", candles)]),
    )

    project.must("dbt", "run", "-s", "+settlements")

    assert project.query(
        "select result, settlement_value_dollars::int, last_price_dollars::text, volume_fp::text, "
        "open_interest_fp::int, (extract(epoch from last_candle_end_ts) - %s)::int / 60 "
        "from kalshi.settlements",
        START.timestamp(),
    ) == [("yes", 1, "0.990000", "25.00", open_interest, last_candle)]
