"""Which listing requests a selection takes, and what they bring.

The exchange is the simulator's: 40 events of 10 kinds in all states, at a time that stands still.
Numbers are sections of docs/kalshi_api.md.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice

import pytest

from kalshi_elt.base.problems import Problem
from kalshi_elt.kalshi.client import KalshiApi
from kalshi_elt.kalshi.endpoints import EVENTS_PAGE, fetch_category
from kalshi_elt.kalshi.listing import SERIES_ONE_BY_ONE, Outcome, list_selection
from kalshi_elt.kalshi.records import HISTORICAL, LIVE, Listing, MarketFound, Origin, SeriesRow
from kalshi_elt.kalshi.selection import STATUSES, Selection
from simulator import Event, Exchange, Series, Simulator

NOW = int(datetime(2026, 11, 22, 14, 30, tzinfo=UTC).timestamp())

SEED = "KXPRESPERSON-28"
COMBOS = "KXMVESIMMULTIGAME"
"""The series of multivariate events."""

ALL = frozenset(STATUSES)
PAGING = ("limit", "with_nested_markets", "cursor")

Sent = tuple[str, dict[str, str]]


@pytest.fixture
def kalshi(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """An exchange that a test may change; retries follow at once."""
    monkeypatch.setattr("kalshi_elt.kalshi.client._backoff", lambda state: 0.0)
    with Simulator(Exchange.demo(clock=lambda: NOW, events=40)) as running:
        yield running


def listed(kalshi: Simulator, selection: Selection) -> list[Outcome]:
    """All that a selection brings."""
    api = KalshiApi(kalshi.url, rate=10_000, attempts=2, timeout=5.0)
    rows = [row for category in selection.categories for row in fetch_category(api, category)]
    return list(list_selection(api, selection, rows))


def sent(kalshi: Simulator) -> list[Sent]:
    """The requests, without what only concerns pages."""
    return [
        (request.path, {k: v for k, v in request.query.items() if k not in PAGING})
        for request in kalshi.requests
    ]


def events_of(outcomes: Iterable[Outcome]) -> list[str]:
    """The tickers of the events, sorted; twice where an event came twice."""
    return sorted(
        str(outcome.event.event_ticker)
        for outcome in outcomes
        if isinstance(outcome, Listing) and outcome.event
    )


def markets_of(outcomes: Iterable[Outcome], tier: str | None = None) -> list[str]:
    """The tickers of the markets, sorted; twice where a market came twice."""
    return sorted(
        str(found.row.market_ticker)
        for outcome in outcomes
        if isinstance(outcome, Listing)
        for found in outcome.markets
        if isinstance(found, MarketFound) and tier in (None, found.tier)
    )


def problems_of(outcomes: Iterable[Outcome]) -> list[str]:
    return [str(outcome) for outcome in outcomes if isinstance(outcome, Problem)]


def with_status(exchange: Exchange, *statuses: str) -> list[str]:
    """The ordinary events with a live market in one of these states."""
    spelled = {name for status in statuses for name in STATUSES[status]}
    return sorted(
        ticker
        for ticker, event in exchange.events.items()
        if not event.multivariate
        and any(one.status(exchange.now) in spelled for one in exchange.live_markets(ticker))
    )


def ordinary(exchange: Exchange) -> list[str]:
    return sorted(ticker for ticker, event in exchange.events.items() if not event.multivariate)


def archived(exchange: Exchange, *, series: str | None = None) -> list[str]:
    return sorted(
        ticker
        for ticker, one in exchange.markets.items()
        if exchange.is_historical(one) and series in (None, one.series_ticker)
    )


# Named events


def test_named_events_take_one_list_request_and_a_look_into_the_past_of_each(
    kalshi: Simulator,
) -> None:
    wanted = ordinary(kalshi.exchange)[:3]

    outcomes = listed(kalshi, Selection(events=tuple(wanted)))

    assert sent(kalshi) == [
        ("/events", {"tickers": ",".join(wanted)}),
        *(("/historical/markets", {"event_ticker": ticker}) for ticker in wanted),
    ]
    assert {request.query["with_nested_markets"] for request in kalshi.requests.all("/events")} == {
        "true"
    }
    assert events_of(outcomes) == wanted


def test_an_event_whose_markets_are_archived_gets_them_from_the_historical_tier(
    kalshi: Simulator,
) -> None:
    for ticker in kalshi.exchange.markets_of[SEED]:
        kalshi.exchange.archive(ticker)

    outcomes = listed(kalshi, Selection(events=(SEED,)))

    assert events_of(outcomes) == [SEED]
    assert markets_of(outcomes, LIVE) == []
    assert markets_of(outcomes, HISTORICAL) == sorted(kalshi.exchange.markets_of[SEED])


def test_where_the_tiers_overlap_the_live_copy_comes_first(kalshi: Simulator) -> None:
    overlapping = kalshi.exchange.markets_of[SEED][0]
    kalshi.exchange.archive(overlapping, keep_live=True)

    outcomes = listed(kalshi, Selection(events=(SEED,)))

    tiers = [
        found.tier
        for outcome in outcomes
        if isinstance(outcome, Listing)
        for found in outcome.markets
        if isinstance(found, MarketFound) and found.row.market_ticker == overlapping
    ]
    assert tiers == [LIVE, HISTORICAL]


def test_an_unknown_event_is_a_problem_and_the_others_come(kalshi: Simulator) -> None:
    outcomes = listed(kalshi, Selection(events=("NOSUCHEVENT", SEED)))

    assert events_of(outcomes) == [SEED]
    assert problems_of(outcomes) == [
        f"event NOSUCHEVENT: unknown to {kalshi.url} (404); "
        "check the ticker's spelling and KALSHI_API_URL"
    ]
    assert sent(kalshi)[:2] == [
        ("/events", {"tickers": f"NOSUCHEVENT,{SEED}"}),
        ("/events/NOSUCHEVENT", {}),
    ]


def test_a_multivariate_event_may_be_named(kalshi: Simulator) -> None:
    combo = kalshi.exchange.events_of[COMBOS][0]

    outcomes = listed(kalshi, Selection(events=(combo,)))

    assert events_of(outcomes) == [combo]
    assert markets_of(outcomes) == kalshi.exchange.markets_of[combo]
    assert sent(kalshi)[:2] == [("/events", {"tickers": combo}), (f"/events/{combo}", {})]


# Named markets


def test_named_markets_come_without_their_event_in_one_request(kalshi: Simulator) -> None:
    wanted = tuple(kalshi.exchange.markets_of[SEED][:3])

    outcomes = listed(kalshi, Selection(markets=wanted))

    assert sent(kalshi) == [("/markets", {"tickers": ",".join(wanted)})]
    assert events_of(outcomes) == []
    assert markets_of(outcomes, LIVE) == sorted(wanted)


def test_only_what_the_live_tier_does_not_know_is_asked_of_the_historical_one(
    kalshi: Simulator,
) -> None:
    live, past = kalshi.exchange.markets_of[SEED][:2]
    kalshi.exchange.archive(past)

    outcomes = listed(kalshi, Selection(markets=(live, past)))

    assert sent(kalshi) == [
        ("/markets", {"tickers": f"{live},{past}"}),
        ("/historical/markets", {"tickers": past}),
    ]
    assert markets_of(outcomes, LIVE) == [live]
    assert markets_of(outcomes, HISTORICAL) == [past]
    assert problems_of(outcomes) == []


def test_a_market_in_both_tiers_comes_once_and_live(kalshi: Simulator) -> None:
    both = kalshi.exchange.markets_of[SEED][0]
    kalshi.exchange.archive(both, keep_live=True)

    outcomes = listed(kalshi, Selection(markets=(both,)))

    assert markets_of(outcomes) == markets_of(outcomes, LIVE) == [both]


def test_a_market_that_neither_tier_knows_is_a_problem_and_the_others_come(
    kalshi: Simulator,
) -> None:
    known = kalshi.exchange.markets_of[SEED][0]

    outcomes = listed(kalshi, Selection(markets=("NOSUCH-B", known, "NOSUCH-A")))

    assert markets_of(outcomes) == [known]
    assert problems_of(outcomes) == [
        f"market {ticker}: unknown to both tiers; check the ticker's spelling"
        for ticker in ("NOSUCH-A", "NOSUCH-B")
    ]


def test_a_multivariate_market_may_be_named(kalshi: Simulator) -> None:
    (combo,) = kalshi.exchange.markets_of[kalshi.exchange.events_of[COMBOS][0]]

    assert markets_of(listed(kalshi, Selection(markets=(combo,)))) == [combo]


# Series


def test_a_series_is_listed_by_its_open_events(kalshi: Simulator) -> None:
    outcomes = listed(kalshi, Selection(series=("KXSIMCEO",)))

    assert sent(kalshi) == [("/events", {"status": "open", "series_ticker": "KXSIMCEO"})]
    is_open = with_status(kalshi.exchange, "open")
    assert events_of(outcomes) == [ticker for ticker in is_open if ticker.startswith("KXSIMCEO-")]


def test_several_series_take_a_request_each_and_are_asked_for_once(kalshi: Simulator) -> None:
    listed(kalshi, Selection(series=("KXSIMCEO", "KXSIMU3", "KXSIMCEO")))

    assert [query["series_ticker"] for _, query in sent(kalshi)] == ["KXSIMCEO", "KXSIMU3"]


def test_settled_markets_of_a_series_come_from_both_tiers(kalshi: Simulator) -> None:
    past = archived(kalshi.exchange, series="KXSIMCEO")

    outcomes = listed(kalshi, Selection(series=("KXSIMCEO",), statuses=frozenset({"settled"})))

    assert sent(kalshi) == [
        ("/events", {"status": "settled", "series_ticker": "KXSIMCEO"}),
        ("/historical/markets", {"series_ticker": "KXSIMCEO"}),
    ]
    assert len(past) > 0
    assert markets_of(outcomes, HISTORICAL) == past
    assert len(markets_of(outcomes, LIVE)) > 0


def test_a_series_with_multivariate_ones_let_in_is_asked_for_at_both_places(
    kalshi: Simulator,
) -> None:
    outcomes = listed(kalshi, Selection(series=(COMBOS,), multivariate=True))

    assert sent(kalshi) == [
        ("/events", {"status": "open", "series_ticker": COMBOS}),
        ("/events/multivariate", {"series_ticker": COMBOS}),
    ]
    assert events_of(outcomes) == sorted(kalshi.exchange.events_of[COMBOS])


def test_a_series_that_gets_no_answer_is_a_problem_and_the_others_come(kalshi: Simulator) -> None:
    kalshi.faults.add("server_error", query="series_ticker=KXSIMU3")

    outcomes = listed(kalshi, Selection(series=("KXSIMU3", "KXPRESPERSON")))

    assert events_of(outcomes) == [SEED]
    assert len(problems_of(outcomes)) == 1


# Categories


def test_a_category_of_few_series_is_listed_series_by_series(kalshi: Simulator) -> None:
    exchange = kalshi.exchange
    members = sorted(s.ticker for s in exchange.series.values() if s.category == "Elections")

    outcomes = listed(kalshi, Selection(categories=("Elections",)))

    assert sent(kalshi) == [
        ("/series", {"category": "Elections"}),
        *(("/events", {"status": "open", "series_ticker": ticker}) for ticker in members),
    ]
    assert members == ["KXPRESPERSON", "KXSIMTURN"]
    assert events_of(outcomes) == [
        ticker
        for ticker in with_status(exchange, "open")
        if exchange.events[ticker].series_ticker in members
    ]


def test_a_series_that_a_category_brings_too_is_listed_once(kalshi: Simulator) -> None:
    outcomes = listed(kalshi, Selection(series=("KXSIMTURN",), categories=("Elections",)))

    asked = [query["series_ticker"] for path, query in sent(kalshi) if path == "/events"]
    assert asked == ["KXSIMTURN", "KXPRESPERSON"]
    assert len(set(events_of(outcomes))) == len(events_of(outcomes))


def many_series(exchange: Exchange) -> None:
    """Add so many series of a category that it takes fewer requests to list the whole exchange."""
    for number in range(SERIES_ONE_BY_ONE):
        exchange.add_series(Series(f"KXELECTION{number}", "Vote", "Elections", "custom", 0))


@pytest.mark.parametrize(
    ("statuses", "requests"),
    [
        pytest.param({"open"}, [("/events", {"status": "open"})], id="open"),
        pytest.param(
            {"open", "closed"},
            [("/events", {"status": "closed"}), ("/events", {"status": "open"})],
            id="open and closed",
        ),
    ],
)
def test_a_category_of_many_series_is_read_from_the_whole_exchange(
    kalshi: Simulator, statuses: set[str], requests: list[Sent]
) -> None:
    exchange = kalshi.exchange
    many_series(exchange)

    outcomes = listed(kalshi, Selection(categories=("Elections",), statuses=frozenset(statuses)))

    assert sent(kalshi) == [("/series", {"category": "Elections"}), *requests]
    assert sorted(set(events_of(outcomes))) == [
        ticker
        for ticker in with_status(exchange, *statuses)
        if exchange.events[ticker].category == "Elections"
    ]


def test_settled_markets_of_many_series_are_still_asked_for_series_by_series(
    kalshi: Simulator,
) -> None:
    many_series(kalshi.exchange)

    listed(kalshi, Selection(categories=("Elections",), statuses=frozenset({"settled"})))

    past = [query for path, query in sent(kalshi) if path == "/historical/markets"]
    assert len(past) == SERIES_ONE_BY_ONE + 2
    assert all(query.keys() == {"series_ticker"} for query in past)


def test_multivariate_events_of_many_series_are_those_of_these_series_alone(
    kalshi: Simulator,
) -> None:
    exchange = kalshi.exchange
    many_series(exchange)
    exchange.add_event(Event("KXMVEVOTE-1", "KXELECTION1", "", "", "Elections", 0, 1,
                             multivariate=True))  # fmt: skip

    outcomes = listed(kalshi, Selection(categories=("Elections",), multivariate=True))

    assert ("/events/multivariate", {}) in sent(kalshi)
    assert "KXMVEVOTE-1" in events_of(outcomes)
    assert not any(ticker.startswith(COMBOS) for ticker in events_of(outcomes))


def test_a_category_that_kalshi_has_not_brings_nothing_and_not_the_whole_exchange(
    kalshi: Simulator,
) -> None:
    outcomes = listed(kalshi, Selection(categories=("elections",)))

    assert sent(kalshi) == [("/series", {"category": "elections"})]
    assert events_of(outcomes) == []


def test_the_series_of_a_category_land_as_they_came(kalshi: Simulator) -> None:
    api = KalshiApi(kalshi.url, rate=10_000, attempts=2, timeout=5.0)

    rows = [*fetch_category(api, "Elections"), *fetch_category(api, "Crypto")]

    assert [row.series_ticker for row in rows] == ["KXPRESPERSON", "KXSIMTURN", "KXSIMBTC"]
    assert {row.origin.endpoint for row in rows} == {"/series"}


def test_a_series_row_without_a_ticker_is_no_series_to_list(kalshi: Simulator) -> None:
    api = KalshiApi(kalshi.url, rate=10_000, attempts=2, timeout=5.0)
    row = SeriesRow(None, b"{}", Origin("/series", LIVE, datetime.now(UTC)))

    assert list(list_selection(api, Selection(categories=("Odd",)), [row])) == []
    assert len(kalshi.requests) == 0


# The whole exchange


@pytest.mark.parametrize(
    ("statuses", "requests"),
    [
        pytest.param({"open"}, [{"status": "open"}], id="open"),
        pytest.param({"unopened"}, [{"status": "unopened"}], id="unopened"),
        pytest.param({"closed"}, [{"status": "closed"}], id="closed"),
        pytest.param({"paused"}, [{}], id="paused, by which events can't be filtered"),
        pytest.param({"open", "paused"}, [{}], id="open and paused"),
        pytest.param(
            {"open", "closed"}, [{"status": "closed"}, {"status": "open"}], id="open and closed"
        ),
    ],
)
def test_without_names_it_is_all_events_with_a_market_of_that_status(
    kalshi: Simulator, statuses: set[str], requests: list[dict[str, str]]
) -> None:
    outcomes = listed(kalshi, Selection(statuses=frozenset(statuses)))

    assert sent(kalshi) == [("/events", query) for query in requests]
    assert set(events_of(outcomes)) >= set(with_status(kalshi.exchange, *statuses))
    if all(requests):
        assert set(events_of(outcomes)) == set(with_status(kalshi.exchange, *statuses))


def test_all_statuses_are_one_list_of_all_and_the_historical_tier(kalshi: Simulator) -> None:
    exchange = kalshi.exchange

    outcomes = listed(kalshi, Selection(statuses=ALL))

    assert sent(kalshi) == [("/events", {}), ("/historical/markets", {"mve_filter": "exclude"})]
    assert events_of(outcomes) == ordinary(exchange)
    assert markets_of(outcomes, HISTORICAL) == archived(exchange)
    combos = {m.ticker for m in exchange.markets.values() if m.multivariate}
    assert set(markets_of(outcomes)) == exchange.markets.keys() - combos
    assert combos


def test_the_four_statuses_of_events_together_are_one_list_of_all(kalshi: Simulator) -> None:
    statuses = frozenset({"unopened", "open", "closed", "settled"})

    listed(kalshi, Selection(statuses=statuses))

    assert [query for path, query in sent(kalshi) if path == "/events"] == [{}]


def test_multivariate_markets_stay_out_unless_they_are_let_in(kalshi: Simulator) -> None:
    combo = kalshi.exchange.events_of[COMBOS][0]
    (past,) = kalshi.exchange.markets_of[combo]
    kalshi.exchange.archive(past)

    without = listed(kalshi, Selection(statuses=ALL))
    kalshi.requests.clear()
    with_them = listed(kalshi, Selection(statuses=ALL, multivariate=True))

    assert not any(ticker.startswith("KXMVE") for ticker in events_of(without))
    assert not any(ticker.startswith("KXMVE") for ticker in markets_of(without))
    assert sent(kalshi) == [
        ("/events", {}),
        ("/events/multivariate", {}),
        ("/historical/markets", {}),
    ]
    assert set(kalshi.exchange.events_of[COMBOS]) <= set(events_of(with_them))
    assert set(markets_of(with_them)) == kalshi.exchange.markets.keys()


# Pages


@pytest.fixture
def large() -> Iterator[Simulator]:
    """An exchange whose events fill two pages and a half."""
    exchange = Exchange.generate(
        events=EVENTS_PAGE * 5 // 2, markets_per_event=2, clock=lambda: NOW, multivariate=0
    )
    with Simulator(exchange) as running:
        yield running


def test_the_whole_exchange_is_read_in_full_pages_with_nested_markets(large: Simulator) -> None:
    outcomes = listed(large, Selection(statuses=frozenset({"open", "paused"})))

    queries = [request.query for request in large.requests]
    assert {request.path for request in large.requests} == {"/events"}
    assert len(queries) == 3
    assert {(query["limit"], query["with_nested_markets"]) for query in queries} == {
        (str(EVENTS_PAGE), "true")
    }
    assert len({query.get("cursor") for query in queries}) == 3
    assert events_of(outcomes) == ordinary(large.exchange)
    live = [t for t, one in large.exchange.markets.items() if large.exchange.is_live(one)]
    assert markets_of(outcomes) == sorted(live)


def test_pages_are_read_as_they_are_needed(large: Simulator) -> None:
    api = KalshiApi(large.url, rate=10_000, attempts=2, timeout=5.0)
    selection = Selection(statuses=frozenset({"open", "paused"}))

    first = list(islice(list_selection(api, selection, []), 10))

    assert len(first) == 10
    assert len(large.requests) == 1


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(0, id="the first page"),
        pytest.param(1, id="the second page"),
        pytest.param(2, id="the last page"),
    ],
)
def test_an_empty_page_with_a_cursor_is_not_the_end(large: Simulator, after: int) -> None:
    """The cursor of an empty page asks for the same rows once more."""
    large.faults.add("empty_page", path="/events", count=1, after=after)

    outcomes = listed(large, Selection(statuses=frozenset({"open", "paused"})))

    assert events_of(outcomes) == ordinary(large.exchange)
    assert len(large.requests) == 4


def test_rows_that_come_again_on_the_next_page_are_passed_on_and_none_is_lost(
    large: Simulator,
) -> None:
    large.faults.add("duplicate_rows", path="/events", rows=5)

    outcomes = listed(large, Selection(statuses=frozenset({"open", "paused"})))

    found = events_of(outcomes)
    assert sorted(set(found)) == ordinary(large.exchange)
    assert len(found) > len(set(found))


def test_a_page_that_gets_no_answer_ends_the_listing_with_a_problem(large: Simulator) -> None:
    """What came before has been passed on; a page less is never taken for the end."""
    large.faults.add("server_error", path="/events", after=1)
    api = KalshiApi(large.url, rate=10_000, attempts=1, timeout=5.0)
    found = list_selection(api, Selection(), [])

    passed_on = list(islice(found, EVENTS_PAGE))

    assert len(passed_on) == EVENTS_PAGE
    (problem,) = found
    assert "GET /events: 500" in str(problem)


# Together


def test_names_of_all_kinds_add_up(kalshi: Simulator) -> None:
    event = next(t for t in with_status(kalshi.exchange, "open") if t.startswith("KXSIMBTC-"))
    market = kalshi.exchange.markets_of[SEED][0]

    outcomes = listed(
        kalshi,
        Selection(
            events=(event,), markets=(market,), series=("KXSIMTURN",), categories=("Economics",)
        ),
    )

    assert market in markets_of(outcomes)
    series = {kalshi.exchange.events[ticker].series_ticker for ticker in events_of(outcomes)}
    assert series == {"KXSIMBTC", "KXSIMTURN", "KXSIMU3"}
    assert ("/events", {"status": "open"}) not in sent(kalshi)
