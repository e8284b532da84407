"""One load, from settings to a summary: plan → fetch → land."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pipelines.api import KalshiApi
from pipelines.errors import ApiUnreachableError
from pipelines.fetch import Listing, Problem, fetch_candles, fetch_events
from pipelines.land import Lander
from pipelines.plan import CandleRequest, batched, plan_requests
from pipelines.progress import Reporter, reporting, say
from pipelines.records import Market, WindowRow
from pipelines.settings import LoadSettings
from pipelines.source import kalshi_source
from pipelines.timerange import TimeRange
from pipelines.warehouse import Warehouse

REQUESTS_PER_PACKAGE = 50
"""Candle requests that land together: at most 500,000 candles, which a kill can cost at most."""


@dataclass
class LoadSummary:
    """What a load landed, and what it could not."""

    events: int = 0
    markets: int = 0
    windows: int = 0
    candles: int = 0
    requests: int = 0
    seconds: float = 0.0
    problems: list[Problem] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        return 1 if self.problems else 0

    def __str__(self) -> str:
        return (
            f"landed {_count(self.events, 'event')}, {_count(self.markets, 'market')} and "
            f"{_count(self.candles, 'candle')} in {_count(self.windows, 'window')} "
            f"({_count(self.requests, 'request')}, {self.seconds:.1f} s)"
        )


def load(settings: LoadSettings, wanted: TimeRange, warehouse: Warehouse) -> LoadSummary:
    """Land the events of `settings`, their markets, and their candles of the time `wanted`.

    What can't be landed is a problem in the summary and stops nothing else. Raises KalshiEltError
    when nothing more can be done: wrong settings, no API at the start, no warehouse.
    """
    started = time.monotonic()
    api = KalshiApi(
        settings.api_url,
        rate=settings.rate,
        attempts=settings.attempts,
        timeout=settings.timeout,
    )
    summary = LoadSummary()
    lander = Lander(warehouse)
    if pending := lander.settle():
        say(f"landed {_count(pending, 'package')} that an earlier load left pending")
    markets = _load_listing(api, lander, settings.events or [], summary)
    requests = plan_requests(markets, wanted, settings.intervals or [])
    _load_candles(api, lander, requests, summary)
    summary.requests = api.requests
    summary.seconds = time.monotonic() - started
    return summary


def _load_listing(
    api: KalshiApi, lander: Lander, tickers: list[str], summary: LoadSummary
) -> list[Market]:
    """Land the events and their markets; returns the markets to plan candles for."""
    found = list(_sort_out(fetch_events(api, tickers), summary))
    rows = [row for listing in found for row in listing.market_rows]
    events = [listing.event for listing in found]
    # no candles yet, but all three tables from the first load on
    lander.land(kalshi_source(events=events, markets=rows, candlesticks=()))
    lander.tune()
    summary.events += len(found)
    summary.markets += len(rows)
    say(f"listed {_count(len(found), 'event')} with {_count(len(rows), 'market')}")
    return [market for listing in found for market in listing.markets]


def _sort_out(outcomes: Iterable[Listing | Problem], summary: LoadSummary) -> Iterator[Listing]:
    for outcome in outcomes:
        if isinstance(outcome, Problem):
            summary.problems.append(outcome)
        else:
            yield outcome


def _load_candles(
    api: KalshiApi, lander: Lander, requests: list[CandleRequest], summary: LoadSummary
) -> None:
    """Land the requests' windows in packages of bounded size."""
    with reporting(len(requests)) as reporter:
        for package in batched(requests, REQUESTS_PER_PACKAGE):
            rows = _window_rows(api, package, summary, reporter)
            lander.land(kalshi_source(candlesticks=rows))
            if any(problem.is_final for problem in summary.problems):
                return


def _window_rows(
    api: KalshiApi,
    requests: Iterable[CandleRequest],
    summary: LoadSummary,
    reporter: Reporter,
) -> Iterator[WindowRow]:
    """Fetch while dlt extracts. An exception in here would cost the whole package."""
    for request in requests:
        candles = 0
        try:
            for outcome in fetch_candles(api, request):
                if isinstance(outcome, Problem):
                    summary.problems.append(outcome)
                    continue
                candles += outcome.candles
                summary.windows += 1
                yield outcome
        except ApiUnreachableError as error:
            summary.problems.append(Problem("candles not yet fetched", str(error), is_final=True))
            return
        summary.candles += candles
        reporter.advance(candles)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
