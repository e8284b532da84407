"""A chart as HTML: a figure to put into a page, or a page of its own in one file.

The page's policy allows the script and the style in it, by their hashes, and loads nothing. Texts
from Kalshi are escaped everywhere.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from kalshi_elt.publish.chart.data import Chart, EventChart, MarketChart
from kalshi_elt.publish.chart.spec import (
    DARK,
    DASHES,
    LIGHT,
    VEGA_LITE,
    Theme,
    chart_rows,
    chart_spec,
    describe,
    key_of,
    percent,
    style_of,
)

HINT = (
    "Keys, once the chart has the focus: arrows move, + and - zoom, Home and End go to the first "
    "and the last, 0 or Esc show all. Or drag; click, then scroll to zoom."
)

BUTTONS = (
    ("earlier", "Earlier", "\N{LEFTWARDS ARROW}"),
    ("later", "Later", "\N{RIGHTWARDS ARROW}"),
    ("in", "Zoom in", "+"),
    ("out", "Zoom out", "\N{MINUS SIGN}"),
    ("all", "Show all", "All"),
)


def page_html(chart: Chart) -> str:
    """A page with the chart and all that it needs, in one file that requests nothing else."""
    script = javascript()
    style = stylesheet() + _asset("page.css")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(script)}",
            f"style-src {_hash(style)}",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    subtitle = f'<p dir="auto">{escape(chart.subtitle)}</p>\n' if chart.subtitle else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(_one_line(chart.title))}</title>\n"
        f"<style>{style}</style>\n</head>\n<body>\n<main>\n"
        f'<h1 dir="auto">{escape(chart.title)}</h1>\n{subtitle}'
        f"{figure_html(chart)}\n</main>\n<script>{script}</script>\n</body>\n</html>\n"
    )


def figure_html(chart: Chart, *, heading_level: int = 2, element_id: str = "chart") -> str:
    """The chart as a figure, with its legend, its values as a table, and the data for chart.js.

    The page must have javascript() and stylesheet() once. Figures on the same page must differ in
    their `element_id`.
    """
    is_event = isinstance(chart, EventChart)
    heading = f"h{heading_level}"
    title = "Implied probability" if is_event else "Prices and volume"
    own = escape(element_id)
    buttons = "".join(
        f'<button type="button" data-do="{name}" aria-label="{label}" title="{label}">{sign}'
        "</button>"
        for name, label, sign in BUTTONS
    )
    return (
        f'<figure data-chart="{"event" if is_event else "market"}" id="{own}" '
        f'aria-labelledby="{own}-title">\n'
        f'<figcaption><{heading} id="{own}-title">{title}</{heading}>\n'
        f"<p><bdi>{escape(describe(chart))}</bdi></p>\n<p>{escape(key_of(chart))}.</p>\n"
        "</figcaption>\n"
        f'<div data-plot tabindex="0" role="application" aria-roledescription="chart" '
        f'aria-labelledby="{own}-title" aria-describedby="{own}-hint">'
        "<div data-canvas></div><div data-cursor hidden></div><div data-note hidden></div></div>\n"
        f'<div class="tools" role="group" aria-label="Move through time">{buttons}</div>\n'
        '<p class="said" data-said role="status"></p>\n'
        f"{_legend(chart) if isinstance(chart, EventChart) else ''}"
        f'<p class="hint" id="{own}-hint">{escape(HINT)}</p>\n'
        "<noscript><p>The chart takes JavaScript; the table below does not.</p></noscript>\n"
        f"<details><summary>Values as a table</summary>\n{_table(chart)}</details>\n"
        f'<script type="application/json">{_json(_content(chart))}</script>\n</figure>'
    )


@cache
def javascript() -> str:
    """Vega, Vega-Lite and vega-embed with chart.js, for one script element or file: 0.9 MB."""
    # importing it takes a second, so it is done only when a page is written
    import vl_convert

    libraries = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", VEGA_LITE)
    # in a function, so that the libraries' names are not those of the whole page
    script = f"(() => {{\n{libraries}\n}})();\n{_asset('chart.js')}"
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def stylesheet() -> str:
    """The figure's style, light and dark."""
    return (
        f":root {{ {_variables(LIGHT)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}\n"
        f"{_asset('chart.css')}"
    )


def _variables(theme: Theme) -> str:
    colours = {
        "paper": theme.paper,
        "ink": theme.ink,
        "soft": theme.soft,
        "grid": theme.grid,
        **{f"hue-{number}": hue for number, hue in enumerate(theme.hues)},
    }
    return " ".join(f"--chart-{name}: {colour};" for name, colour in colours.items())


def _legend(chart: EventChart) -> str:
    labels = "\n".join(
        f'<label><input type="checkbox" checked data-line="{number}" autocomplete="off">'
        f"{_swatch(number)}<bdi>{escape(line.name)}</bdi><output>{percent(line.latest)}</output>"
        "</label>"
        for number, line in enumerate(chart.lines)
    )
    return (
        f"<fieldset><legend>Markets and their latest probability</legend>\n{labels}\n</fieldset>\n"
    )


def _swatch(number: int) -> str:
    hue, dash = style_of(number)
    pattern = " ".join(map(str, DASHES[dash]))
    return (
        '<svg class="swatch" viewBox="0 0 26 8" aria-hidden="true">'
        f'<line x1="0" y1="4" x2="26" y2="4" stroke="var(--chart-hue-{hue})" '
        f'stroke-dasharray="{pattern}"/></svg>'
    )


def _table(chart: Chart) -> str:
    rows = _event_table(chart) if isinstance(chart, EventChart) else _market_table(chart)
    head, *body = (list(row) for row in rows)
    lines = [
        "<tr>" + "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head) + "</tr>",
        *(
            f'<tr><th scope="row"><bdi>{escape(name)}</bdi></th>'
            + "".join(f"<td><bdi>{escape(cell)}</bdi></td>" for cell in cells)
            + "</tr>"
            for name, *cells in body
        ),
    ]
    return (
        f'<div class="scroll"><table><thead>{lines[0]}</thead>\n<tbody>'
        + "\n".join(lines[1:])
        + "</tbody></table></div>\n"
    )


def _event_table(chart: EventChart) -> Iterable[Iterable[str]]:
    yield ("Market", "First", "Lowest", "Highest", "Latest", "Ticker")
    for line in chart.lines:
        values = [value for _, value in line.points if value is not None]
        found = (values[0], min(values), max(values), line.latest)
        yield (line.name, *(percent(value) for value in found), line.ticker)


def _market_table(chart: MarketChart) -> Iterable[Iterable[str]]:
    yield ("", "First", "Lowest", "Highest", "Latest")
    periods = chart.periods
    for name, values in (
        ("Implied probability", [one.probability for one in periods]),
        ("Bid", [one.bid for one in periods]),
        ("Ask", [one.ask for one in periods]),
        ("Last trade", [one.last for one in periods]),
    ):
        known = [value for value in values if value is not None]
        found = (known[0], min(known), max(known), known[-1]) if known else (None,) * 4
        yield (name, *(percent(value) for value in found))
    total = sum(one.volume for one in periods)
    yield ("Contracts traded in all", "", "", "", f"{total:,.2f}")


def _content(chart: Chart) -> dict[str, Any]:
    """The data that chart.js draws from."""
    lines = chart.lines if isinstance(chart, EventChart) else ()
    return {
        "interval": chart.span.interval,
        "names": [line.name for line in lines] or [chart.title],
        "light": chart_spec(chart, LIGHT),
        "dark": chart_spec(chart, DARK),
        "rows": chart_rows(chart),
    }


def _json(content: object) -> str:
    """JSON without characters that mean something in HTML."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _asset(name: str) -> str:
    return (files("kalshi_elt.publish.chart") / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _one_line(text: str) -> str:
    return " ".join(text.split())
