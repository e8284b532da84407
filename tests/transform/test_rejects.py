"""What can't be typed is rejected with its reason, stops nothing, and is taken up later."""

import re
from typing import Any

import pytest

from tests.conftest import Project
from tests.support.landing import Landing, Window, candle, event, land, market

QUOTES = candle()["yes_bid"]

BAD_MARKETS: dict[str, tuple[dict[str, Any], str]] = {
    "TEXT": ({"yes_bid_dollars": "abc"}, 'yes_bid_dollars: "abc" is not a price'),
    "ABOVE": ({"yes_bid_dollars": "1.01"}, 'yes_bid_dollars: "1.01" is not from 0 to 1'),
    "BELOW": ({"yes_bid_dollars": "-0.1"}, 'yes_bid_dollars: "-0.1" is not from 0 to 1'),
    "FINE": (
        {"last_price_dollars": "0.1234567"},
        'last_price_dollars: "0.1234567" has more than 6 decimals',
    ),
    "NAN": ({"yes_ask_dollars": "NaN"}, 'yes_ask_dollars: "NaN" is not a price'),
    "OBJECT": ({"yes_ask_dollars": {}}, "yes_ask_dollars: {} is not a price"),
    "LONG": ({"yes_ask_dollars": "9" * 5000}, "is not a price"),
    "CENTS": (
        {"yes_bid_dollars": "0.3460", "yes_bid": 35},
        "yes_bid: 35 is not the dollars beside it, cut to whole cents",
    ),
    "HALF_CENT": ({"no_bid": 34.5}, "no_bid: 34.5 is not a price"),
    "NEGATIVE": ({"volume_fp": "-1.00"}, 'volume_fp: "-1.00" is negative'),
    "THOUSANDTH": ({"volume_fp": "1.001"}, 'volume_fp: "1.001" has more than 2 decimals'),
    "HUGE": ({"volume_fp": "9" * 30}, "is too large a count"),
    "COUNT": ({"volume_fp": "12.50", "volume": 13}, "volume: 13 is not the count beside it"),
    "DAY": ({"open_time": "2026-02-30T00:00:00Z"}, "is not a valid time"),
    "LEAP": ({"open_time": "2025-02-29T00:00:00Z"}, "is not a valid time"),
    "HOUR": ({"open_time": "2026-02-03T24:00:00Z"}, "is not a valid time"),
    "DOT": ({"open_time": "2026-02-03T00:00:00.Z"}, "is not a valid time"),
    "TIME": ({"open_time": 5}, "open_time: 5 is not a valid time"),
    "STRIKE": ({"floor_strike": "4.8"}, 'floor_strike: "4.8" is not a number'),
    "BOOLEAN": ({"can_close_early": "yes"}, 'can_close_early: "yes" is not a boolean'),
    "INTEGER": ({"settlement_timer_seconds": 1.5}, "is not an integer"),
    "WIDE": ({"tick_size": 70000}, "is not an integer"),
    "STRING": ({"title": ["x"]}, 'title: ["x"] is not a string'),
}

BAD_CANDLES: list[tuple[Any, str]] = [
    (candle(2, price="0.34"), 'price: "0.34" is not an object'),
    (
        candle(3, yes_bid={**QUOTES, "close_dollars": "x"}),
        'yes_bid.close_dollars: "x" is not a price',
    ),
    (candle(4, yes_bid={**QUOTES, "close": 35}), "yes_bid.close: 35 is not the dollars beside it"),
    (candle(5, yes_bid={**QUOTES, "close_dollars": "1.0001"}), "is not from 0 to 1"),
    (candle(6, yes_bid={**QUOTES, "low_dollars": "0.3400 0.3400"}), "is not a price"),
    (
        candle(10, yes_bid={"open_dollars": "0.3400", "low_dollars": "0.3400 0.3400"}),
        'yes_bid.low_dollars: "0.3400 0.3400" is not a price',
    ),
    (candle(7, volume_fp="-3.00"), 'volume_fp: "-3.00" is negative'),
    (candle(8, open_interest_fp=True), "open_interest_fp: true is not a count"),
    (candle(9, end_period_ts="soon"), 'end_period_ts: "soon" is not a time in Unix seconds'),
    (candle(9, end_period_ts=None), "end_period_ts: null is not a time in Unix seconds"),
    (candle(61), "is not in the window that was asked for"),
    (candle(0), "is not in the window that was asked for"),
    ("no object", "end_period_ts is missing"),
    (None, "end_period_ts is missing"),
]

UNUSUAL_PRICES: list[tuple[dict[str, Any], str]] = [
    ({"yes_bid_dollars": "0.346", "yes_bid": 34}, "0.346000"),
    ({"yes_bid_dollars": "", "yes_bid": 1}, "0.010000"),
    ({"yes_bid_dollars": None, "yes_bid": "0.5"}, "0.500000"),
    ({"yes_bid_dollars": "0.12345600"}, "0.123456"),
    ({"yes_bid_dollars": "1"}, "1.000000"),
]
"""Prices all the same, and what they are typed as."""

GOOD_TIMES = ("2024-02-29T23:59:59.123456789Z", "2026-10-01T05:00:00+05:30", "2026-12-31T00:00:00Z")


def test_what_cannot_be_typed_is_rejected_with_its_reason_and_stops_nothing(
    project: Project,
) -> None:
    land(
        project,
        Landing(
            events=[event(), event("BAD", strike_date="tomorrow"), event(""), None, [1], "x"],
            markets=[
                market(),
                *(market(name, **fields) for name, (fields, _) in BAD_MARKETS.items()),
                *(market(f"GOOD {time}", open_time=time) for time in GOOD_TIMES),
                *(market(f"PRICE {n}", **fields) for n, (fields, _) in enumerate(UNUSUAL_PRICES)),
                market("ORPHAN", "NOBODY"),
                {"event_ticker": "E"},
                5,
            ],
            windows=[
                Window("M", [candle(1), *(bad for bad, _ in BAD_CANDLES)]),
                Window("M", {"error": "x"}, 60),
                Window("M", None, 1440),
                Window("UNKNOWN", [candle(1)]),
                Window("UNKNOWN TOO", []),
            ],
        ),
    )

    # the models, and the test that warns of them
    models = ("+candles", "+rejects", "rejects_none", "--indirect-selection", "empty")
    result = project.must("transform", "-s", *models)

    assert re.search(r"WARN \d+ rejects_none", result.out)
    status = project.must("status").out
    assert f"{len(BAD_MARKETS) + 3} market" in status and "3 window" in status
    reasons = dict(
        project.query(
            "select reject_key, reason from kalshi.rejects where entity = 'market' "
            "and market_ticker <> ''"
        )
    )
    assert reasons.keys() == {*BAD_MARKETS, "ORPHAN"}
    for name, (_, reason) in BAD_MARKETS.items():
        assert reason in reasons[name]
    assert reasons["ORPHAN"] == "unknown event NOBODY"
    candle_reasons = [
        reason
        for (reason,) in project.query("select reason from kalshi.rejects where entity = 'candle'")
    ]
    assert len(candle_reasons) == len(BAD_CANDLES)
    for _, reason in BAD_CANDLES:
        assert any(reason in found for found in candle_reasons), reason
    assert project.query(
        "select interval_min, market_ticker, reason from kalshi.rejects where entity = 'window' "
        "order by 1, 2"
    ) == [
        (1, "UNKNOWN", "unknown market UNKNOWN, 1 candles"),
        (60, "M", "the answer is not a list of candles"),
        (1440, "M", "the answer is not a list of candles"),
    ]
    assert project.query("select count(*) from kalshi.rejects where entity = 'event'") == [(5,)]
    assert project.query("select event_ticker from kalshi.events") == [("E",)]
    assert project.query(
        "select yes_bid_dollars::text from kalshi.markets where market_ticker like 'PRICE %' "
        "order by market_ticker"
    ) == [(price,) for _, price in UNUSUAL_PRICES]
    assert project.query("select count(*) from kalshi.markets") == [
        (1 + len(GOOD_TIMES) + len(UNUSUAL_PRICES),)
    ]
    assert project.query("select count(*) from kalshi.candles") == [(1,)]


BUILD = ("dbt", "run", "-s", "+candles", "+rejects")


@pytest.mark.one_server
@pytest.mark.slow
def test_rejects_leave_when_parents_or_corrections_arrive_and_as_a_full_refresh_has_them(
    project: Project,
) -> None:
    land(
        project,
        Landing(
            minute=1,
            events=[event()],
            markets=[market(), market("WAITS", "LATER"), market("WRONG", yes_bid_dollars="x")],
            windows=[
                Window("M", [candle(1), candle(2, volume_fp="x")]),
                Window("WAITS", [candle(1), candle(2, price=[])]),
            ],
        ),
    )
    project.must(*BUILD)
    assert _rejects(project) == {
        ("market", "WAITS"),
        ("market", "WRONG"),
        ("candle", "M 1 2026-11-01T00:02:00Z"),
        ("window", "WAITS 1 2026-11-01T00:00:00Z to 2026-11-01T01:00:00Z"),
    }
    project.must(*BUILD)
    assert len(_rejects(project)) == 4

    land(project, Landing(minute=2, events=[event("LATER")]))
    project.must(*BUILD)
    assert _rejects(project) == {
        ("market", "WRONG"),
        ("candle", "M 1 2026-11-01T00:02:00Z"),
        ("candle", "WAITS 1 2026-11-01T00:02:00Z"),
    }
    assert project.query("select market_ticker from kalshi.candles order by 1") == [
        ("M",),
        ("WAITS",),
    ]

    land(
        project,
        Landing(
            minute=3,
            markets=[market("WRONG"), market("M", yes_ask_dollars="x")],
            windows=[Window("M", [candle(1), candle(2)])],
        ),
    )
    project.must(*BUILD)
    assert _rejects(project) == {("market", "M"), ("candle", "WAITS 1 2026-11-01T00:02:00Z")}
    assert project.query("select count(*) from kalshi.markets") == [(3,)]

    before = project.query(
        "select to_jsonb(rejects) from kalshi.rejects order by entity, reject_key"
    )
    project.must(*BUILD, "--full-refresh")
    assert before == project.query(
        "select to_jsonb(rejects) from kalshi.rejects order by entity, reject_key"
    )


def _rejects(project: Project) -> set[tuple[str, str]]:
    return set(project.query("select entity, reject_key from kalshi.rejects"))
