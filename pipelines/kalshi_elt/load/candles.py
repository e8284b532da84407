"""Asking for the candles that are wanted and not covered, and landing them."""

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator

from kalshi_elt.base.errors import ApiError, NoMoreAnswersError, OutOfTimeError, RefusedError
from kalshi_elt.base.iterables import in_parallel
from kalshi_elt.base.problems import Problem
from kalshi_elt.kalshi.endpoints import (
    CANDLES_ENDPOINT,
    HISTORICAL_CANDLES_ENDPOINT,
    fetch_candles,
    fetch_cutoff,
)
from kalshi_elt.kalshi.records import HISTORICAL, LIVE, MarketInTier, WindowRow
from kalshi_elt.kalshi.request_plan import CandleRequest, plan_requests, retry_in_historical
from kalshi_elt.load.context import LoadContext
from kalshi_elt.load.landing.source import raw_rows_source
from kalshi_elt.load.progress import Reporter
from kalshi_elt.ops import coverage, objects
from kalshi_elt.ops.objects import Scope


def plan(context: LoadContext, chosen: Iterable[MarketInTier], scope: Scope) -> list[CandleRequest]:
    """The requests for all that is wanted of the chosen markets and not covered.

    A load that goes on also takes up what is missing of markets that are not listed any more.
    """
    markets = list(chosen)
    if context.wanted.goes_on:
        known = {market.ticker for market, _ in markets}
        unfinished = objects.unfinished(context.connection, scope)
        markets += [(market, LIVE) for market in unfinished if market.ticker not in known]
    markets = _in_their_tiers(context, markets)
    requests: list[CandleRequest] = []
    for interval in context.settings.intervals:
        windows = coverage.gaps(
            context.connection,
            coverage.lives(markets, context.wanted, interval),
            interval,
            again=context.settings.again,
            record=not context.settings.dry_run,
        )
        requests += plan_requests(windows, interval)
    if context.wanted.goes_on and not context.settings.dry_run:
        settled = [market.ticker for market, _ in markets if market.is_settled]
        objects.stop_following(context.connection, settled)
    return requests


def fetch_and_land(context: LoadContext, requests: list[CandleRequest]) -> None:
    """Land the requests' windows in packages of bounded size, then count them as covered."""
    settings = context.settings
    with context.log.requests(len(requests)) as reporter:
        for package in packages(
            requests, settings.requests_per_package, settings.seconds_per_package
        ):
            land_package(context, package, reporter)
            if context.summary.is_over:
                break
    coverage.count_finished_loads(context.connection)


def land_package(
    context: LoadContext, requests: Iterable[CandleRequest], reporter: Reporter
) -> None:
    """Land the requests' windows as one package."""
    rows = _rows(context, requests, reporter)
    try:
        context.lander.land(raw_rows_source(candlesticks=rows))
    except RefusedError as error:
        context.summary.note(Problem("a package of candles", str(error)))


def packages(
    requests: Iterable[CandleRequest], least: int, seconds: float
) -> Iterator[Iterator[CandleRequest]]:
    """The requests of one package after the other, each to be taken whole before the next.

    A package goes on for so many seconds: a load package costs dlt 0.3 s, whatever is in it, so a
    quick API needs larger ones, and a kill costs no more time than with a slow one.
    """
    queue = deque(requests)
    while queue:
        yield _package(queue, least, time.monotonic() + seconds)


def _package(queue: deque[CandleRequest], least: int, until: float) -> Iterator[CandleRequest]:
    taken = 0
    while queue and (taken < least or time.monotonic() < until):
        taken += 1
        yield queue.popleft()


def report(context: LoadContext, requests: list[CandleRequest]) -> str:
    """A dry run's plan, as text."""
    endpoints = {LIVE: CANDLES_ENDPOINT, HISTORICAL: HISTORICAL_CANDLES_ENDPOINT}
    context.summary.planned = Counter(endpoints[request.tier] for request in requests)
    windows = sum(len(request.tickers) for request in requests)
    rate = context.settings.rate
    return "\n".join(
        (
            f"markets    {context.summary.selected:,}",
            f"windows    {windows:,}",
            *(
                f"requests   {number:,} GET {endpoint}"
                for endpoint, number in sorted(context.summary.planned.items())
            ),
            f"duration   {len(requests) / rate:,.0f} s at {rate:g} requests/s",
        )
    )


def _in_their_tiers(context: LoadContext, markets: list[MarketInTier]) -> list[MarketInTier]:
    """The cutoff decides where a settled market's candles are (docs/kalshi_api.md, 2.12)."""
    if not any(market.settled and tier == LIVE for market, tier in markets):
        return markets
    try:
        cutoff = fetch_cutoff(context.api)
    except NoMoreAnswersError:
        raise
    except ApiError as error:
        # the live tier is asked first then, and what it leaves out of the historical one
        context.summary.note(Problem("the historical tier's cutoff", str(error)))
        return markets
    return [
        (market, HISTORICAL if market.settled and market.settled < cutoff else tier)
        for market, tier in markets
    ]


def _rows(
    context: LoadContext, requests: Iterable[CandleRequest], reporter: Reporter
) -> Iterator[WindowRow]:
    """Fetch while dlt extracts. An exception in here would cost the whole package."""

    def fetch(request: CandleRequest) -> list[WindowRow | Problem]:
        if context.summary.is_over:
            return []
        try:
            return _fetch(context, request)
        except OutOfTimeError:
            context.summary.is_out_of_time = True
            return []
        except NoMoreAnswersError as error:
            return [Problem("candles not yet fetched", str(error), is_final=True)]

    for outcomes in in_parallel(fetch, requests, context.settings.workers):
        candles = 0
        for outcome in outcomes:
            if isinstance(outcome, Problem):
                context.summary.note(outcome)
                continue
            candles += outcome.candles
            context.summary.windows += 1
            yield outcome
        context.summary.candles += candles
        reporter.advance(candles)


def _fetch(context: LoadContext, request: CandleRequest) -> list[WindowRow | Problem]:
    """A request's rows; what the live tier left out is asked of the historical one.

    Raises NoMoreAnswersError when there is no API to ask any more, or no time.
    """
    outcomes = list(fetch_candles(context.api, request))
    missing = [
        outcome.missing
        for outcome in outcomes
        if isinstance(outcome, Problem) and outcome.missing and request.tier == LIVE
    ]
    if missing:
        outcomes = [outcome for outcome in outcomes if isinstance(outcome, WindowRow)]
        for other in retry_in_historical(request, missing):
            outcomes += fetch_candles(context.api, other)
    return outcomes
