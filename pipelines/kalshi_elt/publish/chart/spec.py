"""Charts as specifications in Vega-Lite: plain dicts, which know nothing of a page.

A specification does not have its rows in it, but their name, `rows`: a page has a light and a dark
specification, which share them. A page may change these parameters: `shown`, the range of time in
Unix milliseconds, and `prices`, the range of prices, each null for all of it; and `hidden`, the
numbers of the lines that are not drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from kalshi_elt.publish.chart.data import DAY, Chart, EventChart, MarketChart, Period, Span

VEGA_LITE = "6.4"
"""The version of Vega-Lite that the specifications are written for."""

Spec = dict[str, Any]
Row = dict[str, float | int]


@dataclass(frozen=True)
class Theme:
    """Colours, each with a contrast of at least 3 to the paper."""

    paper: str
    ink: str
    soft: str
    """For axes and their labels."""
    grid: str
    rising: str
    falling: str
    """`rising` and `falling` are told apart by the colour-blind, too."""
    band: str
    volume: str
    hues: tuple[str, ...]
    """For lines. With the patterns of DASHES no two lines of an event look the same."""


LIGHT = Theme(
    paper="#ffffff",
    ink="#1c1d1f",
    soft="#5d6068",
    grid="#e6e6e1",
    rising="#00529b",
    falling="#c2500a",
    band="#b9c4d0",
    volume="#8a919c",
    hues=("#00529b", "#c2500a", "#007a57", "#c46b9f", "#33363b"),
)
DARK = Theme(
    paper="#16181b",
    ink="#e6e6e3",
    soft="#a0a3ab",
    grid="#2d3136",
    rising="#62b2f2",
    falling="#ff9248",
    band="#465362",
    volume="#767d88",
    hues=("#62b2f2", "#ff9248", "#2fb98b", "#e79cc7", "#dcdcd8"),
)

DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (7, 3), (2, 2))
"""Patterns of lines: lengths of strokes and gaps in pixels. The first has no gaps."""

NEW_YORK = ZoneInfo("America/New_York")
"""The time zone at whose midnight Kalshi's days end."""

FONT = "system-ui, -apple-system, Segoe UI, Roboto, Noto Sans, Liberation Sans, sans-serif"

TICK_LABEL = (
    "utchours(datum.value) || utcminutes(datum.value) ? utcFormat(datum.value, '%H:%M') : "
    "utcmonth(datum.value) || utcdate(datum.value) > 1 ? utcFormat(datum.value, '%-d %b') : "
    "utcFormat(datum.value, '%Y')"
)
"""Labels of the time axis: the time of day, or at midnight the day, or at a new year the year."""

PRICE_SHARE = 0.76
"""Share of the height of a market's chart that prices take; the volume is drawn below."""

PICTURE_SIZE = (960, 440)
"""Width and height of a picture's plot in pixels, before scaling."""


def style_of(number: int) -> tuple[int, int]:
    """The index of a line's hue in `Theme.hues`, and of its pattern in DASHES."""
    hues = len(LIGHT.hues)
    return number % hues, number // hues % len(DASHES)


def chart_rows(chart: Chart) -> list[Row]:
    """The rows that are drawn. A row has no key for what is unknown.

    `t` is the end of a period in Unix milliseconds. A row of an event's chart has `m`, the line's
    number, and `p`, the probability. A row of a market's chart has `s`, the period's start, `o`,
    `h`, `l` and `c`, the first, highest, lowest and last price of trades, `b` and `a`, bid and ask,
    `x`, the last trade, `p`, the probability, and `v`, the volume. A market's period in which
    nothing traded and no quote changed has no row, unless it is the last.
    """
    if isinstance(chart, EventChart):
        return [
            _row(m=number, t=milliseconds(moment), p=value)
            for number, line in enumerate(chart.lines)
            for moment, value in line.points
        ]
    return list(_market_rows(chart))


def _market_rows(chart: MarketChart) -> Iterator[Row]:
    length = timedelta(minutes=chart.span.interval)
    before: tuple[float | None, ...] | None = None
    for period in chart.periods:
        quotes = (period.bid, period.ask, period.last, period.probability)
        if quotes != before or period.volume or period is chart.periods[-1]:
            yield _market_row(period, length)
        before = quotes


def _market_row(period: Period, length: timedelta) -> Row:
    return _row(
        t=milliseconds(period.end),
        s=milliseconds(period.end - length),
        o=period.open,
        h=period.high,
        l=period.low,
        c=period.close,
        b=period.bid,
        a=period.ask,
        x=period.last,
        p=period.probability,
        v=period.volume or None,
    )


def _row(**values: float | int | None) -> Row:
    return {key: value for key, value in values.items() if value is not None}


def chart_spec(chart: Chart, theme: Theme) -> Spec:
    """The specification, without its rows, of a chart as large as the element that it is drawn
    in."""
    return {
        "$schema": f"https://vega.github.io/schema/vega-lite/v{VEGA_LITE.partition('.')[0]}.json",
        "width": "container",
        "height": "container",
        "autosize": {"type": "fit", "contains": "padding"},
        "background": "transparent",
        "config": _config(theme),
        "data": {"name": "rows"},
        "params": [
            {"name": "shown", "value": None},
            {"name": "prices", "value": None},
            {"name": "hidden", "value": []},
        ],
        **(_event_layers(chart, theme) if isinstance(chart, EventChart) else _market_layers(theme)),
    }


def picture_spec(chart: Chart, theme: Theme) -> Spec:
    """The specification of a picture, which has its rows, size, title and key in it."""
    width, height = PICTURE_SIZE
    spec = chart_spec(chart, theme)
    spec |= {
        "width": width,
        "height": height,
        "autosize": {"type": "pad"},
        "background": theme.paper,
        "padding": 20,
        "data": {"name": "rows", "values": chart_rows(chart)},
        "title": {
            "text": shortened(chart.title, 90),
            "subtitle": [
                *([shortened(chart.subtitle, 120)] if chart.subtitle else []),
                describe(chart),
                key_of(chart),
            ],
        },
    }
    if isinstance(chart, EventChart):
        _add_legend(spec, chart)
    return spec


def _config(theme: Theme) -> Spec:
    return {
        "font": FONT,
        # off: it describes each mark to screen readers, for which there is the table
        "aria": False,
        "view": {"stroke": None},
        "axis": {
            "gridColor": theme.grid,
            "domainColor": theme.soft,
            "tickColor": theme.soft,
            "labelColor": theme.soft,
            "labelFontSize": 12,
            "labelPadding": 5,
            "title": None,
        },
        "axisY": {"domain": False, "ticks": False},
        "legend": {"labelColor": theme.ink, "labelFontSize": 12, "labelLimit": 280, "title": None},
        "title": {
            "anchor": "start",
            "color": theme.ink,
            "fontSize": 18,
            "offset": 16,
            "subtitleColor": theme.soft,
            "subtitleFontSize": 12,
            "subtitlePadding": 6,
            "subtitleLineHeight": 17,
        },
    }


def _x() -> Spec:
    return {
        "field": "t",
        "type": "temporal",
        "scale": {"type": "utc", "domainRaw": {"expr": "shown"}, "padding": 0},
        "axis": {
            "grid": False,
            "labelExpr": TICK_LABEL,
            "labelFlush": True,
            "labelOverlap": True,
            "tickCount": {"expr": "max(2, floor(width / 90))"},
        },
    }


def _price(field: str, scale: Spec, **axis: Any) -> Spec:
    return {
        "field": field,
        "type": "quantitative",
        "scale": {"domainRaw": {"expr": "prices"}, **scale},
        "axis": {"format": "~%", "tickCount": {"expr": "max(2, floor(height / 60))"}, **axis},
    }


def _event_layers(chart: EventChart, theme: Theme) -> Spec:
    numbers = list(range(len(chart.lines)))
    styles = [style_of(number) for number in numbers]
    hues = [theme.hues[hue] for hue, _ in styles]
    dashes = [DASHES[dash] for _, dash in styles]
    return {
        "transform": [{"filter": "indexof(hidden, datum.m) < 0"}],
        "mark": {
            "type": "line",
            "interpolate": "step-after",
            "strokeWidth": 2,
            "clip": True,
            "invalid": "break-paths-show-domains",
        },
        "encoding": {
            "x": _x(),
            "y": _price("p", {"zero": True}),
            "color": _by_line(numbers, hues),
            "strokeDash": _by_line(numbers, dashes),
        },
    }


def _by_line(numbers: list[int], values: list[Any]) -> Spec:
    return {
        "field": "m",
        "type": "nominal",
        "scale": {"domain": numbers, "range": values},
        "legend": None,
    }


def _add_legend(spec: Spec, chart: EventChart) -> None:
    """Add a legend to a picture. A page has its legend in HTML."""
    names = [f"{shortened(line.name, 40)}, {percent(line.latest)}" for line in chart.lines]
    spec["params"].append({"name": "names", "value": names})
    legend = {
        "labelExpr": "names[datum.value]",
        "symbolType": "stroke",
        "symbolSize": 400,
        "symbolStrokeWidth": 2.5,
        "rowPadding": 6,
        "offset": 24,
    }
    for channel in ("color", "strokeDash"):
        spec["encoding"][channel]["legend"] = legend


def _market_layers(theme: Theme) -> Spec:
    prices: Spec = {"zero": False, "range": [{"expr": f"height * {PRICE_SHARE}"}, 0]}
    traded = {"filter": "isValid(datum.h)"}
    return {
        "encoding": {"x": _x()},
        "layer": [
            {
                "layer": [
                    {
                        "transform": [
                            {"calculate": "isValid(datum.b) ? datum.a : null", "as": "u"}
                        ],
                        "mark": {
                            "type": "area",
                            "interpolate": "step-after",
                            "color": theme.band,
                            "opacity": 0.75,
                            "clip": True,
                            "invalid": "break-paths-show-domains",
                        },
                        "encoding": {"y": _price("u", prices), "y2": {"field": "b"}},
                    },
                    {
                        "mark": {
                            "type": "line",
                            "interpolate": "step-after",
                            "color": theme.ink,
                            "strokeWidth": 1.25,
                            "clip": True,
                            "invalid": "break-paths-show-domains",
                        },
                        "encoding": {"y": _price("p", prices)},
                    },
                    {
                        "transform": [traded, *_middle()],
                        "mark": {"type": "rule", "clip": True},
                        "encoding": {
                            "x": {**_x(), "field": "i"},
                            "y": _price("l", prices),
                            "y2": {"field": "h"},
                            "color": _direction(theme),
                        },
                    },
                    {
                        "transform": [traded, *_body()],
                        "mark": {"type": "bar", "clip": True, "strokeWidth": 1},
                        "encoding": {
                            "x": {**_x(), "field": "from"},
                            "x2": {"field": "to"},
                            "y": {**_price("o", prices), "stack": None},
                            "y2": {"field": "c"},
                            "color": _direction(theme),
                            # when open and close are the same, only its edge can be seen, as a line
                            "stroke": _direction(theme),
                        },
                    },
                ],
            },
            {
                "transform": [{"filter": "isValid(datum.v)"}, *_body()],
                "mark": {
                    "type": "bar",
                    "clip": True,
                    "color": theme.volume,
                    # with an edge: a bar narrower than a pixel would be drawn pale
                    "stroke": theme.volume,
                    "strokeWidth": 0.75,
                },
                "encoding": {
                    "x": {**_x(), "field": "from"},
                    "x2": {"field": "to"},
                    "y": {
                        "field": "v",
                        "type": "quantitative",
                        "stack": None,
                        "scale": {
                            "range": [
                                {"expr": "height"},
                                {"expr": f"height * {PRICE_SHARE + 0.06}"},
                            ]
                        },
                        "axis": {
                            "labelExpr": "format(datum.value, '~s')",
                            "tickCount": 2,
                            "orient": "left",
                        },
                    },
                    "y2": {"datum": 0},
                },
            },
        ],
        "resolve": {"scale": {"y": "independent"}},
    }


def _middle() -> list[Spec]:
    return [{"calculate": "(datum.s + time(datum.t)) / 2", "as": "i"}]


def _body() -> list[Spec]:
    """Where a candle's body begins and ends: it takes the middle seven tenths of its period."""
    length = "(time(datum.t) - datum.s)"
    return [
        {"calculate": f"datum.s + {length} * 0.15", "as": "from"},
        {"calculate": f"datum.s + {length} * 0.85", "as": "to"},
    ]


def _direction(theme: Theme) -> Spec:
    return {
        "condition": {"test": "datum.c < datum.o", "value": theme.falling},
        "value": theme.rising,
    }


def describe(chart: Chart) -> str:
    """In one line, what the chart shows: the ticker, the length of periods, from when to when."""
    span = chart.span
    length = {60: "1-hour", DAY: "1-day"}.get(span.interval, f"{span.interval}-minute")
    what = "implied probability" if isinstance(chart, EventChart) else "price of yes"
    return (
        f"{shortened(chart.ticker, 60)}: {what}, {length} periods, {_range(span)}{_left_out(chart)}"
    )


def _range(span: Span) -> str:
    if span.interval == DAY:
        # Kalshi's days end at midnight in New York: the first one that ends after `since`, and the
        # last one that ends no later than `until`
        first, last = (moment.astimezone(NEW_YORK) for moment in (span.since, span.until))
        return f"{first:%-d %b %Y} to {last - timedelta(days=1):%-d %b %Y}"
    return f"{_moment_text(span.since)} to {_moment_text(span.until)} UTC"


def _left_out(chart: Chart) -> str:
    if isinstance(chart, MarketChart) or not chart.left_out:
        return ""
    return f"; the likeliest {len(chart.lines)} of {len(chart.lines) + chart.left_out:,} markets"


def key_of(chart: Chart) -> str:
    """What the marks of the chart mean, in one line."""
    if isinstance(chart, EventChart):
        return "Mid of bid and ask where both quote, else the last trade"
    return (
        "Candles: trades, blue where they rose, orange where they fell. Band: bid to ask. "
        "Line: implied probability. Below: contracts traded"
    )


def _moment_text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%-d %b %Y %H:%M}"


def milliseconds(moment: datetime) -> int:
    """A moment in Unix milliseconds, as JavaScript has it."""
    return round(moment.timestamp() * 1000)


def percent(value: float | None) -> str:
    """A price or probability in percent, rounded to a tenth; None is a dash."""
    if value is None:
        return "\N{EN DASH}"
    return f"{round(value * 100, 1):g}%"


def shortened(text: str, most: int) -> str:
    """The text on one line, cut to at most `most` characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
