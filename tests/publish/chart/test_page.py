"""Pages: nothing leaves them, nothing that others wrote acts on them, and they work by keyboard.

Those in a browser are driven through Chromium; `figure.chart` is what chart.js knows of a figure.
"""

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from kalshi_elt.publish.chart.data import Chart
from kalshi_elt.publish.chart.page import figure_html, javascript, page_html, stylesheet
from kalshi_elt.publish.chart.spec import DARK, LIGHT, chart_rows
from tests.support.browser import Tab, chromium, needs_chromium
from tests.support.charts import HOSTILE, event_chart, line, market_chart, period, traded

CHARTS = [pytest.param(market_chart(), id="market"), pytest.param(event_chart(), id="event")]
DRAWN = "document.querySelector('figure').dataset.drawn"
RANGE = "document.querySelector('figure').chart.range()"
HOUR = 3_600_000


class Page(HTMLParser):
    """Elements with their attributes, and the text within each kind."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style", "h1", "bdi", "title", "noscript"):
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open[-1]][-1] += data

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.elements)


def sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def content_of(html: str) -> dict[str, Any]:
    """What chart.js reads."""
    found = re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


@pytest.mark.parametrize("chart", CHARTS)
def test_a_page_allows_its_own_script_and_style_and_names_no_other_place(chart: Chart) -> None:
    html = page_html(chart)
    page = Page(html)

    meta = next(one for tag, one in page.elements if "http-equiv" in one and tag == "meta")
    policy = str(meta["content"]).split("; ")
    data, script = page.texts["script"]
    assert policy[0] == "default-src 'none'"
    assert f"script-src 'sha256-{sha256(script)}'" in policy
    assert f"style-src 'sha256-{sha256(page.texts['style'][0])}'" in policy
    assert not any("unsafe" in one or "http" in one for one in policy)
    links = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "action", "style") or name.startswith("on")
    ]
    assert links == []
    assert json.loads(data)["rows"] == chart_rows(chart)


def test_the_libraries_and_the_page_have_a_reasonable_size() -> None:
    assert 500_000 < len(javascript()) < 1_200_000
    assert len(page_html(market_chart())) < len(javascript()) + 60_000
    assert javascript() == javascript()


def test_hostile_text_stays_text() -> None:
    harmless = page_html(event_chart([line(0, [0.5])]))
    html = page_html(event_chart([line(0, [0.5], HOSTILE)], title=HOSTILE))
    page = Page(html)

    tags = [tag for tag, _ in page.elements]
    assert tags == [tag for tag, _ in Page(harmless).elements]
    assert page.texts["h1"] == [HOSTILE]
    assert HOSTILE in page.texts["bdi"]
    assert content_of(html)["names"] == [HOSTILE]


def test_a_hostile_market_stays_text() -> None:
    html = page_html(market_chart(title=HOSTILE, subtitle=HOSTILE, ticker=HOSTILE))

    tags = [tag for tag, _ in Page(html).elements]
    assert tags == [tag for tag, _ in Page(page_html(market_chart())).elements]
    assert Page(html).texts["h1"] == [HOSTILE]
    assert content_of(html)["names"] == [HOSTILE]


def test_figures_of_one_page_have_ids_and_headings_of_their_own() -> None:
    html = figure_html(event_chart(), heading_level=3, element_id="second")
    page = Page(html)

    ids = [str(one["id"]) for _, one in page.elements if "id" in one]
    assert len(set(ids)) == len(ids)
    assert all(one.startswith("second") for one in ids)
    assert (page.count("h3"), page.count("h2"), page.count("h1")) == (1, 0, 0)
    named = {
        part
        for _, one in page.elements
        for name in ("aria-labelledby", "aria-describedby")
        for part in str(one.get(name) or "").split()
    }
    assert named <= set(ids)


def test_values_stand_in_a_table_too() -> None:
    html = figure_html(event_chart([line(0, [0.2, 0.7, None, 0.31])]))
    cells = re.findall(r"<td><bdi>(.*?)</bdi></td>", html)
    assert cells == ["20%", "20%", "70%", "31%", "KXWIN-28-0"]

    html = figure_html(
        market_chart([traded(1, 0.3, 0.4), period(2, bid=None, ask=None, volume=1000)])
    )
    rows = {
        name: re.findall(r"<bdi>(.*?)</bdi>", rest)
        for name, rest in re.findall(r'<tr><th scope="row"><bdi>(.*?)</bdi></th>(.*?)</tr>', html)
    }
    assert rows["Bid"] == ["30%"] * 4
    assert rows["Last trade"] == ["40%", "33%", "40%", "33%"]
    assert rows["Contracts traded in all"][-1] == "1,010.00"


def test_a_table_without_any_value_has_dashes() -> None:
    nothing = {"bid": None, "ask": None, "last": None, "probability": None}

    assert "\N{EN DASH}" in figure_html(market_chart([period(1, **nothing)]))


def test_the_stylesheet_has_the_colours_of_both_themes() -> None:
    light, dark = stylesheet().split("@media (prefers-color-scheme: dark)")

    assert all(hue in light for hue in LIGHT.hues)
    assert all(hue in dark for hue in DARK.hues)


# In a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Tab]:
    with chromium() as tab:
        yield tab


@pytest.fixture
def tab(browser: Tab) -> Tab:
    """The browser as it begins: a wide window on a system in light colours."""
    browser.look()
    return browser


def show(tab: Tab, folder: Path, html: str) -> None:
    """Open the page from a file and wait until its chart is drawn."""
    path = folder / "chart.html"
    path.write_text(html, encoding="utf-8")
    tab.open(path)
    tab.wait_until(DRAWN)


def pixels(tab: Tab) -> Counter[str]:
    """How often each opaque colour is in the first chart, as #rrggbb."""
    counted = tab.run("""(() => {
        const { width, height } = document.querySelector("figure canvas");
        // a copy that is read without slowing down the chart's own
        const copy = Object.assign(document.createElement("canvas"), { width, height });
        const context = copy.getContext("2d", { willReadFrequently: true });
        context.drawImage(document.querySelector("figure canvas"), 0, 0);
        const { data } = context.getImageData(0, 0, width, height);
        const counted = {};
        for (let i = 0; i < data.length; i += 4) {
            if (data[i + 3] < 255) continue;
            const [r, g, b] = data.slice(i, i + 3);
            const colour = "#" + ((r << 16) | (g << 8) | b).toString(16).padStart(6, "0");
            counted[colour] = (counted[colour] ?? 0) + 1;
        }
        return counted;
    })()""")
    return Counter(counted)


def has_colour(tab: Tab, colour: str) -> bool:
    """Whether a pixel of the first chart has that very colour."""
    return colour in pixels(tab)


def settle(tab: Tab) -> None:
    """Wait until what was asked for last is drawn."""
    tab.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def press(tab: Tab, key: str) -> list[float]:
    """Press a key; returns the range of time that Vega's axis has then."""
    tab.press(key)
    settle(tab)
    domain: list[float] = tab.run(
        "document.querySelector('figure').chart.view.scale('x').domain().map(Number)"
    )
    assert domain == tab.run(RANGE)
    return domain


def mouse(tab: Tab, kind: str, x: float, y: float, **more: Any) -> None:
    tab.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)


def plot_box(tab: Tab) -> dict[str, float]:
    box: dict[str, float] = tab.run(
        "document.querySelector('[data-plot]').getBoundingClientRect().toJSON()"
    )
    return box


def note_at(tab: Tab, share: float) -> str:
    """What the note says when the mouse is at that share of the width of the axis of time."""
    x, y = tab.run(f"""(() => {{
        const {{ view, canvas }} = document.querySelector("figure").chart;
        const box = canvas.getBoundingClientRect();
        return [box.left + view.origin()[0] + view.width() * {share}, box.top + 50];
    }})()""")
    mouse(tab, "mouseMoved", x, y)
    text: str = tab.run(
        "[...document.querySelectorAll('[data-note] :is(b, bdi, span)')]"
        ".map((one) => one.textContent).join('\\n')"
    )
    return text


def swipe(tab: Tab, y: float, steps: list[tuple[float, ...]]) -> None:
    """Move a finger for each number of a step, from the first step to the last."""
    for kind, places in [
        ("touchStart", steps[0]),
        *(("touchMove", places) for places in steps[1:]),
        ("touchEnd", ()),
    ]:
        points = [{"x": x, "y": y, "id": finger} for finger, x in enumerate(places)]
        tab.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)
    settle(tab)


@needs_chromium
@pytest.mark.parametrize("chart", CHARTS)
def test_it_is_drawn_within_its_policy_and_asks_for_nothing(
    tab: Tab, tmp_path: Path, chart: Chart
) -> None:
    show(tab, tmp_path, page_html(chart))

    assert tab.messages == []
    assert tab.requests == [(tmp_path / "chart.html").as_uri()]
    drawn = pixels(tab)
    assert drawn.total() > 3_000
    assert min(drawn[hue] for hue in LIGHT.hues[:2]) > 100


@needs_chromium
def test_hostile_text_is_shown_and_does_nothing(tab: Tab, tmp_path: Path) -> None:
    show(tab, tmp_path, page_html(event_chart([line(0, [0.5, 0.6], HOSTILE)], title=HOSTILE)))
    box = plot_box(tab)
    mouse(tab, "mouseMoved", box["left"] + box["width"] / 2, box["top"] + 50)

    assert tab.run("document.querySelector('h1').textContent") == HOSTILE
    assert tab.run("document.querySelector('[data-note] bdi').textContent") == HOSTILE
    assert tab.run("document.images.length") == 0
    assert tab.messages == []


@needs_chromium
@pytest.mark.parametrize("chart", CHARTS)
def test_keys_move_through_time(tab: Tab, tmp_path: Path, chart: Chart) -> None:
    show(tab, tmp_path, page_html(chart))
    first, last = tab.run(RANGE)
    assert last - first == 2 * HOUR
    tab.run("document.querySelector('[data-plot]').focus()")

    assert press(tab, "ArrowRight") == [first, last]
    since, until = press(tab, "+")
    assert (until - since) * 1.5 == pytest.approx(last - first, abs=2)
    assert since - first == pytest.approx(last - until, abs=2)
    earlier = press(tab, "ArrowLeft")
    assert earlier[0] == pytest.approx(since - (until - since) / 5, abs=2)
    assert press(tab, "ArrowRight") == pytest.approx([since, until], abs=2)
    assert press(tab, "Home")[0] == first
    assert press(tab, "ArrowLeft")[0] == first
    assert press(tab, "End")[1] == last
    assert "10 Nov 2026" in tab.run("document.querySelector('[data-said]').textContent")
    wider = press(tab, "-")
    assert wider == [first, last]
    for _ in range(20):
        press(tab, "+")
    since, until = tab.run(RANGE)
    assert (
        3
        <= (until - since) / tab.run("document.querySelector('figure').chart.interval * 60000")
        <= 5
    )
    assert press(tab, "0") == [first, last]
    press(tab, "+")
    assert press(tab, "Escape") == [first, last]
    assert tab.messages == []


@needs_chromium
def test_prices_fit_what_is_shown(tab: Tab, tmp_path: Path) -> None:
    prices = "document.querySelector('figure').chart.view.signal('prices')"
    show(tab, tmp_path, page_html(event_chart([line(0, [0.1] * 6 + [0.8] * 6)])))
    tab.run("document.querySelector('[data-plot]').focus()")
    assert tab.run(prices) is None

    for _ in range(4):
        press(tab, "+")
    press(tab, "End")

    low, high = tab.run(prices)
    assert 0.75 < low < 0.8 < high < 0.85


@needs_chromium
def test_all_is_reached_by_the_tab_key(tab: Tab, tmp_path: Path) -> None:
    show(tab, tmp_path, page_html(event_chart()))
    seen = []
    for _ in range(15):
        tab.press("Tab")
        seen.append(
            tab.run(
                "(({ tagName, dataset }) => tagName + (dataset.do ?? dataset.line ?? ''))"
                "(document.activeElement)"
            )
        )

    buttons = [f"BUTTON{name}" for name in ("earlier", "later", "in", "out", "all")]
    boxes = [f"INPUT{number}" for number in range(7)]
    assert seen[:14] == ["DIV", *buttons, *boxes, "SUMMARY"]


@needs_chromium
def test_buttons_move_too(tab: Tab, tmp_path: Path) -> None:
    show(tab, tmp_path, page_html(market_chart()))
    first, last = tab.run(RANGE)

    tab.run("document.querySelector('[data-do=in]').click()")
    settle(tab)
    since, until = tab.run(RANGE)
    assert first < since < until < last
    tab.run("document.querySelector('[data-do=later]').click()")
    settle(tab)
    assert tab.run(RANGE)[0] > since
    tab.run("document.querySelector('[data-do=all]').click()")
    settle(tab)
    assert tab.run(RANGE) == [first, last]


@needs_chromium
def test_the_mouse_drags_and_zooms_and_shows_values(tab: Tab, tmp_path: Path) -> None:
    show(tab, tmp_path, page_html(market_chart()))
    first, last = tab.run(RANGE)
    box = plot_box(tab)
    x, y = box["left"] + box["width"] / 2, box["top"] + 60

    # the page scrolls past a chart that has not the focus
    mouse(tab, "mouseWheel", x, y, deltaX=0, deltaY=-300)
    settle(tab)
    assert tab.run(RANGE) == [first, last]
    for kind in ("mousePressed", "mouseReleased"):
        mouse(tab, kind, x, y, button="left", clickCount=1)
    mouse(tab, "mouseWheel", x, y, deltaX=0, deltaY=-300)
    tab.wait_until(f"{RANGE}[0] > {first}")
    since, until = tab.run(RANGE)
    assert since < (first + last) / 2 < until

    mouse(tab, "mousePressed", x, y, button="left", clickCount=1)
    mouse(tab, "mouseMoved", x + 50, y, button="left", buttons=1)
    mouse(tab, "mouseReleased", x + 50, y, button="left", clickCount=1)
    settle(tab)
    assert tab.run(RANGE)[0] < since

    mouse(tab, "mouseMoved", x, y)
    note = tab.run("document.querySelector('[data-note]').innerText")
    assert "10 Nov 2026" in note and "UTC" in note
    assert "Implied probability" in note and "32%" in note
    mouse(tab, "mouseMoved", x, box["bottom"] + 100)
    assert tab.run("document.querySelector('[data-note]').hidden")


@needs_chromium
def test_the_note_tells_periods_with_and_without_trades(tab: Tab, tmp_path: Path) -> None:
    periods = [traded(1, 0.3, 0.4, volume=2.5), *(period(minute) for minute in range(2, 101))]
    show(tab, tmp_path, page_html(market_chart(periods)))

    assert note_at(tab, 0.005).splitlines() == [
        "10 Nov 2026 00:01 UTC",
        *("Implied probability", "32%", "Bid, ask", "30%, 34%", "Last trade", "40%"),
        *("Open, close", "30%, 40%", "Low, high", "29%, 41%", "Contracts", "2.5"),
    ]
    assert note_at(tab, 0.505).splitlines() == [
        "10 Nov 2026 00:51 UTC",
        *("Implied probability", "32%", "Bid, ask", "30%, 34%", "Last trade", "33%"),
        *("Contracts", "0"),
    ]


@needs_chromium
def test_the_note_of_an_event_has_its_lines_in_order(tab: Tab, tmp_path: Path) -> None:
    lines = [line(0, [0.2, 0.2]), line(1, [0.6, 0.1]), line(2, [0.5, None])]
    show(tab, tmp_path, page_html(event_chart(lines)))

    assert note_at(tab, 0.52).splitlines() == [
        "10 Nov 2026 00:05 UTC",
        *("Candidate 1", "60%", "Candidate 2", "50%", "Candidate 0", "20%"),
    ]


@needs_chromium
def test_days_are_told_by_their_date_in_new_york(tab: Tab, tmp_path: Path) -> None:
    # 14 Nov ends on the 15th at 05:00 UTC
    days = [traded(5 * 60 + 1440 * day, 0.3, 0.4, volume=day) for day in range(1, 11)]
    show(tab, tmp_path, page_html(market_chart(days, interval=1440)))

    lines = note_at(tab, 0.45).splitlines()
    assert lines[0] == "14 Nov 2026"
    assert lines[-1] == "5"


@needs_chromium
def test_fingers_pan_and_pinch(tab: Tab, tmp_path: Path) -> None:
    tab.look(width=390, height=844)
    show(tab, tmp_path, page_html(event_chart()))
    first, last = tab.run(RANGE)
    top = plot_box(tab)["top"] + 100

    swipe(tab, top, [(150, 200), (140, 210), (120, 230), (100, 250)])
    since, until = tab.run(RANGE)
    assert (until - since) / (last - first) == pytest.approx(1 / 3, rel=0.05)
    swipe(tab, top, [(150,), (180,), (210,)])
    assert tab.run(RANGE)[0] < since
    assert tab.run("document.querySelector('figure').chart.fingers.size") == 0


@needs_chromium
def test_the_legend_hides_a_line(tab: Tab, tmp_path: Path) -> None:
    show(tab, tmp_path, page_html(event_chart()))
    hue = LIGHT.hues[2]
    assert has_colour(tab, hue)

    tab.run("document.querySelector('input[data-line=\"2\"]').focus()")
    tab.press(" ")
    settle(tab)

    assert tab.run("document.querySelector('figure').chart.view.signal('hidden')") == [2]
    assert not has_colour(tab, hue)
    assert has_colour(tab, LIGHT.hues[1])
    tab.press(" ")
    settle(tab)
    assert has_colour(tab, hue)


@needs_chromium
def test_colours_follow_the_readers_system(tab: Tab, tmp_path: Path) -> None:
    show(tab, tmp_path, page_html(event_chart()))
    tab.run("document.querySelector('[data-plot]').focus()")
    shown = press(tab, "+")
    paper = "getComputedStyle(document.body).backgroundColor"
    assert (tab.run(DRAWN), tab.run(paper)) == ("light", "rgb(255, 255, 255)")

    tab.look(dark=True)
    tab.wait_until(f"{DRAWN} === 'dark'")

    assert has_colour(tab, DARK.hues[0])
    assert not has_colour(tab, LIGHT.hues[0])
    assert tab.run(paper) == "rgb(22, 24, 27)"
    # what was shown still is
    assert tab.run(RANGE) == shown
    assert tab.messages == []


@needs_chromium
@pytest.mark.parametrize("chart", CHARTS)
def test_it_fits_a_phone(tab: Tab, tmp_path: Path, chart: Chart) -> None:
    tab.look(width=390, height=844)
    show(tab, tmp_path, page_html(chart))

    assert tab.run("document.documentElement.scrollWidth") == 390
    width, height = tab.run(
        "(({ width, height }) => [width, height])"
        "(document.querySelector('figure canvas').getBoundingClientRect())"
    )
    assert 320 < width <= 390
    assert 250 < height < 600
    small = tab.run(
        "[...document.querySelectorAll('figure button, figure label')]"
        ".filter((one) => one.getBoundingClientRect().height < 36).length"
    )
    assert small == 0


@needs_chromium
def test_two_figures_share_a_page_and_its_libraries(tab: Tab, tmp_path: Path) -> None:
    """As the site includes them: script and style as files."""
    (tmp_path / "charts.js").write_text(javascript(), encoding="utf-8")
    (tmp_path / "charts.css").write_text(stylesheet(), encoding="utf-8")
    show(
        tab,
        tmp_path,
        "<!doctype html><meta charset=utf-8><title>two</title><link rel=stylesheet href=charts.css>"
        "<script defer src=charts.js></script>"
        + figure_html(market_chart(), element_id="one")
        + figure_html(event_chart(), element_id="two"),
    )
    tab.wait_until("document.querySelector('#two').dataset.drawn")

    assert tab.run("document.querySelectorAll('figure canvas').length") == 2
    assert tab.run("Object.keys(window).includes('vegaEmbed')")
    assert tab.messages == []


@needs_chromium
@pytest.mark.parametrize(
    "chart",
    [
        pytest.param(market_chart([period(1)]), id="one period"),
        pytest.param(market_chart([period(1), traded(2, 0.5, 0.5)], interval=1440), id="days"),
        pytest.param(event_chart([line(0, [0.5])]), id="one point"),
        pytest.param(event_chart([line(n, [0.05, None, 1.0]) for n in range(15)]), id="15 lines"),
    ],
)
def test_odd_charts_are_drawn_and_answer_keys(tab: Tab, tmp_path: Path, chart: Chart) -> None:
    show(tab, tmp_path, page_html(chart))
    tab.run("document.querySelector('[data-plot]').focus()")

    for key in ("+", "ArrowLeft", "End", "0"):
        since, until = press(tab, key)
        assert since < until

    assert pixels(tab).total() > 100
    assert tab.messages == []
