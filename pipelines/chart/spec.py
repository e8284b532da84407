"""Charts as Vega-Lite specifications. Pure: a chart in, a dict out.

What can move is a parameter, so that a page changes it without drawing anew: `first` and `last`
are the ends of the time axis (Unix milliseconds), `hidden` names lines that are not shown.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pipelines.chart.data import Chart, EventChart, MarketChart, Period
from pipelines.sanitize import visible

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
"""A name, which nothing asks for."""

WIDTH, HEIGHT, VOLUME_HEIGHT = 720, 300, 70

DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (7, 3), (2, 3))
"""Five hues and three kinds of line make fifteen that can be told apart, also without colour."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Palette:
    """Colours of one theme. Hues are Okabe and Ito's, which colour-blind people tell apart."""

    text: str
    grid: str
    page: str
    hues: tuple[str, ...]
    up: str
    down: str
    band: str


LIGHT = Palette(
    *("#333333", "#e4e4e4", "#ffffff"),
    ("#0072b2", "#d55e00", "#00795c", "#b0578d", "#8a6d00"),
    *("#0072b2", "#d55e00", "#9aa7b2"),
)
DARK = Palette(
    *("#d6d6d6", "#3a3a3a", "#16181b"),
    ("#56b4e9", "#ff9248", "#2fc79a", "#e39cc6", "#e6cf4a"),
    *("#56b4e9", "#ff9248", "#66727d"),
)


def line_style(number: int, palette: Palette) -> tuple[str, tuple[int, ...]]:
    """Colour and dashes of an event's line."""
    hues = len(palette.hues)
    return palette.hues[number % hues], DASHES[number // hues % len(DASHES)]


def rows_of(chart: Chart) -> list[Json]:
    """The data that a specification names `rows`; times are Unix milliseconds."""
    if isinstance(chart, MarketChart):
        return [_market_row(period) for period in chart.periods]
    return [
        {"line": str(number), "name": visible(line.name), "t": _ms(end), "p": float(value)}
        for number, line in enumerate(chart.lines)
        for end, value in line.steps
    ]


def ends_of(chart: Chart) -> tuple[int, int]:
    """First and last moment, in Unix milliseconds."""
    if isinstance(chart, MarketChart):
        return _ms(chart.periods[0].start), _ms(chart.periods[-1].end)
    moments = [end for line in chart.lines for end, _ in (line.steps[0], line.steps[-1])]
    first, last = _ms(min(moments)), _ms(max(moments))
    return first - (60_000 if first == last else 0), last


def specification(chart: Chart, palette: Palette, *, is_picture: bool = False) -> Json:
    """The chart without its data. A picture has title and legend, which on a page are HTML."""
    first, last = ends_of(chart)
    spec: Json = {
        "$schema": SCHEMA,
        "background": palette.page if is_picture else "transparent",
        "data": {"name": "rows"},
        "params": [
            {"name": "first", "value": first},
            {"name": "last", "value": last},
            {"name": "hidden", "value": []},
        ],
        "config": _config(palette),
    }
    if is_picture:
        spec["title"] = {"text": title_of(chart), "subtitle": summary_of(chart)}
        spec["padding"] = 16
    if isinstance(chart, MarketChart):
        return spec | _market(palette)
    return spec | _event(chart, palette, is_picture)


def title_of(chart: Chart) -> str:
    """What the chart is of, as a harmless line."""
    name = f" \N{MIDDLE DOT} {chart.name}" if isinstance(chart, MarketChart) and chart.name else ""
    return visible(chart.title + name)


def summary_of(chart: Chart) -> str:
    """The chart in a sentence, for who can't see it."""
    if isinstance(chart, MarketChart):
        known = [p.probability for p in chart.periods if p.probability is not None]
        first, last = chart.periods[0].start, chart.periods[-1].end
        told = (
            f"from {percent(known[0])} to {percent(known[-1])}, "
            f"between {percent(min(known))} and {percent(max(known))}"
            if known
            else "no prices"
        )
    else:
        leader = chart.lines[0]
        first = min(line.steps[0][0] for line in chart.lines)
        last = max(line.steps[-1][0] for line in chart.lines)
        more = f", {chart.hidden} more not shown" if chart.hidden else ""
        told = f"{visible(leader.name)} leads with {percent(leader.latest)}{more}"
    return f"{told} ({first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC)"


def percent(value: Decimal) -> str:
    """A probability as percent, exact."""
    text = f"{value * 100:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + " %"


def _market_row(period: Period) -> Json:
    return {
        "s": _ms(period.start),
        "t": _ms(period.end),
        "o": _number(period.trade_open),
        "h": _number(period.trade_high),
        "l": _number(period.trade_low),
        "c": _number(period.trade_close),
        "b": _number(period.yes_bid),
        "a": _number(period.yes_ask),
        "v": float(period.volume),
        "p": _number(period.probability),
    }


def _market(palette: Palette) -> Json:
    candle = {
        "condition": {"test": "datum.c >= datum.o", "value": palette.up},
        "value": palette.down,
    }
    traded = [{"filter": "isValid(datum.o)"}]
    body = [
        *traded,
        {"calculate": "datum.s + 0.15 * (datum.t - datum.s)", "as": "left"},
        {"calculate": "datum.t - 0.15 * (datum.t - datum.s)", "as": "right"},
        {"calculate": "(datum.s + datum.t) / 2", "as": "middle"},
    ]
    tooltip = [
        _told("t", "until (UTC)"),
        *(_told(field, name, ".1%") for field, name in (("p", "probability"),)),
        *(_told(field, name, "$.4~f") for field, name in (("b", "bid"), ("a", "ask"))),
        *(
            _told(field, name, "$.4~f")
            for field, name in (("o", "open"), ("h", "high"), ("l", "low"), ("c", "close"))
        ),
        _told("v", "volume", ",.2~f"),
    ]
    price = {"type": "quantitative", "title": "probability", "axis": {"format": ".0%"}}
    scale = {"scale": {"zero": False}}
    prices: Json = {
        "width": WIDTH,
        "height": HEIGHT,
        "layer": [
            {
                "mark": {"type": "area", "interpolate": "step-after", "clip": True},
                "encoding": {
                    "x": _time("t"),
                    "y": {"field": "b", **price, **scale},
                    "y2": {"field": "a"},
                    "color": {"value": palette.band},
                    "opacity": {"value": 0.35},
                },
            },
            {
                "mark": {"type": "line", "interpolate": "step-after", "clip": True},
                "encoding": {
                    "x": _time("t"),
                    "y": {"field": "p", **price},
                    "color": {"value": palette.text},
                    "strokeWidth": {"value": 1},
                },
            },
            {
                "transform": body,
                "mark": {"type": "rule", "clip": True},
                "encoding": {
                    "x": _time("middle"),
                    "y": {"field": "l", **price},
                    "y2": {"field": "h"},
                    "color": candle,
                },
            },
            {
                "transform": body,
                "mark": {"type": "rect", "clip": True, "minBandSize": 2},
                "encoding": {
                    "x": _time("left"),
                    "x2": {"field": "right"},
                    "y": {"field": "o", **price},
                    "y2": {"field": "c"},
                    "color": candle,
                    "stroke": candle,
                },
            },
            {
                # over all of the height, so that pointing anywhere tells the period
                "mark": {"type": "rect", "clip": True, "opacity": 0},
                "encoding": {"x": _time("s"), "x2": {"field": "t"}, "tooltip": tooltip},
            },
        ],
    }
    volume: Json = {
        "width": WIDTH,
        "height": VOLUME_HEIGHT,
        "mark": {"type": "rect", "clip": True},
        "encoding": {
            "x": _time("s"),
            "x2": {"field": "t"},
            "y": {
                "field": "v",
                "type": "quantitative",
                "title": "contracts",
                "axis": {"tickCount": 3, "format": "~s"},
            },
            "y2": {"datum": 0},
            "color": {"value": palette.up},
            "tooltip": tooltip,
        },
    }
    return {"vconcat": [prices, volume], "spacing": 12, "resolve": {"scale": {"x": "shared"}}}


def _event(chart: EventChart, palette: Palette, is_picture: bool) -> Json:
    styles = [line_style(number, palette) for number in range(len(chart.lines))]
    domain = [str(number) for number in range(len(chart.lines))]
    names = [f"{visible(line.name)} {percent(line.latest)}" for line in chart.lines]
    # lines are told by number, as two markets may have one name; JSON's escapes are Vega's, too
    legend = {
        "title": None,
        "labelExpr": f"{json.dumps(names)}[toNumber(datum.value)]",
        "symbolType": "stroke",
        "symbolSize": 300,
    }
    x = _time("t")
    y = {
        "field": "p",
        "type": "quantitative",
        "title": "probability",
        "axis": {"format": ".0%"},
    }
    colour = {
        "field": "line",
        "type": "nominal",
        "scale": {"domain": domain, "range": [hue for hue, _ in styles]},
        "legend": legend if is_picture else None,
    }
    dash = {
        "field": "line",
        "type": "nominal",
        "scale": {"domain": domain, "range": [list(dash) for _, dash in styles]},
        "legend": legend if is_picture else None,
    }
    tooltip = [
        {"field": "name", "type": "nominal", "title": "market"},
        _told("t", "until (UTC)"),
        _told("p", "probability", ".2~%"),
    ]
    return {
        "width": WIDTH,
        "height": HEIGHT + VOLUME_HEIGHT,
        "transform": [{"filter": "indexof(hidden, datum.line) < 0"}],
        "layer": [
            {
                "mark": {
                    "type": "line",
                    "interpolate": "step-after",
                    "strokeWidth": 1.5,
                    "clip": True,
                },
                "encoding": {"x": x, "y": y, "color": colour, "strokeDash": dash},
            },
            {
                "mark": {"type": "point", "opacity": 0, "size": 80, "clip": True},
                "encoding": {"x": x, "y": y, "color": colour, "tooltip": tooltip},
            },
        ],
    }


def _time(field: str) -> Json:
    return {
        "field": field,
        "type": "temporal",
        "title": None,
        "scale": {
            "type": "utc",
            "nice": False,
            "domainMin": {"expr": "first"},
            "domainMax": {"expr": "last"},
        },
        "axis": {"grid": False, "labelOverlap": True, "tickCount": {"expr": "width / 90"}},
    }


def _told(field: str, title: str, number_format: str | None = None) -> Json:
    if number_format is None:
        return {
            "field": field,
            "type": "temporal",
            "title": title,
            "timeUnit": "utcyearmonthdatehoursminutes",
            "format": "%Y-%m-%d %H:%M",
        }
    return {"field": field, "type": "quantitative", "title": title, "format": number_format}


def _config(palette: Palette) -> Json:
    font = "system-ui, sans-serif"
    return {
        "font": font,
        "view": {"stroke": palette.grid},
        "axis": {
            "labelColor": palette.text,
            "titleColor": palette.text,
            "gridColor": palette.grid,
            "domainColor": palette.grid,
            "tickColor": palette.grid,
            "titleFontWeight": "normal",
        },
        "legend": {"labelColor": palette.text, "labelLimit": 260, "columns": 1},
        "title": {
            "color": palette.text,
            "subtitleColor": palette.text,
            "anchor": "start",
            "limit": WIDTH,
            "offset": 12,
        },
    }


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
