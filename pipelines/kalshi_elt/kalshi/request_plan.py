"""Which candle requests to send: as few as the API's caps allow. No I/O in here.

Times are Unix seconds; a window is (start, end], by the end of a candle's period.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import TypeVar
from urllib.parse import quote

from kalshi_elt.base.times import MINUTE
from kalshi_elt.kalshi.records import HISTORICAL, LIVE

Item = TypeVar("Item")

MAX_TICKERS = 100
"""The most markets in one batch request (docs/kalshi_api.md, 2.6)."""

LONGEST_LISTED = 75
"""Characters of a ticker, as an address spells it, that may share a list with others: 100 of them
and the commas make 7.8 kB, servers take 8. Kalshi's have up to 57 (docs/kalshi_api.md, 2.4)."""

MAX_PERIODS = 10_000
"""The most tickers times requested periods in one batch request, whatever comes back (2.6)."""

MAX_SINGLE_PERIODS = 5_000
"""The most requested periods in one request for one market (2.7, 2.12)."""

NEARLY = 0.97
"""How much of the best way's filling is enough for a way with longer windows. They are fewer rows:
a day of 100 markets takes 1 % more requests and 40 % of the rows."""

MOST_SLICES = 20
"""Beyond so many slices of time a last one that is not full costs less than 5 %."""


@dataclass(frozen=True)
class Window:
    """One market's wanted stretch (start, end], and how far a request may reach beyond it.

    Before a market opens and after it closes there is nothing to ask for and nothing covered, so
    asking there costs no more and lets markets share requests. Elsewhere the bounds are the same.
    """

    ticker: str
    start: int
    end: int
    earliest: int
    latest: int
    tier: str = LIVE


@dataclass(frozen=True)
class CandleRequest:
    """One request: the same window for up to 100 live markets, or for one historical market."""

    tickers: tuple[str, ...]
    start: int
    end: int
    interval_min: int
    tier: str = LIVE


def fits_a_list(ticker: str) -> bool:
    """Whether a ticker can be asked for in a comma list: one with a comma would ask for others,
    and one that is too long would cost all that are asked for with it."""
    return "," not in ticker and len(quote(ticker, safe="")) <= LONGEST_LISTED


def plan_requests(windows: Iterable[Window], interval_min: int) -> list[CandleRequest]:
    """Requests that cover every window once, within the caps."""
    shared: list[Window] = []
    alone: list[Window] = []
    for window in windows:
        (shared if window.tier == LIVE and fits_a_list(window.ticker) else alone).append(window)
    return [
        *(request for cluster in _clusters(shared, interval_min) for request in cluster),
        *_single_requests(alone, interval_min),
    ]


def _clusters(windows: list[Window], interval_min: int) -> Iterator[list[CandleRequest]]:
    """Windows that end (almost) together are packed together."""
    # half of the shortest full slice: aligning an end never costs a request of its own
    tolerance = MAX_PERIODS // MAX_TICKERS // 2 * interval_min * MINUTE
    queue = deque(sorted(windows, key=lambda window: (-window.end, window.ticker)))
    while queue:
        end = queue[0].end
        cluster: list[Window] = []
        deferred: list[Window] = []
        while queue and queue[0].end >= end - tolerance:
            window = queue.popleft()
            fits = window.end == end or window.latest >= end
            (cluster if fits else deferred).append(window)
        queue.extendleft(reversed(deferred))
        cluster.sort(key=lambda window: (window.start, window.ticker))
        yield _pack(cluster, end, interval_min)


def _pack(cluster: list[Window], end: int, interval_min: int) -> list[CandleRequest]:
    """Group by group, longest first, each group in the size that fills its requests best."""
    requests: list[CandleRequest] = []
    begin = 0
    while begin < len(cluster):
        ways = [
            (group, list(_sweep(group, end, interval_min)))
            for size in _group_sizes(cluster[begin], end, interval_min)
            for group in [cluster[begin : begin + size]]
        ]
        fill = [
            sum(_periods(window, end, interval_min) for window in group) / len(sent)
            for group, sent in ways
        ]
        # the smallest group comes first: its windows are the longest
        group, sent = next(
            way for way, full in zip(ways, fill, strict=True) if full >= NEARLY * max(fill)
        )
        requests += sent
        begin += len(group)
    return requests


def _group_sizes(longest: Window, end: int, interval_min: int) -> list[int]:
    """How many markets may share requests, for each number of slices that the longest takes."""
    periods = _periods(longest, end, interval_min)
    slices = range(1, min(MOST_SLICES, periods) + 1)
    sizes = {min(MAX_TICKERS, max(1, MAX_PERIODS // ceil(periods / number))) for number in slices}
    return sorted(sizes)


def _periods(window: Window, end: int, interval_min: int) -> int:
    return ceil((end - window.start) / (interval_min * MINUTE))


def _sweep(group: list[Window], end: int, interval_min: int) -> Iterator[CandleRequest]:
    """Slices of time from the end back; a market leaves when its window's start is reached."""
    active = group
    while active:
        reach = MAX_PERIODS // len(active) * interval_min * MINUTE
        start = max(
            end - reach,
            max(window.earliest for window in active),
            min(window.start for window in active),
        )
        yield CandleRequest(tuple(window.ticker for window in active), start, end, interval_min)
        active = [window for window in active if window.start < start]
        end = start


def _single_requests(windows: Iterable[Window], interval_min: int) -> Iterator[CandleRequest]:
    """One market a request: the historical tier takes no more, nor a ticker that fits no list."""
    reach = MAX_SINGLE_PERIODS * interval_min * MINUTE
    for window in windows:
        for start in range(window.start, window.end, reach):
            end = min(start + reach, window.end)
            yield CandleRequest((window.ticker,), start, end, interval_min, window.tier)


def retry_in_historical(request: CandleRequest, tickers: Iterable[str]) -> list[CandleRequest]:
    """The same window for markets that turned out not to be in the live tier."""
    windows = [
        Window(ticker, request.start, request.end, request.start, request.end, HISTORICAL)
        for ticker in tickers
    ]
    return list(_single_requests(windows, request.interval_min))
