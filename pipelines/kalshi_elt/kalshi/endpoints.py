"""From the API's answers to rows: one row for each JSON object, payloads as they came."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import filterfalse
from typing import TypeVar
from urllib.parse import quote

import msgspec

from kalshi_elt.base.errors import ApiError, BadRequestError, NoMoreAnswersError, NotFoundError
from kalshi_elt.base.iterables import batched
from kalshi_elt.base.problems import Problem
from kalshi_elt.kalshi.client import KalshiApi, Params
from kalshi_elt.kalshi.records import (
    HISTORICAL,
    LIVE,
    EventObject,
    EventRow,
    Listing,
    MarketFound,
    MarketObject,
    MarketRow,
    Origin,
    SeriesRow,
    WindowRow,
    key_or_none,
    unix_seconds,
)
from kalshi_elt.kalshi.request_plan import CandleRequest, fits_a_list
from kalshi_elt.kalshi.sanitize import REPLACEMENT, is_sanitized

EVENTS_PAGE = 200
"""The most events in one answer (docs/kalshi_api.md, 2.1)."""

MARKETS_PAGE = 1_000
"""The most markets in one answer (docs/kalshi_api.md, 2.4)."""

TICKERS_PER_REQUEST = 100
"""How many tickers one URL names: at most 57 characters each (docs/kalshi_api.md, 2.4) make 6
kB."""

MOST_REPEATS = 5
"""How often a cursor may come again: an empty page can name its own (docs/kalshi_api.md, 5.6)."""

EVENTS_ENDPOINT = "/events"
MULTIVARIATE_ENDPOINT = "/events/multivariate"
EVENT_ENDPOINT = "/events/{event_ticker}"
MARKETS_ENDPOINT = "/markets"
MARKET_ENDPOINT = "/markets/{ticker}"
HISTORICAL_MARKETS_ENDPOINT = "/historical/markets"
HISTORICAL_MARKET_ENDPOINT = "/historical/markets/{ticker}"
CUTOFF_ENDPOINT = "/historical/cutoff"
SERIES_LIST_ENDPOINT = "/series"
SERIES_ENDPOINT = "/series/{series_ticker}"
CANDLES_ENDPOINT = "/markets/candlesticks"
MARKET_CANDLES_ENDPOINT = "/series/{series_ticker}/markets/{ticker}/candlesticks"
HISTORICAL_CANDLES_ENDPOINT = "/historical/markets/{ticker}/candlesticks"


Outcome = TypeVar("Outcome")

NULL = msgspec.Raw(b"null")


class _EventsPage(msgspec.Struct):
    events: list[msgspec.Raw] | None = None
    cursor: str | None = None


class _MarketsPage(msgspec.Struct):
    markets: list[msgspec.Raw] | None = None
    cursor: str | None = None


class _EventAnswer(msgspec.Struct):
    event: msgspec.Raw


class _MarketAnswer(msgspec.Struct):
    market: msgspec.Raw


class _SeriesAnswer(msgspec.Struct):
    series: msgspec.Raw


class _SeriesList(msgspec.Struct):
    series: list[msgspec.Raw] | None = None


class _SeriesObject(msgspec.Struct):
    ticker: object = None


class _CutoffAnswer(msgspec.Struct):
    market_settled_ts: str


class _MarketCandles(msgspec.Struct):
    market_ticker: str
    candlesticks: msgspec.Raw = NULL


class _CandlesAnswer(msgspec.Struct):
    markets: list[_MarketCandles] | None = None


class _SingleCandlesAnswer(msgspec.Struct):
    candlesticks: msgspec.Raw = NULL


def fetch_named_events(
    api: KalshiApi, tickers: Sequence[str], *, nested: bool = True
) -> Iterator[Listing | Problem]:
    """Each event of `tickers`, with its live markets, or the reason why not.

    The list answer is preferred to `/events/{event_ticker}`: that one sends a zero
    `last_updated_ts` (docs/kalshi_api.md, 5.2) and leaves out `primary_participant_key` (2.4).
    What the list leaves out is asked for by itself, as only that says 404, and so is what fits no
    list. Raises
    ApiError when the listing as a whole gets no answer.
    """
    for some in batched(filter(fits_a_list, tickers), TICKERS_PER_REQUEST):
        listed: set[str | None] = set()
        try:
            for found in list_events(api, {"tickers": ",".join(some)}, nested=nested):
                if isinstance(found, Problem):
                    yield found
                elif found.event and found.event.event_ticker in some:
                    listed.add(found.event.event_ticker)
                    yield found
        except NotFoundError:
            pass
        for ticker in some:
            if ticker not in listed:
                yield _single_event(api, ticker, nested)
    for ticker in filterfalse(fits_a_list, tickers):
        yield _single_event(api, ticker, nested)


def guarded(what: str, outcomes: Iterable[Outcome]) -> Iterator[Outcome | Problem]:
    """The outcomes, and as the last one the problem that ended them early.

    Raises NoMoreAnswersError: then there is nothing else to ask for.
    """
    try:
        yield from outcomes
    except NoMoreAnswersError:
        raise
    except ApiError as error:
        yield Problem(what, str(error))


def list_events(
    api: KalshiApi, params: Params, *, nested: bool = True, endpoint: str = EVENTS_ENDPOINT
) -> Iterator[Listing | Problem]:
    """All pages of an event listing."""
    query = {**params, "limit": EVENTS_PAGE, "with_nested_markets": str(nested).lower()}
    for page, origin in _pages(api, endpoint, query, _EventsPage, LIVE):
        for event in page.events or ():
            yield _listing(event, origin)


def list_markets(
    api: KalshiApi, params: Params, *, tier: str = LIVE
) -> Iterator[MarketFound | Problem]:
    """All pages of a market listing, of the live or the historical tier."""
    endpoint = HISTORICAL_MARKETS_ENDPOINT if tier == HISTORICAL else MARKETS_ENDPOINT
    query = {**params, "limit": MARKETS_PAGE}
    for page, origin in _pages(api, endpoint, query, _MarketsPage, tier):
        for market in page.markets or ():
            yield _market_found(market, origin)


def fetch_named_markets(
    api: KalshiApi, tickers: Sequence[str], *, tier: str = LIVE
) -> Iterator[MarketFound | Problem]:
    """Those of the markets that the tier knows; what fits no list is asked for by itself."""
    for some in batched(filter(fits_a_list, tickers), TICKERS_PER_REQUEST):
        for found in list_markets(api, {"tickers": ",".join(some)}, tier=tier):
            if isinstance(found, Problem) or found.row.market_ticker in some:
                yield found
    for ticker in filterfalse(fits_a_list, tickers):
        yield from _single_market(api, ticker, tier)


def fetch_series(
    api: KalshiApi, tickers: Sequence[str], most_single: int
) -> Iterator[SeriesRow | Problem]:
    """Series rows: a request each, or the one big list where more than `most_single` are asked."""
    if len(tickers) > most_single:
        wanted = set(tickers)
        answer = api.get(SERIES_LIST_ENDPOINT, {}, _SeriesList)
        origin = _origin(SERIES_LIST_ENDPOINT, LIVE)
        rows = (_series_row(series, origin) for series in answer.series or ())
        yield from (row for row in rows if row.series_ticker in wanted)
        return
    for ticker in tickers:
        yield _single_series(api, ticker)


def _single_series(api: KalshiApi, ticker: str) -> SeriesRow | Problem:
    try:
        path = SERIES_ENDPOINT.format(series_ticker=_in_path(ticker))
        answer = api.get(path, {}, _SeriesAnswer)
    except NotFoundError:
        return Problem(f"series {ticker}", "unknown to Kalshi (404); check the ticker's spelling")
    except NoMoreAnswersError:
        raise
    except ApiError as error:
        return Problem(f"series {ticker}", str(error))
    return _series_row(answer.series, _origin(SERIES_ENDPOINT, LIVE))


def fetch_category(api: KalshiApi, category: str) -> list[SeriesRow]:
    """All series of a category. The filter is exact and minds capitals (docs/kalshi_api.md,
    2.10)."""
    answer = api.get(SERIES_LIST_ENDPOINT, {"category": category}, _SeriesList)
    origin = _origin(SERIES_LIST_ENDPOINT, LIVE)
    return [_series_row(series, origin) for series in answer.series or ()]


def fetch_cutoff(api: KalshiApi) -> int:
    """Unix seconds before which a settled market is in the historical tier (docs/kalshi_api.md,
    2.12)."""
    answer = api.get(CUTOFF_ENDPOINT, {}, _CutoffAnswer)
    cutoff = unix_seconds(answer.market_settled_ts)
    if cutoff is None:
        raise ApiError(f"GET {CUTOFF_ENDPOINT}: {answer.market_settled_ts!r} is no time")
    return cutoff


def fetch_candles(api: KalshiApi, request: CandleRequest) -> Iterator[WindowRow | Problem]:
    """One row for each market of the request, or the reason why not.

    Never asks for `include_latest_before_start`: that adds a synthetic first candle
    (docs/kalshi_api.md, 2.6). Raises NoMoreAnswersError when there is no API to ask any more, or
    no time.
    """
    try:
        answered, origin = _candles_by_market(api, request)
    except NoMoreAnswersError:
        raise
    except BadRequestError as error:
        yield from _by_halves(api, request, error)
        return
    except ApiError as error:
        yield from (Problem(f"candles of {ticker}", str(error)) for ticker in request.tickers)
        return
    start = datetime.fromtimestamp(request.start, UTC)
    end = datetime.fromtimestamp(request.end, UTC)
    for ticker in request.tickers:
        if ticker in answered:
            yield WindowRow(
                market_ticker=ticker,
                interval_min=request.interval_min,
                window_start=start,
                window_end=end,
                payload=answered[ticker],
                origin=origin,
            )
        else:
            why = f"the {request.tier} tier knows no such market"
            yield Problem(f"candles of {ticker}", why, missing=ticker)


def _by_halves(
    api: KalshiApi, request: CandleRequest, error: BadRequestError
) -> Iterator[WindowRow | Problem]:
    """One market that the API refuses must not cost the others that were asked for with it."""
    if len(request.tickers) == 1:
        yield Problem(f"candles of {request.tickers[0]}", str(error))
        return
    middle = len(request.tickers) // 2
    for half in (request.tickers[:middle], request.tickers[middle:]):
        yield from fetch_candles(api, replace(request, tickers=half))


def _candles_by_market(api: KalshiApi, request: CandleRequest) -> tuple[dict[str, bytes], Origin]:
    params: dict[str, str | int] = {
        # the API's window includes both ends, ours begins after its start
        "start_ts": request.start + 1,
        "end_ts": request.end,
        "period_interval": request.interval_min,
    }
    if request.tier == HISTORICAL or not fits_a_list(request.tickers[0]):
        return _candles_of_one_market(api, request, params)
    params["market_tickers"] = ",".join(request.tickers)
    answer = api.get(CANDLES_ENDPOINT, params, _CandlesAnswer)
    answered = {
        market.market_ticker: _candle_list(CANDLES_ENDPOINT, market.candlesticks)
        for market in answer.markets or ()
    }
    return answered, _origin(CANDLES_ENDPOINT, LIVE)


def _candles_of_one_market(
    api: KalshiApi, request: CandleRequest, params: Params
) -> tuple[dict[str, bytes], Origin]:
    (ticker,) = request.tickers
    is_historical = request.tier == HISTORICAL
    endpoint = HISTORICAL_CANDLES_ENDPOINT if is_historical else MARKET_CANDLES_ENDPOINT
    # any series will do in the live tier's path (docs/kalshi_api.md, 2.7)
    path = endpoint.format(series_ticker=_in_path(ticker), ticker=_in_path(ticker))
    try:
        answer = api.get(path, params, _SingleCandlesAnswer)
    except NotFoundError:
        if is_historical:
            raise
        # as the list of many would leave it out
        return {}, _origin(endpoint, request.tier)
    return {ticker: _candle_list(path, answer.candlesticks)}, _origin(endpoint, request.tier)


def _candle_list(path: str, candlesticks: msgspec.Raw) -> bytes:
    """The list as it came; candles are not told apart before they are typed."""
    if candlesticks == NULL:
        return b"[]"
    found = bytes(candlesticks)
    if not found.startswith(b"["):
        raise ApiError(f"GET {path}: an answer of unknown form (candlesticks are no list)")
    return found


Page = TypeVar("Page", _EventsPage, _MarketsPage)


def _pages(
    api: KalshiApi, endpoint: str, params: Params, page_type: type[Page], tier: str
) -> Iterator[tuple[Page, Origin]]:
    """Follow the cursor to its end: a page may be empty before it (docs/kalshi_api.md, 5.6)."""
    query = dict(params)
    times: Counter[str] = Counter()
    while True:
        page = api.get(endpoint, query, page_type)
        yield page, _origin(endpoint, tier)
        if not page.cursor:
            return
        times[page.cursor] += 1
        if times[page.cursor] > MOST_REPEATS:
            raise ApiError(f"GET {endpoint}: the pages go round in a circle; run it again later")
        query["cursor"] = page.cursor


def _in_path(ticker: str) -> str:
    """A ticker as a part of a path. Raises BadRequestError for the two names that lead elsewhere
    however they are spelled: HTTP clients resolve `/events/..`, and `%2E%2E` too."""
    if ticker in (".", ".."):
        raise BadRequestError(f"{ticker} can't be asked for: as a part of an address it is none")
    return quote(ticker, safe="")


def _single_event(api: KalshiApi, ticker: str, nested: bool) -> Listing | Problem:
    try:
        path = EVENT_ENDPOINT.format(event_ticker=_in_path(ticker))
        answer = api.get(path, {"with_nested_markets": str(nested).lower()}, _EventAnswer)
    except NotFoundError:
        return Problem(
            f"event {ticker}",
            f"unknown to {api.base_url} (404); check the ticker's spelling and KALSHI_API_URL",
        )
    except NoMoreAnswersError:
        raise
    except ApiError as error:
        return Problem(f"event {ticker}", str(error))
    return _listing(answer.event, _origin(EVENT_ENDPOINT, LIVE))


def _single_market(api: KalshiApi, ticker: str, tier: str) -> Iterator[MarketFound | Problem]:
    """The market, unless the tier does not know it."""
    endpoint = HISTORICAL_MARKET_ENDPOINT if tier == HISTORICAL else MARKET_ENDPOINT
    try:
        answer = api.get(endpoint.format(ticker=_in_path(ticker)), {}, _MarketAnswer)
    except NotFoundError:
        return
    except NoMoreAnswersError:
        raise
    except ApiError as error:
        yield Problem(f"market {ticker}", str(error))
        return
    yield _market_found(answer.market, _origin(endpoint, tier))


def _listing(event: msgspec.Raw, origin: Origin) -> Listing | Problem:
    """Split an event object into its own row and one row for each nested market."""
    try:
        view = msgspec.json.decode(event, type=EventObject)
        members = msgspec.json.decode(event, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError as error:
        return Problem(f"an event of {origin.endpoint}", f"is no event object ({error})")
    members.pop("markets", None)
    payload = msgspec.json.encode(members)
    if any("\ufffd" in name for name in members) and is_sanitized(bytes(event)):
        # reading the names took the mark from a replacement in one of them
        payload = payload.replace("\ufffd".encode(), REPLACEMENT)
    return Listing(
        EventRow(key_or_none(view.event_ticker), payload, origin),
        key_or_none(view.series_ticker),
        tuple(_market_found(market, origin) for market in view.markets or ()),
    )


def _market_found(market: msgspec.Raw, origin: Origin) -> MarketFound | Problem:
    try:
        view = msgspec.json.decode(market, type=MarketObject)
    except msgspec.ValidationError as error:
        return Problem(f"a market of {origin.endpoint}", f"is no market object ({error})")
    row = MarketRow(key_or_none(view.ticker), key_or_none(view.event_ticker), bytes(market), origin)
    return MarketFound(row, view.market())


def _series_row(series: msgspec.Raw, origin: Origin) -> SeriesRow:
    view = msgspec.json.decode(series, type=_SeriesObject)
    return SeriesRow(key_or_none(view.ticker), bytes(series), origin)


def _origin(endpoint: str, tier: str) -> Origin:
    return Origin(endpoint, tier, datetime.now(UTC))
