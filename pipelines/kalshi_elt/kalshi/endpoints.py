"""What is asked of the API's endpoints: requests out, rows in.

An answer is split into one row for each JSON object (answers.py). What can't be had comes as a
Problem in its place, so that it stops nothing else.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import filterfalse
from typing import TypeVar
from urllib.parse import quote

from kalshi_elt.base.errors import ApiError, BadRequestError, NoMoreAnswersError, NotFoundError
from kalshi_elt.base.iterables import batched
from kalshi_elt.base.problems import Problem
from kalshi_elt.kalshi.answers import (
    CandlesAnswer,
    CutoffAnswer,
    EventAnswer,
    EventsPage,
    MarketAnswer,
    MarketsPage,
    SeriesAnswer,
    SeriesList,
    SingleCandlesAnswer,
    candle_list,
    listing,
    market_found,
    series_row,
)
from kalshi_elt.kalshi.client import KalshiApi, Params
from kalshi_elt.kalshi.records import (
    HISTORICAL,
    LIVE,
    Listing,
    MarketFound,
    Origin,
    SeriesRow,
    WindowRow,
    unix_seconds,
)
from kalshi_elt.kalshi.request_plan import CandleRequest, fits_a_list

EVENTS_PAGE = 200
"""The most events in one answer (docs/kalshi_api.md, 2.1)."""

MARKETS_PAGE = 1_000
"""The most markets in one answer (docs/kalshi_api.md, 2.4)."""

TICKERS_PER_REQUEST = 100
"""How many tickers one URL names: at 57 characters each, the most that Kalshi's have
(docs/kalshi_api.md, 2.4), they make 6 kB; servers take 8 kB."""

MOST_REPEATS = 5
"""How often the same cursor may come again before the pages are taken to go round in a circle. It
may come again once: an empty page can name its own (docs/kalshi_api.md, 5.6)."""

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

Answer = TypeVar("Answer")
Outcome = TypeVar("Outcome")
Page = TypeVar("Page", EventsPage, MarketsPage)


def fetch_named_events(
    api: KalshiApi, tickers: Sequence[str], *, nested: bool = True
) -> Iterator[Listing | Problem]:
    """Each event of `tickers`, with its live markets if `nested`, or the reason why it can't be
    had.

    The list answer is preferred to `/events/{event_ticker}`: that one sends a zero
    `last_updated_ts` (docs/kalshi_api.md, 5.2) and leaves out `primary_participant_key` (2.4).
    Events that the list leaves out are asked for one by one, as only then the API says whether it
    has them (404), and so are tickers that can't stand in a list (`fits_a_list`). Raises ApiError
    when the listing as a whole gets no answer.
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
    """The outcomes, and when an ApiError ends them early, it as the last one: a Problem of `what`.

    NoMoreAnswersError is raised as it is: then nothing else can be asked for either.
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
    """The events of all pages of a listing, with their live markets if `nested`."""
    query = {**params, "limit": EVENTS_PAGE, "with_nested_markets": str(nested).lower()}
    for page, origin in _pages(api, endpoint, query, EventsPage, LIVE):
        for event in page.events or ():
            yield listing(event, origin)


def list_markets(
    api: KalshiApi, params: Params, *, tier: str = LIVE
) -> Iterator[MarketFound | Problem]:
    """The markets of all pages of a listing, of the live or the historical tier."""
    endpoint = HISTORICAL_MARKETS_ENDPOINT if tier == HISTORICAL else MARKETS_ENDPOINT
    query = {**params, "limit": MARKETS_PAGE}
    for page, origin in _pages(api, endpoint, query, MarketsPage, tier):
        for market in page.markets or ():
            yield market_found(market, origin)


def fetch_named_markets(
    api: KalshiApi, tickers: Sequence[str], *, tier: str = LIVE
) -> Iterator[MarketFound | Problem]:
    """Those of the markets that the tier has. A ticker that can't stand in a list (`fits_a_list`)
    is asked for by itself."""
    for some in batched(filter(fits_a_list, tickers), TICKERS_PER_REQUEST):
        for found in list_markets(api, {"tickers": ",".join(some)}, tier=tier):
            if isinstance(found, Problem) or found.row.market_ticker in some:
                yield found
    for ticker in filterfalse(fits_a_list, tickers):
        yield from _single_market(api, ticker, tier)


def fetch_series(
    api: KalshiApi, tickers: Sequence[str], most_single: int
) -> Iterator[SeriesRow | Problem]:
    """Rows of series: by a request for each, or, for more than `most_single` of them, out of the
    one list of all series."""
    if len(tickers) > most_single:
        wanted = set(tickers)
        answer = api.get(SERIES_LIST_ENDPOINT, {}, SeriesList)
        origin = _origin(SERIES_LIST_ENDPOINT, LIVE)
        rows = (series_row(series, origin) for series in answer.series or ())
        yield from (row for row in rows if row.series_ticker in wanted)
        return
    for ticker in tickers:
        yield _single_series(api, ticker)


def _single_series(api: KalshiApi, ticker: str) -> SeriesRow | Problem:
    answer = _get_single(api, "series", SERIES_ENDPOINT, ticker, SeriesAnswer)
    if answer is None:
        return Problem(f"series {ticker}", "unknown to Kalshi (404); check the ticker's spelling")
    if isinstance(answer, Problem):
        return answer
    return series_row(answer.series, _origin(SERIES_ENDPOINT, LIVE))


def fetch_category(api: KalshiApi, category: str) -> list[SeriesRow]:
    """All series of a category, whose name must be spelled with its capitals: Kalshi compares it
    exactly (docs/kalshi_api.md, 2.10)."""
    answer = api.get(SERIES_LIST_ENDPOINT, {"category": category}, SeriesList)
    origin = _origin(SERIES_LIST_ENDPOINT, LIVE)
    return [series_row(series, origin) for series in answer.series or ()]


def fetch_cutoff(api: KalshiApi) -> int:
    """The moment, in Unix seconds, before which a market must have settled to be in the historical
    tier (docs/kalshi_api.md, 2.12)."""
    answer = api.get(CUTOFF_ENDPOINT, {}, CutoffAnswer)
    cutoff = unix_seconds(answer.market_settled_ts)
    if cutoff is None:
        raise ApiError(f"GET {CUTOFF_ENDPOINT}: {answer.market_settled_ts!r} is not a valid time")
    return cutoff


def fetch_candles(api: KalshiApi, request: CandleRequest) -> Iterator[WindowRow | Problem]:
    """One row for each market of the request, or the reason why its candles can't be had.

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
            why = f"the {request.tier} tier has no such market"
            yield Problem(f"candles of {ticker}", why, missing=ticker)


def _by_halves(
    api: KalshiApi, request: CandleRequest, error: BadRequestError
) -> Iterator[WindowRow | Problem]:
    """Ask for each half of the markets by itself, again and again, until the one that the API
    refuses is alone: the others must not go without candles because of it."""
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
    answer = api.get(CANDLES_ENDPOINT, params, CandlesAnswer)
    answered = {
        market.market_ticker: candle_list(CANDLES_ENDPOINT, market.candlesticks)
        for market in answer.markets or ()
    }
    return answered, _origin(CANDLES_ENDPOINT, LIVE)


def _candles_of_one_market(
    api: KalshiApi, request: CandleRequest, params: Params
) -> tuple[dict[str, bytes], Origin]:
    (ticker,) = request.tickers
    is_historical = request.tier == HISTORICAL
    endpoint = HISTORICAL_CANDLES_ENDPOINT if is_historical else MARKET_CANDLES_ENDPOINT
    # the live tier's path names a series, too, but any text will do (docs/kalshi_api.md, 2.7)
    path = _path(endpoint, ticker)
    try:
        answer = api.get(path, params, SingleCandlesAnswer)
    except NotFoundError:
        if is_historical:
            raise
        # an answer about many markets leaves out those that it does not know
        return {}, _origin(endpoint, request.tier)
    return {ticker: candle_list(path, answer.candlesticks)}, _origin(endpoint, request.tier)


def _pages(
    api: KalshiApi, endpoint: str, params: Params, page_type: type[Page], tier: str
) -> Iterator[tuple[Page, Origin]]:
    """All pages of a listing, each with its origin. The last one is known by its empty cursor, not
    by being empty, as a page before it may be that, too (docs/kalshi_api.md, 5.6)."""
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


def _single_event(api: KalshiApi, ticker: str, nested: bool) -> Listing | Problem:
    params = {"with_nested_markets": str(nested).lower()}
    answer = _get_single(api, "event", EVENT_ENDPOINT, ticker, EventAnswer, params)
    if answer is None:
        return Problem(
            f"event {ticker}",
            f"unknown to {api.base_url} (404); check the ticker's spelling and KALSHI_API_URL",
        )
    if isinstance(answer, Problem):
        return answer
    return listing(answer.event, _origin(EVENT_ENDPOINT, LIVE))


def _single_market(api: KalshiApi, ticker: str, tier: str) -> Iterator[MarketFound | Problem]:
    """The market, or nothing when the tier does not have it."""
    endpoint = HISTORICAL_MARKET_ENDPOINT if tier == HISTORICAL else MARKET_ENDPOINT
    answer = _get_single(api, "market", endpoint, ticker, MarketAnswer)
    if isinstance(answer, Problem):
        yield answer
    elif answer is not None:
        yield market_found(answer.market, _origin(endpoint, tier))


def _get_single(
    api: KalshiApi,
    kind: str,
    endpoint: str,
    ticker: str,
    answer_type: type[Answer],
    params: Params | None = None,
) -> Answer | Problem | None:
    """The answer about one object: None on 404, a Problem on any other error.

    Raises NoMoreAnswersError when nothing else can be asked for either.
    """
    try:
        return api.get(_path(endpoint, ticker), params or {}, answer_type)
    except NotFoundError:
        return None
    except NoMoreAnswersError:
        raise
    except ApiError as error:
        return Problem(f"{kind} {ticker}", str(error))


def _path(endpoint: str, ticker: str) -> str:
    """The endpoint's path for a ticker, whatever its placeholders are called.

    Raises BadRequestError for `.` and `..`, which HTTP clients take for a folder and its parent
    however they are spelled: `/events/..` and `/events/%2E%2E` alike become `/`.
    """
    if ticker in (".", ".."):
        raise BadRequestError(f"{ticker} can't be asked for: in an address it means a folder")
    part = quote(ticker, safe="")
    return endpoint.format(event_ticker=part, series_ticker=part, ticker=part)


def _origin(endpoint: str, tier: str) -> Origin:
    return Origin(endpoint, tier, datetime.now(UTC))
