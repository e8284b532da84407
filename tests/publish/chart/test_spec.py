"""Specifications: the rows they draw, colours that can be told apart, texts; and their pictures."""

import itertools
import json
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kalshi_elt.publish.chart.data import DAY, MOST_LINES, Chart, Span
from kalshi_elt.publish.chart.picture import picture
from kalshi_elt.publish.chart.spec import (
    DARK,
    DASHES,
    LIGHT,
    VEGA_LITE,
    Theme,
    chart_rows,
    chart_spec,
    describe,
    milliseconds,
    percent,
    picture_spec,
    shortened,
    style_of,
)
from tests.support.charts import HOSTILE, START, event_chart, line, market_chart, period, traded

MINUTE = 60_000
ZERO = milliseconds(START)
CHARTS = [pytest.param(market_chart(), id="market"), pytest.param(event_chart(), id="event")]
THEMES = [pytest.param(LIGHT, id="light"), pytest.param(DARK, id="dark")]


def compiled(spec: dict[str, Any]) -> dict[str, Any]:
    """The specification as Vega-Lite compiles it to Vega."""
    import vl_convert

    vega: dict[str, Any] = vl_convert.vegalite_to_vega(spec, vl_version=VEGA_LITE)
    return vega


def test_a_market_has_a_row_where_it_trades_or_its_quotes_change_and_the_last_one() -> None:
    chart = market_chart(
        [
            period(1),
            period(2),
            traded(3, 0.31, 0.33, volume=2.5),
            period(4, bid=0.31),
            period(5, bid=0.31),
            period(6, bid=None, ask=None, probability=None),
            period(7, bid=None, ask=None, probability=None),
        ]
    )

    rows = chart_rows(chart)

    assert [(row["t"] - ZERO) / MINUTE for row in rows] == [1, 3, 4, 6, 7]
    assert rows[1] == {
        **{"t": ZERO + 3 * MINUTE, "s": ZERO + 2 * MINUTE},
        **{"o": 0.31, "h": 0.34, "l": 0.30, "c": 0.33},
        **{"b": 0.30, "a": 0.34, "x": 0.33, "p": 0.32, "v": 2.5},
    }
    # what is unknown is not drawn as 0
    assert rows[3] == {"t": ZERO + 6 * MINUTE, "s": ZERO + 5 * MINUTE, "x": 0.33}


def test_quotes_that_come_back_after_a_trade_have_a_row() -> None:
    chart = market_chart([traded(1, 0.31, 0.33), period(2), period(3), period(4)])

    # the last trade is another one after the first
    assert [(row["t"] - ZERO) / MINUTE for row in chart_rows(chart)] == [1, 4]


def test_an_event_has_a_row_for_each_point_of_its_lines() -> None:
    rows = chart_rows(event_chart([line(0, [0.4, None, 0.5]), line(1, [0.2])]))

    assert rows == [
        {"m": 0, "t": ZERO, "p": 0.4},
        {"m": 0, "t": ZERO + 10 * MINUTE},
        {"m": 0, "t": ZERO + 20 * MINUTE, "p": 0.5},
        {"m": 1, "t": ZERO, "p": 0.2},
    ]


@pytest.mark.parametrize("theme", THEMES)
def test_all_lines_of_an_event_differ(theme: Theme) -> None:
    styles = [style_of(number) for number in range(MOST_LINES)]
    drawn = {(theme.hues[hue], DASHES[dash]) for hue, dash in styles}

    assert len(drawn) == MOST_LINES


@pytest.mark.parametrize("theme", THEMES)
def test_what_is_drawn_has_enough_contrast_to_the_paper(theme: Theme) -> None:
    marks = (*theme.hues, theme.rising, theme.falling, theme.volume)

    assert min(contrast(colour, theme.paper) for colour in marks) >= 3
    assert min(contrast(colour, theme.paper) for colour in (theme.ink, theme.soft)) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_hues_differ_to_the_red_blind_and_the_green_blind(theme: Theme) -> None:
    for first, second in itertools.combinations(theme.hues, 2):
        for blindness in BLINDNESS:
            assert distance(first, second, blindness) > 0.16, (first, second)
    for blindness in BLINDNESS:
        assert distance(theme.rising, theme.falling, blindness) > 0.3


@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize("theme", THEMES)
def test_a_specification_is_plain_json_without_rows(chart: Chart, theme: Theme) -> None:
    spec = chart_spec(chart, theme)

    assert json.loads(json.dumps(spec, allow_nan=False))
    assert spec["data"] == {"name": "rows"}
    assert len(json.dumps(spec)) < 20_000


@pytest.mark.parametrize("chart", CHARTS)
def test_a_page_can_move_the_axes_of_time_and_prices(chart: Chart) -> None:
    vega = compiled(chart_spec(chart, LIGHT))

    raw = {scale["name"]: scale.get("domainRaw") for scale in vega["scales"]}
    assert raw["x"] == {"signal": "shown"}
    assert {"signal": "prices"} in raw.values()
    assert next(one for one in vega["scales"] if one["name"] == "x")["type"] == "utc"
    assert {"shown", "prices", "hidden"} <= {signal["name"] for signal in vega["signals"]}


def test_a_market_has_a_band_a_line_candles_and_volume() -> None:
    vega = compiled(picture_spec(market_chart(), LIGHT))

    # candles lie on the line, as they say more; bodies on wicks; volume is last
    assert [mark["type"] for mark in vega["marks"]] == ["area", "line", "rule", "rect", "rect"]


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (Span(START, START + timedelta(hours=2), 5), "5-minute periods, 10 Nov 2026 00:00 to "),
        (Span(START, START + timedelta(hours=2), 60), "1-hour periods, 10 Nov 2026 00:00 to "),
        # a day's period ends at midnight in New York: 04:00 or 05:00 UTC
        (
            Span(datetime(2026, 10, 26, 4, tzinfo=UTC), datetime(2026, 11, 25, 5, tzinfo=UTC), DAY),
            "1-day periods, 26 Oct 2026 to 24 Nov 2026",
        ),
        (
            Span(datetime(2026, 10, 26, 3, tzinfo=UTC), datetime(2026, 11, 25, 4, tzinfo=UTC), DAY),
            "1-day periods, 25 Oct 2026 to 23 Nov 2026",
        ),
    ],
)
def test_a_chart_says_which_periods_it_shows(span: Span, text: str) -> None:
    chart = market_chart()
    chart = type(chart)(chart.ticker, chart.title, chart.subtitle, span, chart.periods)

    assert text in describe(chart)
    assert describe(chart).startswith("KXWIN-28-ADA: price of yes, ")


def test_an_event_says_how_many_markets_are_left_out() -> None:
    assert describe(event_chart()).endswith("; the likeliest 7 of 9 markets")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "50%"),
        (0.065, "6.5%"),
        (0.0014, "0.1%"),
        (1.0, "100%"),
        (0.0, "0%"),
        (None, "\N{EN DASH}"),
    ],
)
def test_per_cent(value: float | None, text: str) -> None:
    assert percent(value) == text


def test_long_texts_are_cut_and_lines_joined() -> None:
    assert shortened("one\n two\tthree", 20) == "one two three"
    assert shortened("abcdefgh", 5) == "abcd…"
    assert len(shortened(HOSTILE * 9, 90)) <= 90


@pytest.mark.parametrize("chart", CHARTS)
def test_a_picture_is_a_png_in_two_themes(chart: Chart) -> None:
    light, dark = picture(chart, scale=1), picture(chart, dark=True, scale=1)

    width, height = png_size(light)
    assert 900 < width < 1500 and 400 < height < 700
    assert png_size(dark) == (width, height)
    assert dark != light
    assert png_size(picture(chart, scale=2)) == (2 * width, 2 * height)


@pytest.mark.parametrize(
    "chart",
    [
        pytest.param(market_chart([period(1)]), id="one period without a trade"),
        pytest.param(market_chart([traded(1, 0.3, 0.3)]), id="one period with a trade"),
        pytest.param(event_chart([line(0, [0.5])]), id="one point"),
        pytest.param(event_chart([line(n, [0.05, 0.06]) for n in range(15)]), id="15 lines"),
        pytest.param(market_chart(title=HOSTILE, subtitle=HOSTILE), id="a hostile market"),
        pytest.param(event_chart([line(0, [0.5], HOSTILE)], title=HOSTILE), id="a hostile event"),
    ],
)
def test_a_picture_of_an_odd_chart(chart: Chart) -> None:
    assert png_size(picture(chart, scale=1))[0] > 900


def png_size(content: bytes) -> tuple[int, int]:
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def channels(colour: str) -> list[float]:
    """Linear red, green and blue, 0 to 1."""
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]


def contrast(first: str, second: str) -> float:
    """As WCAG 2 defines it, 1 to 21."""
    bright, dim = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), channels(colour), strict=True))


# Machado, Oliveira and Fernandes (2009), severity 1: protanopia, deuteranopia
BLINDNESS = (
    (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
)


def distance(first: str, second: str, blindness: tuple[tuple[float, ...], ...]) -> float:
    """Between two colours as a colour-blind person sees them, in gamma-corrected RGB."""
    seen = [
        [
            max(0.0, sum(w * v for w, v in zip(row, channels(colour), strict=True))) ** (1 / 2.2)
            for row in blindness
        ]
        for colour in (first, second)
    ]
    return float(sum((a - b) ** 2 for a, b in zip(*seen, strict=True)) ** 0.5)
