"""From the API's answers to rows: one row for each JSON object, payloads as they came.

Numbers are sections of API.md.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import requests

from pipelines.api import KalshiApi
from pipelines.errors import ApiError, ApiUnreachableError
from pipelines.fetch import Listing, Problem, fetch_candles, fetch_events
from pipelines.plan import CandleRequest
from pipelines.records import Market, WindowRow
from tests.simulator import Exchange, Simulator

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
    monkeypatch.setattr("pipelines.api._backoff", lambda state: 0.0)
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


def listings(outcomes: Iterable[Listing | Problem]) -> dict[str | None, Listing]:
    """The events that landed, by ticker; there must be no problem."""
    found = list(outcomes)
    assert [outcome for outcome in found if isinstance(outcome, Problem)] == []
    return {item.event.event_ticker: item for item in found if isinstance(item, Listing)}


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

    found = listings(fetch_events(api, wanted))

    assert sorted(found, key=str) == sorted(wanted)
    assert [request.path for request in kalshi.requests] == ["/events"]
    for listing in found.values():
        assert listing.event.origin.endpoint == "/events"
        assert listing.event.origin.tier == "live"


def test_the_origin_tells_when_an_answer_had_arrived(api: KalshiApi) -> None:
    before = datetime.now(UTC)

    origin = listings(fetch_events(api, [SEED]))[SEED].event.origin

    assert before <= origin.fetched_at <= datetime.now(UTC)


def test_nested_markets_are_rows_of_their_own(kalshi: Simulator, api: KalshiApi) -> None:
    listing = listings(fetch_events(api, [SEED]))[SEED]

    assert "markets" not in json.loads(listing.event.payload)
    tickers = [row.market_ticker for row in listing.market_rows]
    assert tickers == kalshi.exchange.markets_of[SEED]
    assert {row.event_ticker for row in listing.market_rows} == {SEED}
    assert {row.origin for row in listing.market_rows} == {listing.event.origin}


def test_payloads_are_what_the_api_sent_down_to_the_spelling_of_numbers(
    kalshi: Simulator, api: KalshiApi
) -> None:
    wanted = [ticker for ticker, event in kalshi.exchange.events.items() if not event.multivariate]
    parameters = {"tickers": ",".join(wanted), "with_nested_markets": "true", "limit": "200"}
    answer = requests.get(f"{kalshi.url}/events", params=parameters, timeout=5).text

    found = listings(fetch_events(api, wanted))

    for event in spelled(answer)["events"]:
        listing = found[event["event_ticker"]]
        markets = event.pop("markets", [])
        assert spelled(listing.event.payload) == event
        assert [spelled(row.payload) for row in listing.market_rows] == markets
    assert len(found) == len(wanted)


NUMBERS = b"[4.90,1E5,-0.0,0.1e-7,12345678901234567890,0.30000000000000004]"
TEXTS = rb'["caf\u00e9","caf' + "é".encode() + rb'","a\/b","\ud83d\ude00","\u0000","say \"hi\""]'


def test_numbers_and_texts_keep_their_spelling_whatever_it_is() -> None:
    market = b'{ "ticker":"M-1", "event_ticker":"E", "n":' + NUMBERS + b', "t":' + TEXTS + b" }"
    event = (
        b'{"event_ticker":"E","markets":[' + market + b'],"n":' + NUMBERS + b',"t":' + TEXTS + b"}"
    )
    api = CannedApi({"/events": b'{"events":[' + event + b'],"cursor":""}'})

    listing = listings(fetch_events(api, ["E"]))["E"]

    assert listing.market_rows[0].payload == market
    assert NUMBERS in listing.event.payload
    assert TEXTS in listing.event.payload
    assert json.loads(listing.event.payload).keys() == {"event_ticker", "n", "t"}


def test_a_key_that_is_no_text_is_none_and_its_row_lands_nevertheless() -> None:
    markets = b'[{"ticker":7,"event_ticker":null},{"ticker":""},{}]'
    event = b'{"event_ticker":"E","markets":' + markets + b"}"
    api = CannedApi({"/events": b'{"events":[' + event + b"]}"})

    listing = listings(fetch_events(api, ["E"]))["E"]

    assert [row.market_ticker for row in listing.market_rows] == [None, None, None]
    assert [row.payload for row in listing.market_rows] == [
        b'{"ticker":7,"event_ticker":null}',
        b'{"ticker":""}',
        b"{}",
    ]
    assert listing.markets == []


def test_the_planner_learns_each_markets_life(kalshi: Simulator, api: KalshiApi) -> None:
    listing = listings(fetch_events(api, [SEED]))[SEED]

    newsom = kalshi.exchange.markets[NEWSOM]
    assert Market(NEWSOM, newsom.opens // 1_000_000, newsom.closes // 1_000_000) in listing.markets
    assert len(listing.markets) == len(listing.market_rows)


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
    market = f'{{"ticker":"M","open_time":{text},"close_time":{text}}}'
    answer = f'{{"events":[{{"event_ticker":"E","markets":[{market}]}}]}}'

    listing = listings(fetch_events(CannedApi({"/events": answer.encode()}), ["E"]))["E"]

    assert listing.markets == [Market("M", expected, expected)]


def test_an_event_without_live_markets_lands_alone(kalshi: Simulator, api: KalshiApi) -> None:
    for ticker in kalshi.exchange.markets_of[SEED]:
        kalshi.exchange.archive(ticker)

    listing = listings(fetch_events(api, [SEED]))[SEED]

    assert json.loads(listing.event.payload)["event_ticker"] == SEED
    assert listing.market_rows == ()
    assert listing.markets == []


def test_an_event_that_the_list_leaves_out_is_asked_for_by_itself(
    kalshi: Simulator, api: KalshiApi
) -> None:
    _, combo = kinds_of(kalshi.exchange)

    found = listings(fetch_events(api, [SEED, combo]))

    assert found[SEED].event.origin.endpoint == "/events"
    assert found[combo].event.origin.endpoint == "/events/{event_ticker}"
    assert [row.market_ticker for row in found[combo].market_rows] == (
        kalshi.exchange.markets_of[combo]
    )


@pytest.mark.parametrize("ticker", ["NOSUCHEVENT", "A/B", "A B?", "Ünknown", "../markets"])
def test_an_unknown_ticker_is_a_problem_and_the_others_land(
    kalshi: Simulator, api: KalshiApi, ticker: str
) -> None:
    outcomes = list(fetch_events(api, [ticker, SEED]))

    (problem,) = problems(outcomes)
    assert str(problem) == (
        f"event {ticker}: unknown to {kalshi.url} (404); "
        "check the ticker's spelling and KALSHI_API_URL"
    )
    assert not problem.is_final
    assert [item.event.event_ticker for item in outcomes if isinstance(item, Listing)] == [SEED]


def test_an_event_that_gets_no_answer_is_a_problem_and_the_others_land(
    kalshi: Simulator, api: KalshiApi
) -> None:
    _, combo = kinds_of(kalshi.exchange)
    kalshi.faults.add("server_error", path="/events/")

    outcomes = list(fetch_events(api, [combo, SEED]))

    (problem,) = problems(outcomes)
    assert problem.what == f"event {combo}"
    assert "500 internal server error (after 2 tries)" in problem.why
    assert [item.event.event_ticker for item in outcomes if isinstance(item, Listing)] == [SEED]


def test_an_event_that_nobody_asked_for_does_not_land() -> None:
    events = b'{"events":[{"event_ticker":"OTHER"},{"event_ticker":"E"},{}]}'

    found = listings(fetch_events(CannedApi({"/events": events}), ["E"]))

    assert list(found) == ["E"]


def test_without_an_answer_to_the_list_there_is_nothing_to_land(
    kalshi: Simulator, api: KalshiApi
) -> None:
    kalshi.faults.add("server_error")

    with pytest.raises(ApiError, match="GET /events: 500"):
        list(fetch_events(api, [SEED]))


def test_more_events_than_a_page_holds_take_more_pages() -> None:
    exchange = Exchange.generate(events=201, markets_per_event=1, multivariate=0)
    with Simulator(exchange) as kalshi:
        found = listings(fetch_events(client(kalshi.url), list(exchange.events)))
        lists = [request.query for request in kalshi.requests]

    assert set(found) == set(exchange.events)
    assert [len(query["tickers"].split(",")) for query in lists] == [200, 1]


def test_a_page_may_be_empty_before_the_last_one(kalshi: Simulator, api: KalshiApi) -> None:
    kalshi.faults.add("empty_page", path="/events", count=1)

    found = listings(fetch_events(api, [SEED]))

    assert len(found[SEED].market_rows) == 10
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
    assert str(problem) == f"candles of {unknown}: Kalshi's live tier knows no such market"
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

    outcomes = fetch_events(api, ["E", "LEFT-OUT", "LEFT-OUT-TOO"])

    landed = next(outcomes)
    assert isinstance(landed, Listing)
    assert landed.event.event_ticker == "E"
    with pytest.raises(ApiUnreachableError):
        next(outcomes)


@pytest.mark.parametrize(
    "fetch",
    [
        pytest.param(lambda api: fetch_events(api, [SEED]), id="events"),
        pytest.param(lambda api: fetch_candles(api, request_for(NEWSOM)), id="candles"),
    ],
)
def test_without_a_connection_there_is_nothing_more_to_fetch(
    monkeypatch: pytest.MonkeyPatch, fetch: Callable[[KalshiApi], Iterator[object]]
) -> None:
    monkeypatch.setattr("pipelines.api._backoff", lambda state: 0.0)
    with Simulator(Exchange()) as gone:
        api = client(gone.url)

    with pytest.raises(ApiUnreachableError):
        list(fetch(api))
