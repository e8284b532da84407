"""Which candle requests to send: as few as the API's caps allow. No I/O in here.

Times are Unix seconds; a window is (start, end], by the end of a candle's period.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from math import ceil
from typing import TypeVar

from pipelines.records import Market
from pipelines.timerange import DEFAULT_LOOK_BACK, MINUTE, TimeRange

Item = TypeVar("Item")

MAX_TICKERS = 100
"""The most markets in one batch request (API.md 2.6)."""

MAX_PERIODS = 10_000
"""The most tickers times requested periods in one batch request, whatever comes back (2.6)."""


@dataclass(frozen=True)
class MarketWindow:
    """One market's wanted stretch (start, end]."""

    ticker: str
    start: int
    end: int


@dataclass(frozen=True)
class CandleRequest:
    """One batch request: the same window for up to 100 markets."""

    tickers: tuple[str, ...]
    start: int
    end: int
    interval_min: int


def plan_requests(
    markets: Iterable[Market], wanted: TimeRange, intervals: Iterable[int]
) -> list[CandleRequest]:
    """The requests that cover `wanted` for every market's life, for each interval."""
    known = list(markets)
    return [
        request
        for interval in intervals
        for request in _pack(_life_windows(known, wanted, interval), interval)
    ]


def _life_windows(
    markets: Iterable[Market], wanted: TimeRange, interval: int
) -> Iterator[MarketWindow]:
    """`wanted` cut to each market's life: no candle ends before it opens or long after it closes.

    The period in which a market closes ends up to one interval after it (API.md 2.9).
    """
    for market in markets:
        starts = [moment for moment in (wanted.since, market.opened) if moment is not None]
        start = max(starts, default=wanted.until - DEFAULT_LOOK_BACK)
        end = wanted.until
        if market.closed is not None:
            end = min(end, _next_minute(market.closed) + interval * MINUTE)
        if start < end:
            yield MarketWindow(market.ticker, start, end)


def _pack(windows: Iterable[MarketWindow], interval: int) -> Iterator[CandleRequest]:
    """Markets with the same window share requests that fill the caps."""
    ordered = sorted(windows, key=lambda window: (window.start, window.end, window.ticker))
    for (start, end), group in groupby(ordered, key=lambda window: (window.start, window.end)):
        for some in batched((window.ticker for window in group), MAX_TICKERS):
            step = MAX_PERIODS // len(some) * interval * MINUTE
            for slice_start in range(start, end, step):
                yield CandleRequest(some, slice_start, min(slice_start + step, end), interval)


def batched(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    """`items` in tuples of `size`, the last one shorter. (Python 3.12 has its own.)"""
    iterator = iter(items)
    while batch := tuple(islice(iterator, size)):
        yield batch


def _next_minute(moment: int) -> int:
    return ceil(moment / MINUTE) * MINUTE
