"""Which candle requests to send: as few as the API's caps allow. Nothing is read or written here.

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
"""Characters of a ticker, escaped as in an address, that may be asked for in a list with others:
100 of them with their commas make 7.6 kB, and servers take addresses of 8 kB. Kalshi's own tickers
have up to 57 characters (docs/kalshi_api.md, 2.4)."""

MAX_PERIODS = 10_000
"""The most that the number of tickers times the number of requested periods may be in one batch
request, however few candles there are (docs/kalshi_api.md, 2.6)."""

MAX_SINGLE_PERIODS = 5_000
"""The most requested periods in one request for one market (docs/kalshi_api.md, 2.7, 2.12)."""

NEARLY = 0.97
"""A way of packing is good enough when it fills its requests to this share of what the best way
does. Among the good ones that with the longest windows is taken, as it lands fewer rows: for a day
of 100 markets 1 % more requests bring 40 % of the rows."""

MOST_SLICES = 20
"""The most slices of time that are tried. With 20 of them a last one that is not full wastes less
than 1/20, 5 %, so more slices can't do much better."""


@dataclass(frozen=True)
class Window:
    """One market's wanted stretch (start, end], and how far a request may reach beyond it.

    Before a market opens and after it closes there are no candles and nothing counts as covered, so
    a request may reach into that time (to `earliest` or `latest`), which lets markets with
    different lives share requests. Where it may not, `earliest` is `start` and `latest` is `end`.
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
    """Whether a ticker can be asked for in a list with commas. One that has a comma itself would
    ask for others; one that is too long would have the whole request refused."""
    return "," not in ticker and len(quote(ticker, safe="")) <= LONGEST_LISTED


def plan_requests(windows: Iterable[Window], interval_min: int) -> list[CandleRequest]:
    """Requests that cover every window once, within the caps.

    Windows of the live tier share requests where their tickers fit a list; all others are asked
    for one market at a time.
    """
    shared: list[Window] = []
    alone: list[Window] = []
    for window in windows:
        (shared if window.tier == LIVE and fits_a_list(window.ticker) else alone).append(window)
    return [
        *(request for cluster in _clusters(shared, interval_min) for request in cluster),
        *_single_requests(alone, interval_min),
    ]


def _clusters(windows: list[Window], interval_min: int) -> Iterator[list[CandleRequest]]:
    """The requests of each group of windows that end at nearly the same time."""
    # half of the shortest full slice (100 markets share 10,000 periods, 100 each): to have windows
    # end together is never so much more to ask for that it takes a request of its own
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
    """The requests of windows that all reach to `end`, sorted by their starts.

    The longest windows come first. As many of them as fill their requests best make a group, then
    the same is done with the rest.
    """
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
        # ways are in the order of their groups' sizes, and the smallest group has the longest
        # windows
        group, sent = next(
            way for way, full in zip(ways, fill, strict=True) if full >= NEARLY * max(fill)
        )
        requests += sent
        begin += len(group)
    return requests


def _group_sizes(longest: Window, end: int, interval_min: int) -> list[int]:
    """How many markets may share requests so that the longest window takes 1, 2, 3, ... slices of
    time: each number of slices that is worth a try gives a size, in ascending order."""
    periods = _periods(longest, end, interval_min)
    slices = range(1, min(MOST_SLICES, periods) + 1)
    sizes = {min(MAX_TICKERS, max(1, MAX_PERIODS // ceil(periods / number))) for number in slices}
    return sorted(sizes)


def _periods(window: Window, end: int, interval_min: int) -> int:
    return ceil((end - window.start) / (interval_min * MINUTE))


def _sweep(group: list[Window], end: int, interval_min: int) -> Iterator[CandleRequest]:
    """Requests for one slice of time after the other, from the end back. A market is left out of
    them once its window's start is reached, so the others get longer slices."""
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
    """Requests for one market each: the historical tier takes no lists, and some tickers fit
    none."""
    reach = MAX_SINGLE_PERIODS * interval_min * MINUTE
    for window in windows:
        for start in range(window.start, window.end, reach):
            end = min(start + reach, window.end)
            yield CandleRequest((window.ticker,), start, end, interval_min, window.tier)


def retry_in_historical(request: CandleRequest, tickers: Iterable[str]) -> list[CandleRequest]:
    """The same window, asked of the historical tier, for markets that the live tier left out."""
    windows = [
        Window(ticker, request.start, request.end, request.start, request.end, HISTORICAL)
        for ticker in tickers
    ]
    return list(_single_requests(windows, request.interval_min))
