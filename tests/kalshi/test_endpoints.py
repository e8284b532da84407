"""From the API's answers to rows: one row for each JSON object, payloads as they came.

Numbers are sections of docs/kalshi_api.md.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import requests

from kalshi_elt.base.errors import ApiError, ApiUnreachableError, BadRequestError
from kalshi_elt.base.problems import Problem
from kalshi_elt.kalshi.client import KalshiApi
from kalshi_elt.kalshi.endpoints import (
    EVENTS_PAGE,
    TICKERS_PER_REQUEST,
    fetch_candles,
    fetch_category,
    fetch_cutoff,
    fetch_named_events,
    fetch_named_markets,
    fetch_series,
    list_events,
    list_markets,
)
from kalshi_elt.kalshi.records import (
    HISTORICAL,
    LIVE,
    EventRow,
    Listing,
    Market,
    MarketFound,
    MarketRow,
    SeriesRow,
    WindowRow,
)
from kalshi_elt.kalshi.request_plan import CandleRequest
from simulator import Exchange, Simulator

NOW = int(datetime(2026, 11, 22, 14, 30, tzinfo=UTC).timestamp())
MINUTE, HOUR, DAY = 60, 3_600, 86_400

SEED = "KXPRESPERSON-28"
NEWSOM = f"{SEED}-GNEWS"
"""A market with a candle in most minutes."""


def spelled(text: str | bytes) -> Any:
    """JSON with its numbers as text: two are equal when they are spelled alike."""
    return json.loads(text, parse_float=str, parse_int=str)


@pytest.fixture
def kalshi(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """An exchange that a test may change, at a time that stands still; retries follow at once."""
    monkeypatch.setattr("kalshi_elt.kalshi.client._backoff", lambda state: 0.0)
    with Simulator(Exchange.demo(clock=lambda: NOW, events=20)) as running:
        yield running


@pytest.fixture
def api(kalshi: Simulator) -> KalshiApi:
    return client(kalshi.url)


def client(url: str) -> KalshiApi:
    return KalshiApi(url, rate=10_000, attempts=2, timeout=5.0)


class CannedApi(KalshiApi):
    """Gives the same bytes to every request for a path, for answers that no simulator makes."""

    def __init__(self, answers: Mapping[str, bytes]) -> None:
        super().__init__("http://canned.test", rate=10_000, attempts=1, timeout=1.0)
        self._answers = answers

    def get(self, path: str, params: Mapping[str, str | int], answer: type[Any]) -> Any:
        if path not in self._answers:
            raise ApiUnreachableError(f"{self.base_url} can't be reached")
        return msgspec.json.decode(self._answers[path], type=answer)


class OneRefused(KalshiApi):
    """Refuses every batch that names the market BAD, and has no candle of any other."""

    def __init__(self) -> None:
        super().__init__("http://refusing.test", rate=10_000, attempts=1, timeout=1.0)
        self.asked: list[str] = []

    def get(self, path: str, params: Mapping[str, str | int], answer: type[Any]) -> Any:
        tickers = str(params["market_tickers"])
        self.asked.append(tickers)
        if "BAD" in tickers.split(","):
            raise BadRequestError(f"GET {path}: 400 bad request")
        markets = [{"market_ticker": ticker, "candlesticks": []} for ticker in tickers.split(",")]
        return msgspec.json.decode(msgspec.json.encode({"markets": markets}), type=answer)


def listings(outcomes: Iterable[Listing | Problem]) -> dict[str | None, Listing]:
    """The events that landed, by ticker; there must be no problem."""
    found = list(outcomes)
    assert problems(found) == []
    return {event_of(item).event_ticker: item for item in found if isinstance(item, Listing)}


def event_of(listing: Listing) -> EventRow:
    """The event, which has to be there."""
    assert listing.event is not None
    return listing.event


def market_rows(listing: Listing) -> list[MarketRow]:
    """The rows of an event's markets; there must be no problem."""
    assert problems(listing.markets) == []
    return [market.row for market in listing.markets if isinstance(market, MarketFound)]


def planned(listing: Listing) -> list[Market]:
    """The markets of an event for which something can be asked."""
    return [
        found.market
        for found in listing.markets
        if isinstance(found, MarketFound) and found.market is not None
    ]


def landed_events(outcomes: Iterable[object]) -> list[str | None]:
    return [event_of(item).event_ticker for item in outcomes if isinstance(item, Listing)]


def market(
    ticker: str,
    *,
    event: str | None = None,
    status: str | None = None,
    opened: int | None = None,
    closed: int | None = None,
    settled: int | None = None,
    volume: str = "0",
    is_multivariate: bool = False,
) -> Market:
    """A market of which little is known."""
    return Market(ticker, event, status, opened, closed, settled, Decimal(volume), is_multivariate)


def problems(outcomes: Iterable[object]) -> list[Problem]:
    return [outcome for outcome in outcomes if isinstance(outcome, Problem)]


def rows(outcomes: Iterable[WindowRow | Problem]) -> dict[str, WindowRow]:
    """The windows by market; there must be no problem."""
    found = list(outcomes)
    assert problems(found) == []
    return {row.market_ticker: row for row in found if isinstance(row, WindowRow)}


def ends(row: WindowRow) -> list[int]:
    """The ends of a window's candles."""
    return [candle["end_period_ts"] for candle in json.loads(row.payload)]


def kinds_of(exchange: Exchange) -> tuple[str, str]:
    """An ordinary event and a multivariate one."""
    ordinary = next(e.event_ticker for e in exchange.events.values() if e.strike_date is not None)
    combo = next(e.event_ticker for e in exchange.events.values() if e.multivariate)
    return ordinary, combo


# Events


def test_events_come_from_the_list_in_one_request(kalshi: Simulator, api: KalshiApi) -> None:
    wanted = [SEED, kinds_of(kalshi.exchange)[0]]

    found = listings(fetch_named_events(api, wanted))

    assert sorted(found, key=str) == sorted(wanted)
    assert [request.path for request in kalshi.requests] == ["/events"]
    for listing in found.values():
        assert event_of(listing).origin.endpoint == "/events"
        assert event_of(listing).origin.tier == "live"


def test_the_origin_tells_when_an_answer_had_arrived(api: KalshiApi) -> None:
    before = datetime.now(UTC)

    origin = event_of(listings(fetch_named_events(api, [SEED]))[SEED]).origin

    assert before <= origin.fetched_at <= datetime.now(UTC)


def test_nested_markets_are_rows_of_their_own(kalshi: Simulator, api: KalshiApi) -> None:
    listing = listings(fetch_named_events(api, [SEED]))[SEED]

    assert "markets" not in json.loads(event_of(listing).payload)
    tickers = [row.market_ticker for row in market_rows(listing)]
    assert tickers == kalshi.exchange.markets_of[SEED]
    assert {row.event_ticker for row in market_rows(listing)} == {SEED}
    assert {row.origin for row in market_rows(listing)} == {event_of(listing).origin}
    assert listing.series_ticker == "KXPRESPERSON"


def test_payloads_are_what_the_api_sent_down_to_the_spelling_of_numbers(
    kalshi: Simulator, api: KalshiApi
) -> None:
    wanted = [ticker for ticker, event in kalshi.exchange.events.items() if not event.multivariate]
    parameters = {"tickers": ",".join(wanted), "with_nested_markets": "true", "limit": "200"}
    answer = requests.get(f"{kalshi.url}/events", params=parameters, timeout=5).text

    found = listings(fetch_named_events(api, wanted))

    for event in spelled(answer)["events"]:
        listing = found[event["event_ticker"]]
        markets = event.pop("markets", [])
        assert spelled(event_of(listing).payload) == event
        assert [spelled(row.payload) for row in market_rows(listing)] == markets
    assert len(found) == len(wanted)


NUMBERS = b"[4.90,1E5,-0.0,0.1e-7,12345678901234567890,0.30000000000000004]"
TEXTS = rb'["caf\u00e9","caf' + "é".encode() + rb'","a\/b","\ud83d\ude00","\u0000","say \"hi\""]'


def test_numbers_and_texts_keep_their_spelling_whatever_it_is() -> None:
    market = b'{ "ticker":"M-1", "event_ticker":"E", "n":' + NUMBERS + b', "t":' + TEXTS + b" }"
    event = (
        b'{"event_ticker":"E","markets":[' + market + b'],"n":' + NUMBERS + b',"t":' + TEXTS + b"}"
    )
    api = CannedApi({"/events": b'{"events":[' + event + b'],"cursor":""}'})

    listing = listings(fetch_named_events(api, ["E"]))["E"]

    assert market_rows(listing)[0].payload == market
    assert NUMBERS in event_of(listing).payload
    assert TEXTS in event_of(listing).payload
    assert json.loads(event_of(listing).payload).keys() == {"event_ticker", "n", "t"}


def test_a_key_that_is_no_text_is_none_and_its_row_lands_nevertheless() -> None:
    markets = b'[{"ticker":7,"event_ticker":null},{"ticker":""},{}]'
    event = b'{"event_ticker":"E","markets":' + markets + b"}"
    api = CannedApi({"/events": b'{"events":[' + event + b"]}"})

    listing = listings(fetch_named_events(api, ["E"]))["E"]

    assert [row.market_ticker for row in market_rows(listing)] == [None, None, None]
    assert [row.payload for row in market_rows(listing)] == [
        b'{"ticker":7,"event_ticker":null}',
        b'{"ticker":""}',
        b"{}",
    ]
    assert planned(listing) == []


def test_the_planner_learns_each_markets_life(kalshi: Simulator, api: KalshiApi) -> None:
    listing = listings(fetch_named_events(api, [SEED]))[SEED]

    newsom = kalshi.exchange.markets[NEWSOM]
    assert newsom.quote is not None
    assert planned(listing) == [
        found.market for found in listing.markets if isinstance(found, MarketFound)
    ]
    assert len(planned(listing)) == 10
    assert planned(listing)[kalshi.exchange.markets_of[SEED].index(NEWSOM)] == market(
        NEWSOM,
        event=SEED,
        status="active",
        opened=newsom.opens // 1_000_000,
        closed=newsom.closes // 1_000_000,
        volume=str(newsom.quote.volume // 100),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('"2026-11-22T14:30:00Z"', NOW, id="whole seconds"),
        pytest.param('"2026-11-22T14:30:00.12345Z"', NOW, id="five digits of a fraction (5.3)"),
        pytest.param('"2026-11-22T14:30:00.1234Z"', NOW, id="four digits"),
        pytest.param('"2026-11-22T09:30:00-05:00"', NOW, id="another zone"),
        pytest.param('"0001-01-01T00:00:00Z"', None, id="the zero time (5.1)"),
        pytest.param('"2026-11-22T14:30:00"', None, id="no zone"),
        pytest.param('""', None, id="empty"),
        pytest.param('"soon"', None, id="no time"),
        pytest.param("1795357800", None, id="a number"),
        pytest.param("null", None, id="null"),
    ],
)
def test_a_time_that_can_not_be_read_is_unknown_to_the_planner(
    text: str, expected: int | None
) -> None:
    times = f'"open_time":{text},"close_time":{text},"settlement_ts":{text}'

    found = planned(nested('{"ticker":"M",' + times + "}"))

    assert found == [market("M", opened=expected, closed=expected, settled=expected)]


def nested(*markets: str) -> Listing:
    """An event with markets of any form."""
    answer = f'{{"events":[{{"event_ticker":"E","markets":[{",".join(markets)}]}}]}}'
    return listings(fetch_named_events(CannedApi({"/events": answer.encode()}), ["E"]))["E"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param('"volume_fp":"12.50"', "12.50", id="contracts as text"),
        pytest.param('"volume_fp":"12.50","volume":7', "12.50", id="both: the exact one"),
        pytest.param('"volume":7', "7", id="the older count alone"),
        pytest.param('"volume_fp":null,"volume":7', "7", id="text null"),
        pytest.param('"volume_fp":"many"', "0", id="no number"),
        pytest.param('"volume_fp":[1]', "0", id="a list"),
        pytest.param('"volume_fp":true', "0", id="true"),
        pytest.param('"status":"active"', "0", id="none"),
    ],
)
def test_the_volume_is_read_where_it_can_be(fields: str, expected: str) -> None:
    (found,) = planned(nested('{"ticker":"M",' + fields + "}"))

    assert found.volume == Decimal(expected)


@pytest.mark.parametrize("text", ["nan", "sNaN", "-NaN"])
def test_a_volume_that_is_not_a_number_can_be_compared_all_the_same(text: str) -> None:
    (found,) = planned(nested('{"ticker":"M","volume_fp":"' + text + '"}'))

    assert found.volume >= 0


@pytest.mark.parametrize(
    ("text", "is_multivariate"),
    [
        pytest.param('{"ticker":"M","mve_collection_ticker":"KXMVEX"}', True, id="a collection"),
        pytest.param('{"ticker":"KXMVECROSS-1"}', True, id="its ticker begins with KXMVE"),
        pytest.param('{"ticker":"M","mve_collection_ticker":""}', False, id="empty collection"),
        pytest.param('{"ticker":"M","mve_collection_ticker":null}', False, id="no collection"),
        pytest.param('{"ticker":"NOTKXMVE-1"}', False, id="KXMVE within its ticker"),
    ],
)
def test_a_multivariate_market_is_told_by_collection_or_ticker(
    text: str, is_multivariate: bool
) -> None:
    (found,) = planned(nested(text))

    assert found.is_multivariate == is_multivariate


# Odd objects


@pytest.mark.parametrize("odd", ["7", '"text"', "null", "[]", "true"])
def test_a_market_that_is_no_object_is_a_problem_and_the_others_land(odd: str) -> None:
    listing = nested('{"ticker":"A"}', odd, '{"ticker":"B"}')

    (problem,) = problems(listing.markets)
    assert str(problem).startswith("a market of /events: is not a market object (")
    assert [found.ticker for found in planned(listing)] == ["A", "B"]


@pytest.mark.parametrize("odd", ["7", '"text"', "null", "[]", '{"markets":5}', '{"markets":{}}'])
def test_an_event_that_is_no_object_is_a_problem_and_the_others_land(odd: str) -> None:
    answer = f'{{"events":[{{"event_ticker":"A"}},{odd},{{"event_ticker":"B"}}]}}'

    outcomes = list(fetch_named_events(CannedApi({"/events": answer.encode()}), ["A", "B"]))

    (problem,) = problems(outcomes)
    assert str(problem).startswith("an event of /events: is not an event object (")
    assert landed_events(outcomes) == ["A", "B"]


@pytest.mark.parametrize("nothing", ['"events":null', '"events":[]', '"cursor":null'])
def test_a_page_without_events_is_an_empty_one(nothing: str) -> None:
    api = CannedApi({"/events": f"{{{nothing}}}".encode()})

    assert list(list_events(api, {})) == []


def test_pages_that_go_round_in_a_circle_are_given_up() -> None:
    api = CannedApi({"/events": b'{"events":[{"event_ticker":"E"}],"cursor":"again"}'})

    outcomes = list_events(api, {})

    with pytest.raises(ApiError, match="GET /events: the pages go round in a circle"):
        list(outcomes)


def test_an_event_without_live_markets_lands_alone(kalshi: Simulator, api: KalshiApi) -> None:
    for ticker in kalshi.exchange.markets_of[SEED]:
        kalshi.exchange.archive(ticker)

    listing = listings(fetch_named_events(api, [SEED]))[SEED]

    assert json.loads(event_of(listing).payload)["event_ticker"] == SEED
    assert listing.markets == ()


def test_an_event_that_the_list_leaves_out_is_asked_for_by_itself(
    kalshi: Simulator, api: KalshiApi
) -> None:
    _, combo = kinds_of(kalshi.exchange)

    found = listings(fetch_named_events(api, [SEED, combo]))

    assert event_of(found[SEED]).origin.endpoint == "/events"
    assert event_of(found[combo]).origin.endpoint == "/events/{event_ticker}"
    assert [row.market_ticker for row in market_rows(found[combo])] == (
        kalshi.exchange.markets_of[combo]
    )


@pytest.mark.parametrize("ticker", ["NOSUCHEVENT", "A/B", "A B?", "Ünknown", "../markets"])
def test_an_unknown_ticker_is_a_problem_and_the_others_land(
    kalshi: Simulator, api: KalshiApi, ticker: str
) -> None:
    outcomes = list(fetch_named_events(api, [ticker, SEED]))

    (problem,) = problems(outcomes)
    assert str(problem) == (
        f"event {ticker}: unknown to {kalshi.url} (404); "
        "check the ticker's spelling and KALSHI_API_URL"
    )
    assert not problem.is_final
    assert landed_events(outcomes) == [SEED]


def test_an_event_that_gets_no_answer_is_a_problem_and_the_others_land(
    kalshi: Simulator, api: KalshiApi
) -> None:
    _, combo = kinds_of(kalshi.exchange)
    kalshi.faults.add("server_error", path="/events/")

    outcomes = list(fetch_named_events(api, [combo, SEED]))

    (problem,) = problems(outcomes)
    assert problem.what == f"event {combo}"
    assert "500 internal server error (after 2 tries)" in problem.why
    assert landed_events(outcomes) == [SEED]


def test_an_event_that_nobody_asked_for_does_not_land() -> None:
    events = b'{"events":[{"event_ticker":"OTHER"},{"event_ticker":"E"},{}]}'

    found = listings(fetch_named_events(CannedApi({"/events": events}), ["E"]))

    assert list(found) == ["E"]


def test_without_an_answer_to_the_list_there_is_nothing_to_land(
    kalshi: Simulator, api: KalshiApi
) -> None:
    kalshi.faults.add("server_error")

    with pytest.raises(ApiError, match="GET /events: 500"):
        list(fetch_named_events(api, [SEED]))


def test_more_events_than_a_url_holds_take_more_requests() -> None:
    exchange = Exchange.generate(
        events=TICKERS_PER_REQUEST + 1, markets_per_event=1, multivariate=0
    )
    with Simulator(exchange) as kalshi:
        found = listings(fetch_named_events(client(kalshi.url), list(exchange.events)))
        lists = [request.query for request in kalshi.requests]

    assert set(found) == set(exchange.events)
    assert [len(query["tickers"].split(",")) for query in lists] == [TICKERS_PER_REQUEST, 1]


def test_more_events_than_a_page_holds_take_more_pages() -> None:
    exchange = Exchange.generate(events=EVENTS_PAGE + 1, markets_per_event=1, multivariate=0)
    with Simulator(exchange) as kalshi:
        found = listings(list_events(client(kalshi.url), {}))
        first, second = (request.query for request in kalshi.requests)

    assert set(found) == set(exchange.events)
    assert first["limit"] == second["limit"] == str(EVENTS_PAGE)
    assert "cursor" not in first
    assert second["cursor"]


def test_events_without_their_markets_are_asked_for_without_them(
    kalshi: Simulator, api: KalshiApi
) -> None:
    listing = listings(fetch_named_events(api, [SEED], nested=False))[SEED]

    assert listing.markets == ()
    assert [request.query["with_nested_markets"] for request in kalshi.requests] == ["false"]


def test_a_page_may_be_empty_before_the_last_one(kalshi: Simulator, api: KalshiApi) -> None:
    kalshi.faults.add("empty_page", path="/events", count=1)

    found = listings(fetch_named_events(api, [SEED]))

    assert len(market_rows(found[SEED])) == 10
    assert [request.path for request in kalshi.requests] == ["/events", "/events"]


# Candles


def request_for(
    *tickers: str, start: int = NOW - HOUR, end: int = NOW, interval: int = 1
) -> CandleRequest:
    return CandleRequest(tickers, start, end, interval)


def true_ends(kalshi: Simulator, ticker: str, interval: int, start: int, end: int) -> list[int]:
    """The ends of the candles that the exchange has in (start, end]."""
    candles = kalshi.exchange.candles(ticker, interval, start, end)
    return [candle.end_ts for candle in candles if start < candle.end_ts <= end]


@pytest.mark.parametrize(
    ("interval", "start"),
    [
        pytest.param(1, NOW - 2 * HOUR, id="minutes"),
        pytest.param(60, NOW - 3 * DAY, id="hours"),
        pytest.param(1440, NOW - 30 * DAY, id="days"),
    ],
)
def test_each_market_has_one_row_with_the_candles_of_its_window(
    kalshi: Simulator, api: KalshiApi, interval: int, start: int
) -> None:
    tickers = kalshi.exchange.markets_of[SEED][:4]

    found = rows(fetch_candles(api, request_for(*tickers, start=start, interval=interval)))

    assert list(found) == tickers
    for ticker, row in found.items():
        assert ends(row) == true_ends(kalshi, ticker, interval, start, NOW)
        assert row.candles == len(ends(row))
        assert row.interval_min == interval
        assert row.window_start == datetime.fromtimestamp(start, UTC)
        assert row.window_end == datetime.fromtimestamp(NOW, UTC)
        assert row.origin.endpoint == "/markets/candlesticks"
        assert row.origin.tier == "live"
    assert found[NEWSOM].candles > 0


def test_candles_are_what_the_api_sent(kalshi: Simulator, api: KalshiApi) -> None:
    parameters: dict[str, str | int] = {
        "market_tickers": NEWSOM,
        "start_ts": NOW - HOUR + 1,
        "end_ts": NOW,
        "period_interval": 1,
    }
    url = f"{kalshi.url}/markets/candlesticks"
    answer = requests.get(url, params=parameters, timeout=5).content

    found = rows(fetch_candles(api, request_for(NEWSOM)))

    assert b'"candlesticks":' + found[NEWSOM].payload + b"," in answer
    assert len(found[NEWSOM].payload) > 1_000


def test_a_window_begins_after_its_start_and_includes_its_end(
    kalshi: Simulator, api: KalshiApi
) -> None:
    first, *_, last = true_ends(kalshi, NEWSOM, 1, NOW - HOUR, NOW)

    found = rows(fetch_candles(api, request_for(NEWSOM, start=first, end=last)))[NEWSOM]

    assert first not in ends(found)
    assert last in ends(found)


def test_adjoining_windows_share_no_candle_and_lose_none(kalshi: Simulator, api: KalshiApi) -> None:
    bounds = [NOW - HOUR, *true_ends(kalshi, NEWSOM, 1, NOW - HOUR, NOW)[3:20:5], NOW]

    parts = [
        end
        for start, stop in pairwise(bounds)
        for end in ends(
            rows(fetch_candles(api, request_for(NEWSOM, start=start, end=stop)))[NEWSOM]
        )
    ]

    assert parts == true_ends(kalshi, NEWSOM, 1, NOW - HOUR, NOW)


@pytest.mark.parametrize("candles", ["null", "[]"])
def test_candles_that_are_null_are_none(candles: str) -> None:
    answer = f'{{"markets":[{{"market_ticker":"M","candlesticks":{candles}}}]}}'
    api = CannedApi({"/markets/candlesticks": answer.encode()})

    row = rows(fetch_candles(api, request_for("M")))["M"]

    assert row.payload == b"[]"


@pytest.mark.parametrize("candles", ["{}", "7", '"none"'])
def test_candles_that_are_no_list_are_a_problem(candles: str) -> None:
    answer = f'{{"markets":[{{"market_ticker":"M","candlesticks":{candles}}}]}}'
    api = CannedApi({"/markets/candlesticks": answer.encode()})

    (problem,) = problems(fetch_candles(api, request_for("M")))

    assert "an answer of unknown form (candlesticks are not a list)" in str(problem)


@pytest.mark.parametrize("markets", ["null", "[]"])
def test_an_answer_without_any_market_leaves_all_of_them_out(markets: str) -> None:
    api = CannedApi({"/markets/candlesticks": f'{{"markets":{markets}}}'.encode()})

    found = problems(fetch_candles(api, request_for("A", "B")))

    assert [problem.missing for problem in found] == ["A", "B"]


def test_a_window_without_candles_is_a_row_all_the_same(api: KalshiApi) -> None:
    long_ago = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())
    request = request_for(NEWSOM, start=long_ago, end=long_ago + HOUR)

    row = rows(fetch_candles(api, request))[NEWSOM]

    assert row.payload == b"[]"
    assert row.candles == 0


def archived(exchange: Exchange) -> str:
    exchange.archive(f"{SEED}-AOCA")
    return f"{SEED}-AOCA"


@pytest.mark.parametrize(
    "make_unknown",
    [
        pytest.param(lambda exchange: "NOSUCHMARKET", id="never existed"),
        pytest.param(archived, id="moved to the historical tier"),
    ],
)
def test_a_market_that_the_answer_leaves_out_is_a_problem_and_the_others_land(
    kalshi: Simulator, api: KalshiApi, make_unknown: Callable[[Exchange], str]
) -> None:
    unknown = make_unknown(kalshi.exchange)

    outcomes = list(fetch_candles(api, request_for(unknown, NEWSOM)))

    (problem,) = problems(outcomes)
    assert str(problem) == f"candles of {unknown}: the live tier has no such market"
    assert problem.missing == unknown
    assert not problem.is_final
    landed = [item.market_ticker for item in outcomes if isinstance(item, WindowRow)]
    assert landed == [NEWSOM]


def test_the_synthetic_candle_before_a_window_is_never_asked_for(
    kalshi: Simulator, api: KalshiApi
) -> None:
    list(fetch_candles(api, request_for(NEWSOM)))
    list(fetch_candles(api, request_for(NEWSOM, start=NOW - DAY, interval=60)))

    sent = kalshi.requests.all("/markets/candlesticks")
    assert len(sent) == 2
    for request in sent:
        assert "include_latest_before_start" not in request.query
        assert request.status == 200


def test_a_request_that_gets_no_answer_is_a_problem_of_each_of_its_markets(
    kalshi: Simulator, api: KalshiApi
) -> None:
    kalshi.faults.add("unavailable", path="/markets/candlesticks")

    outcomes = list(fetch_candles(api, request_for(NEWSOM, f"{SEED}-AOCA")))

    assert [str(item).partition(":")[0] for item in problems(outcomes)] == [
        f"candles of {NEWSOM}",
        f"candles of {SEED}-AOCA",
    ]
    assert len(problems(outcomes)) == len(outcomes)
    assert all("503 service_unavailable (after 2 tries)" in item.why for item in problems(outcomes))


def test_a_connection_that_is_lost_after_the_list_ends_the_fetching() -> None:
    api = CannedApi({"/events": b'{"events":[{"event_ticker":"E"}]}'})

    outcomes = fetch_named_events(api, ["E", "LEFT-OUT", "LEFT-OUT-TOO"])

    landed = next(outcomes)
    assert isinstance(landed, Listing)
    assert event_of(landed).event_ticker == "E"
    with pytest.raises(ApiUnreachableError):
        next(outcomes)


@pytest.mark.parametrize(
    "fetch",
    [
        pytest.param(lambda api: fetch_named_events(api, [SEED]), id="events"),
        pytest.param(lambda api: fetch_candles(api, request_for(NEWSOM)), id="candles"),
    ],
)
def test_without_a_connection_there_is_nothing_more_to_fetch(
    monkeypatch: pytest.MonkeyPatch, fetch: Callable[[KalshiApi], Iterator[object]]
) -> None:
    monkeypatch.setattr("kalshi_elt.kalshi.client._backoff", lambda state: 0.0)
    with Simulator(Exchange()) as gone:
        api = client(gone.url)

    with pytest.raises(ApiUnreachableError):
        list(fetch(api))


# The historical tier


def historical_request(ticker: str, start: int = NOW - HOUR, interval: int = 1) -> CandleRequest:
    return CandleRequest((ticker,), start, NOW, interval, HISTORICAL)


def test_candles_of_an_archived_market_come_from_the_historical_tier(
    kalshi: Simulator, api: KalshiApi
) -> None:
    kalshi.exchange.archive(NEWSOM)

    row = rows(fetch_candles(api, historical_request(NEWSOM)))[NEWSOM]

    assert ends(row) == true_ends(kalshi, NEWSOM, 1, NOW - HOUR, NOW)
    assert row.candles > 0
    assert row.origin.tier == "historical"
    assert row.origin.endpoint == "/historical/markets/{ticker}/candlesticks"
    assert row.window_start == datetime.fromtimestamp(NOW - HOUR, UTC)
    assert row.window_end == datetime.fromtimestamp(NOW, UTC)
    (sent,) = kalshi.requests
    assert sent.path == f"/historical/markets/{NEWSOM}/candlesticks"
    assert sent.query == {
        "start_ts": str(NOW - HOUR + 1),
        "end_ts": str(NOW),
        "period_interval": "1",
    }


def test_a_market_that_the_historical_tier_has_not_is_a_problem(
    kalshi: Simulator, api: KalshiApi
) -> None:
    (problem,) = problems(fetch_candles(api, historical_request(NEWSOM)))

    assert str(problem).startswith(f"candles of {NEWSOM}: GET /historical/markets/{NEWSOM}")
    assert "404" in problem.why
    assert problem.missing is None


def test_a_ticker_is_quoted_in_a_path(kalshi: Simulator, api: KalshiApi) -> None:
    list(fetch_candles(api, historical_request("A/B ?C")))

    assert [request.path for request in kalshi.requests] == [
        "/historical/markets/A%2FB%20%3FC/candlesticks"
    ]


def test_archived_markets_are_listed_by_event(kalshi: Simulator, api: KalshiApi) -> None:
    wanted = kalshi.exchange.markets_of[SEED][:3]
    for ticker in wanted:
        kalshi.exchange.archive(ticker)

    found = list(list_markets(api, {"event_ticker": SEED}, tier=HISTORICAL))

    assert problems(found) == []
    tickers = [item.row.market_ticker for item in found if isinstance(item, MarketFound)]
    assert sorted(tickers, key=str) == sorted(wanted)
    for item in found:
        assert isinstance(item, MarketFound)
        assert item.tier == HISTORICAL
        assert item.row.origin.endpoint == "/historical/markets"


@pytest.mark.parametrize("tier", [LIVE, HISTORICAL])
def test_named_markets_come_from_the_tier_that_has_them(
    kalshi: Simulator, api: KalshiApi, tier: str
) -> None:
    archived_one, live_one = kalshi.exchange.markets_of[SEED][:2]
    kalshi.exchange.archive(archived_one)

    found = list(fetch_named_markets(api, [archived_one, live_one, "NOSUCHMARKET"], tier=tier))

    expected = archived_one if tier == HISTORICAL else live_one
    assert [item.row.market_ticker for item in found if isinstance(item, MarketFound)] == [expected]
    assert problems(found) == []


def test_more_markets_than_a_url_holds_take_more_requests(
    kalshi: Simulator, api: KalshiApi
) -> None:
    tickers = [f"M{number}" for number in range(TICKERS_PER_REQUEST * 2 + 1)]

    list(fetch_named_markets(api, tickers))

    asked = [request.query["tickers"].split(",") for request in kalshi.requests.all("/markets")]
    assert [len(names) for names in asked] == [TICKERS_PER_REQUEST, TICKERS_PER_REQUEST, 1]
    assert [name for names in asked for name in names] == tickers


def test_no_names_make_no_requests(kalshi: Simulator, api: KalshiApi) -> None:
    assert list(fetch_named_markets(api, [])) == []
    assert list(fetch_named_events(api, [])) == []
    assert list(fetch_series(api, [], most_single=5)) == []
    assert len(kalshi.requests) == 0


def test_the_cutoff_is_read_as_unix_seconds(kalshi: Simulator, api: KalshiApi) -> None:
    kalshi.exchange.move_cutoff(NOW - 90 * DAY)

    assert fetch_cutoff(api) == NOW - 90 * DAY


def test_a_cutoff_that_is_no_time_is_an_error() -> None:
    api = CannedApi({"/historical/cutoff": b'{"market_settled_ts":"soon"}'})

    with pytest.raises(ApiError, match="GET /historical/cutoff: 'soon' is not a valid time"):
        fetch_cutoff(api)


# Series


def series_named(rows_found: Iterable[SeriesRow]) -> list[str | None]:
    return [row.series_ticker for row in rows_found]


def test_a_few_series_are_asked_for_one_by_one(kalshi: Simulator, api: KalshiApi) -> None:
    found = list(fetch_series(api, ["KXSIMU3", "KXPRESPERSON"], most_single=2))

    assert series_named(found) == ["KXSIMU3", "KXPRESPERSON"]
    assert {row.origin.endpoint for row in found} == {"/series/{series_ticker}"}
    assert [request.path for request in kalshi.requests] == [
        "/series/KXSIMU3",
        "/series/KXPRESPERSON",
    ]


def test_many_series_are_taken_from_the_list_of_all(kalshi: Simulator, api: KalshiApi) -> None:
    wanted = sorted(kalshi.exchange.series)[:3]

    found = list(fetch_series(api, wanted, most_single=2))

    assert sorted(series_named(found), key=str) == wanted
    assert {row.origin.endpoint for row in found} == {"/series"}
    assert [request.path for request in kalshi.requests] == ["/series"]


def test_a_series_lands_as_the_api_sent_it(kalshi: Simulator, api: KalshiApi) -> None:
    answer = requests.get(f"{kalshi.url}/series/KXPRESPERSON", timeout=5).text

    (row,) = fetch_series(api, ["KXPRESPERSON"], most_single=1)

    assert spelled(row.payload) == spelled(answer)["series"]


def test_a_series_that_is_gone_keeps_no_other_from_landing(api: KalshiApi) -> None:
    found = list(fetch_series(api, ["NOSUCHSERIES", "KXPRESPERSON"], most_single=5))

    assert [str(one) for one in found if isinstance(one, Problem)] == [
        "series NOSUCHSERIES: unknown to Kalshi (404); check the ticker's spelling"
    ]
    assert series_named(found[1:]) == ["KXPRESPERSON"]


def test_a_category_is_all_of_its_series_and_no_other(kalshi: Simulator, api: KalshiApi) -> None:
    found = fetch_category(api, "Sports")

    series = kalshi.exchange.series.values()
    expected = sorted(one.ticker for one in series if one.category == "Sports")
    assert sorted(series_named(found), key=str) == expected
    assert 1 < len(expected) < len(kalshi.exchange.series)
    assert [request.query for request in kalshi.requests] == [{"category": "Sports"}]


@pytest.mark.parametrize("category", ["sports", "Sport", "NOSUCH"])
def test_a_category_is_spelled_as_kalshi_does(api: KalshiApi, category: str) -> None:
    assert fetch_category(api, category) == []


# A market that the API refuses


def test_one_market_that_is_refused_costs_no_other() -> None:
    api = OneRefused()
    tickers = ("A", "B", "C", "BAD", "D", "E", "F", "G")

    outcomes = list(fetch_candles(api, CandleRequest(tickers, 0, 600, 1)))

    windows = {row.market_ticker for row in outcomes if isinstance(row, WindowRow)}
    assert windows == set(tickers) - {"BAD"}
    assert [str(one) for one in outcomes if isinstance(one, Problem)] == [
        "candles of BAD: GET /markets/candlesticks: 400 bad request"
    ]
    assert len(api.asked) == 7
