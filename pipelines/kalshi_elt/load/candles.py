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
    """The requests for all candles of the chosen markets that are wanted and not covered.

    A load without a range of its own also asks for what is missing of markets that are not listed
    any more. What is planned is remembered as wanted, but in a dry run.
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
    """Send the requests and land their answers, package by package, then count them as covered."""
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
    """Send the requests and land their answers as one package. One that Postgres refuses is noted
    as a problem."""
    rows = _rows(context, requests, reporter)
    try:
        context.lander.land(raw_rows_source(candlesticks=rows))
    except RefusedError as error:
        context.summary.note(Problem("a package of candles", str(error)))


def packages(
    requests: Iterable[CandleRequest], least: int, seconds: float
) -> Iterator[Iterator[CandleRequest]]:
    """The requests of one package after the other; each must be read to its end before the next.

    A package takes requests until `seconds` have passed, and `least` of them in any case. Time and
    not number bounds it: each package takes dlt 0.3 s, whatever is in it, so a quick API needs
    larger ones, and a kill loses the work of so many seconds, however quick the API is.
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
    """A dry run's plan, as text; it is noted in the summary, too."""
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
    """The markets with the tier that has their candles. For a settled one that is decided by the
    historical tier's cutoff (docs/kalshi_api.md, 2.12), which is asked for only when there is
    one."""
    if not any(market.settled and tier == LIVE for market, tier in markets):
        return markets
    try:
        cutoff = fetch_cutoff(context.api)
    except NoMoreAnswersError:
        raise
    except ApiError as error:
        # without it the live tier is asked, and then the historical one for what that leaves out
        context.summary.note(Problem("the historical tier's cutoff", str(error)))
        return markets
    return [
        (market, HISTORICAL if market.settled and market.settled < cutoff else tier)
        for market, tier in markets
    ]


def _rows(
    context: LoadContext, requests: Iterable[CandleRequest], reporter: Reporter
) -> Iterator[WindowRow]:
    """The rows of the answers, fetched while dlt writes those before them.

    What goes wrong is noted in the summary: an exception in here would lose the whole package.
    """

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
    """A request's rows. Markets that the live tier leaves out are asked of the historical one.

    Raises NoMoreAnswersError when the API can't be reached any more, or the time is up.
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
