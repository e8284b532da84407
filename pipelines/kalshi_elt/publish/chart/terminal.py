"""A chart as text, for the terminal."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kalshi_elt.base.text import visible
from kalshi_elt.publish.chart.data import Chart, EventChart, Line, MarketChart, Period
from kalshi_elt.publish.chart.spec import describe, percent, shortened

LEAST_WIDTH = 40
"""Columns."""

LEAST_HEIGHT = 10
"""Lines of the plot alone."""

VOLUME_HEIGHT = 6

COLOURS = (33, 208, 36, 170, 246, 45, 220, 76, 99, 196, 137, 117, 215, 121, 219)
"""Colours of an event's lines: numbers of a terminal's 256 colours that can be read on black and on
white."""

RISING, FALLING = COLOURS[:2]
LETTERS = "abcdefghijklmno"
"""What an event's lines are drawn with when there are no colours."""

DATE_FORM = "Y-m-d H:M"
DATE_FORMAT = "%Y-%m-%d %H:%M"
"""DATE_FORM, which is plotext's, in Python's spelling."""

STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25)


@dataclass(frozen=True)
class Bin:
    """Consecutive periods that are drawn in one column."""

    end: datetime
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    probability: float | None
    volume: float


def render_terminal(chart: Chart, width: int, height: int, *, colour: bool) -> str:
    """The chart as text of at most `width` columns and about `height` lines.

    Without `colour` it is plain text, in which an event's lines are told apart by letters.
    """
    width = max(width, LEAST_WIDTH)
    head = [
        *_lines_of(width, chart.title, chart.subtitle),
        *textwrap.wrap(visible(describe(chart)), width),
    ]
    if isinstance(chart, EventChart):
        foot = _legend(chart, width, colour)
        plot = _event_plot(chart, width, max(LEAST_HEIGHT, height - len(head) - len(foot)), colour)
    else:
        foot = _lines_of(width, _market_foot(chart))
        plot = _market_plot(chart, width, max(LEAST_HEIGHT, height - len(head) - len(foot)))
    if not colour:
        plot = _plotext().uncolorize(plot)
    return "\n".join((*head, plot, *foot))


def _plotext() -> Any:
    # importing it takes 50 ms, so it is done only when something is drawn
    import plotext

    return plotext


def _lines_of(width: int, *texts: str) -> list[str]:
    return [shortened(visible(text), width) for text in texts if text]


def _market_foot(chart: MarketChart) -> str:
    last = chart.periods[-1]
    return (
        f"probability {percent(last.probability)}, bid {percent(last.bid)}, "
        f"ask {percent(last.ask)}, last trade {percent(last.last)}; below: contracts"
    )


def _legend(chart: EventChart, width: int, colour: bool) -> list[str]:
    lines = []
    for number, line in enumerate(chart.lines):
        text = f"{percent(line.latest):>6}  {shortened(visible(line.name), width - 12)}"
        sign = f"\x1b[38;5;{COLOURS[number]}m━━\x1b[0m" if colour else LETTERS[number] * 2
        lines.append(f"{sign}{text}")
    return lines


def _market_plot(chart: MarketChart, width: int, height: int) -> str:
    bins = bins_of(chart.periods, most=(width - 9) // 2)
    return "\n".join(
        (_candles_plot(bins, width, height - VOLUME_HEIGHT), _volume_plot(bins, width))
    )


def _candles_plot(bins: Sequence[Bin], width: int, height: int) -> str:
    """Candles, and for periods in which nothing traded a dot at the probability."""
    plot = _started(width, height)
    plot.date_form(DATE_FORM)
    candles = [one for one in bins if one.high is not None]
    quiet = [one for one in bins if one.high is None and one.probability is not None]
    if candles:
        plot.candlestick(
            _dates(candles),
            {
                "Open": [one.open for one in candles],
                "Close": [one.close for one in candles],
                "High": [one.high for one in candles],
                "Low": [one.low for one in candles],
            },
            colors=[RISING, FALLING],
        )
    if quiet:
        plot.scatter(_dates(quiet), [one.probability for one in quiet], marker="·")
    prices = [value for one in candles for value in (one.low, one.high)]
    prices += [one.probability for one in quiet]
    _price_axis(plot, [value for value in prices if value is not None])
    # a single candle is drawn in the middle
    margin = timedelta(days=len(bins) == 1)
    plot.xlim(_date(bins[0].end - margin), _date(bins[-1].end + margin))
    plot.xticks([], [])
    return _finished(plot)


def _volume_plot(bins: Sequence[Bin], width: int) -> str:
    """Contracts traded in the same bins, to be put below the candles, with the axis of time."""
    plot = _started(width, VOLUME_HEIGHT)
    plot.bar(list(range(len(bins))), [one.volume for one in bins], width=0.2, color=COLOURS[4])
    most = max(one.volume for one in bins) or 1
    plot.ylim(0, most)
    plot.yticks([0, most], [f"{0:>6}", f"{_short(most):>6}"])
    margin = int(len(bins) == 1)
    plot.xlim(-margin, len(bins) - 1 + margin)
    ticks = _spread(range(len(bins)), width)
    plot.xticks(ticks, _time_labels([bins[place].end for place in ticks]))
    return _finished(plot)


def _dates(bins: Iterable[Bin]) -> list[str]:
    return [_date(one.end) for one in bins]


def _date(moment: datetime) -> str:
    return moment.strftime(DATE_FORMAT)


def _event_plot(chart: EventChart, width: int, height: int, colour: bool) -> str:
    moments = _columns(chart, width - 9)
    plot = _started(width, height)
    prices = [0.0]
    for number, line in enumerate(chart.lines):
        values = values_at(line, moments)
        style = {"marker": "braille" if colour else LETTERS[number], "color": COLOURS[number]}
        for stretch in _stretches(values):
            plot.plot(
                [moments[i].timestamp() for i in stretch], [values[i] for i in stretch], **style
            )
        prices += [value for value in values if value is not None]
    _price_axis(plot, prices)
    plot.xlim(moments[0].timestamp(), moments[-1].timestamp())
    ticks = _spread(range(len(moments)), width)
    plot.xticks([moments[i].timestamp() for i in ticks], _time_labels([moments[i] for i in ticks]))
    return _finished(plot)


def _started(width: int, height: int) -> Any:
    """plotext with an empty figure. It has one figure at a time, as a global of its module."""
    plot = _plotext()
    plot.clear_figure()
    # the size is what we say, and not limited to that of the terminal
    plot.limit_size(False, False)
    plot.theme("clear")
    plot.plot_size(width, height)
    return plot


def _finished(plot: Any) -> str:
    text = str(plot.build()).rstrip("\n")
    plot.clear_figure()
    return text


def bins_of(periods: Sequence[Period], most: int) -> list[Bin]:
    """The periods in at most `most` bins, each of the same number of periods but the last."""
    size = -(-len(periods) // most)
    return [_bin(periods[i : i + size]) for i in range(0, len(periods), size)]


def _bin(periods: Sequence[Period]) -> Bin:
    return Bin(
        end=periods[-1].end,
        open=_first(one.open for one in periods),
        high=max((one.high for one in periods if one.high is not None), default=None),
        low=min((one.low for one in periods if one.low is not None), default=None),
        close=_first(one.close for one in reversed(periods)),
        probability=_first(one.probability for one in reversed(periods)),
        volume=sum(one.volume for one in periods),
    )


def _first(values: Iterable[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)


def _columns(chart: EventChart, number: int) -> list[datetime]:
    """The moment of each of `number` columns, from the first point of all lines to the last."""
    ends = [moment for line in chart.lines for moment, _ in line.points]
    first, last = min(ends), max(ends)
    if first == last:
        first -= timedelta(minutes=chart.span.interval)
    return [first + (last - first) * i / (number - 1) for i in range(number)]


def values_at(line: Line, moments: Sequence[datetime]) -> list[float | None]:
    """The line's value at each moment, which must be in ascending order; None before its first
    point."""
    values: list[float | None] = []
    place = 0
    value = None
    for moment in moments:
        while place < len(line.points) and line.points[place][0] <= moment:
            value = line.points[place][1]
            place += 1
        values.append(value)
    return values


def _stretches(values: Sequence[float | None]) -> list[list[int]]:
    """The indexes of values that are known, a list for each stretch without a gap."""
    found: list[list[int]] = [[]]
    for place, value in enumerate(values):
        if value is not None:
            found[-1].append(place)
        elif found[-1]:
            found.append([])
    return [stretch for stretch in found if stretch]


def _price_axis(plot: Any, prices: Sequence[float]) -> None:
    low, high, ticks = price_ticks(min(prices, default=0.0), max(prices, default=1.0))
    plot.ylim(low, high)
    plot.yticks(ticks, [f"{percent(tick):>6}" for tick in ticks])


def price_ticks(low: float, high: float, most: int = 6) -> tuple[float, float, list[float]]:
    """Where a price axis begins and ends, within 0 and 1, and at most `most` round prices on it."""
    step = next((step for step in STEPS if (high - low) / step < most - 1), STEPS[-1])
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    if last * step > 1:
        first, last = first - 1, last - 1
    ticks = [round(number * step, 4) for number in range(first, last + 1)]
    return ticks[0], ticks[-1], ticks


def _spread(places: Sequence[int], width: int) -> list[int]:
    """Some of the indexes, evenly spread, so few that their labels have room."""
    number = max(2, min(len(places), (width - 9) // 16))
    last = len(places) - 1
    return sorted({places[round(last * i / (number - 1))] for i in range(number)})


def _time_labels(moments: Sequence[datetime]) -> list[str]:
    """Labels of moments, in UTC; with the time of day when they all lie within ten days."""
    short = moments[-1] - moments[0] < timedelta(days=10)
    return [f"{one:%d %b %H:%M}" if short else f"{one:%d %b}" for one in moments]


def _short(value: float) -> str:
    """A number in at most five characters, such as `1.23M`."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{sign}"
    return f"{value:.3g}"
