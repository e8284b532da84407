"""Charts as text: they fit the terminal, and what others wrote can't act on it."""

import re
import unicodedata
from datetime import timedelta

import pytest

from kalshi_elt.publish.chart.data import Chart
from kalshi_elt.publish.chart.terminal import (
    LETTERS,
    bins_of,
    price_ticks,
    render_terminal,
    values_at,
)
from tests.support.charts import HOSTILE, START, event_chart, line, market_chart, period, traded

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
CHARTS = [pytest.param(market_chart(), id="market"), pytest.param(event_chart(), id="event")]


@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 50), (40, 20)])
def test_it_fits_and_is_plain_text_without_colour(chart: Chart, width: int, height: int) -> None:
    lines = render_terminal(chart, width, height, colour=False).splitlines()

    assert max(map(len, lines)) <= width
    assert len(lines) <= max(height, 25)
    assert not any("\x1b" in one for one in lines)
    assert lines[0] == chart.title
    assert chart.ticker in lines[2]


@pytest.mark.parametrize("chart", CHARTS)
def test_with_colour_it_has_the_same_size(chart: Chart) -> None:
    coloured = render_terminal(chart, 80, 30, colour=True)
    plain = render_terminal(chart, 80, 30, colour=False)

    assert ESCAPE.search(coloured)
    assert len(coloured.splitlines()) == len(plain.splitlines())
    assert max(map(len, ESCAPE.sub("", coloured).splitlines())) == 80


def test_letters_tell_lines_apart_where_there_are_no_colours() -> None:
    text = render_terminal(
        event_chart([line(n, [0.9 - n / 10] * 2) for n in range(4)]), 80, 30, colour=False
    )

    for number, percent in enumerate(("90%", "80%", "70%", "60%")):
        letter = LETTERS[number]
        assert f"{letter * 2}   {percent}  Candidate {number}" in text.splitlines()
        assert letter * 60 in text


def test_candles_dots_and_volume_stand_at_their_prices() -> None:
    periods = [*(period(minute) for minute in range(1, 30)), traded(30, 0.30, 0.40, volume=1500)]

    lines = render_terminal(market_chart(periods), 80, 30, colour=False).splitlines()

    top = next(one for one in lines if one.startswith("   40%"))
    assert top.rstrip("│").endswith("█")
    assert sum(one.count("·") for one in lines) == 29
    assert any(one.startswith("  1.5k") and "█" in one for one in lines)
    assert "probability 32%, bid 30%, ask 34%, last trade 40%; below: contracts" in lines


def test_a_line_has_a_gap_where_its_value_is_unknown() -> None:
    chart = event_chart([line(0, [0.5] * 4 + [None] * 4 + [0.5] * 4)])

    text = render_terminal(chart, 80, 24, colour=False)

    (drawn,) = [one for one in text.splitlines() if "aaaa" in one]
    assert re.search(r"│a{20,30} {20,30}a{15,30}│", drawn), drawn


def test_hostile_names_stay_on_their_line_and_can_do_nothing() -> None:
    name = f"\x1b]0;owned\x07\x1b[2J{HOSTILE}\nsecond"
    chart = event_chart([line(0, [0.5], name)], title=name)

    text = render_terminal(chart, 80, 24, colour=False)

    controls = {one for one in text if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp")}
    assert controls <= {"\n"}
    assert text.count("owned") == 2
    assert text == render_terminal(chart, 80, 24, colour=False)


@pytest.mark.parametrize(
    "chart",
    [
        pytest.param(market_chart([period(1)]), id="one period"),
        pytest.param(market_chart([traded(1, 0.5, 0.5)]), id="one trade"),
        pytest.param(market_chart([period(1, probability=None), traded(2, 0, 1)]), id="0 to 1"),
        pytest.param(
            market_chart([period(n, bid=None, ask=None, probability=None) for n in range(5)]),
            id="no prices",
        ),
        pytest.param(event_chart([line(0, [0.5])]), id="one point"),
        pytest.param(event_chart([line(n, [0.05, 1.0]) for n in range(15)]), id="15 lines"),
    ],
)
@pytest.mark.parametrize("colour", [False, True])
def test_odd_charts_are_drawn(chart: Chart, colour: bool) -> None:
    text = ESCAPE.sub("", render_terminal(chart, 80, 24, colour=colour))

    assert max(map(len, text.splitlines())) <= 80
    assert "┤" in text


def test_bins_keep_first_last_extremes_and_sums() -> None:
    periods = [
        traded(1, 0.30, 0.35, volume=1),
        period(2),
        traded(3, 0.20, 0.40, volume=2),
        period(4, probability=None),
        period(5),
    ]

    first, second = bins_of(periods, most=2)

    assert (first.open, first.close) == (0.30, 0.40)
    assert (first.high, first.low) == pytest.approx((0.41, 0.19))
    assert (first.volume, first.end) == (3, periods[2].end)
    assert (second.open, second.high, second.probability) == (None, None, 0.32)
    assert len(bins_of(periods, most=50)) == 5


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 0.28, [0, 0.1, 0.2, 0.3]),
        (0.13, 0.2, [0.12, 0.14, 0.16, 0.18, 0.2]),
        (0.5, 0.5, [0.5, 0.501]),
        (1.0, 1.0, [0.999, 1.0]),
        (0.0, 1.0, [0, 0.25, 0.5, 0.75, 1]),
    ],
)
def test_a_price_axis_has_round_prices_around_all(
    low: float, high: float, ticks: list[float]
) -> None:
    assert price_ticks(low, high) == (ticks[0], ticks[-1], ticks)


def test_a_line_holds_its_value_until_the_next() -> None:
    moments = [START + timedelta(minutes=minute) for minute in (-1, 0, 9, 10, 25, 99)]

    assert values_at(line(0, [0.1, None, 0.3]), moments) == [None, 0.1, 0.1, None, 0.3, 0.3]
