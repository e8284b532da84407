"""Charts as HTML: a figure for any page, and one page that holds everything it needs."""

import json
import re
from functools import cache
from html import escape
from importlib.resources import files

from pipelines.chart.data import Chart, EventChart, MarketChart
from pipelines.chart.spec import (
    DARK,
    LIGHT,
    ends_of,
    line_style,
    percent,
    rows_of,
    specification,
    summary_of,
    title_of,
)
from pipelines.sanitize import visible

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
"""Nothing is asked for, and no text becomes code: Vega's expressions are interpreted."""

MOST_TRADED = 10
"""Periods that a market's table shows, of those in which something traded."""

HINT = (
    "Drag to move, pinch or scroll with Ctrl to zoom. "
    "Keys: \N{LEFTWARDS ARROW} \N{RIGHTWARDS ARROW} move, + \N{MINUS SIGN} zoom, "
    "Home and End go to the ends, Esc shows everything."
)


def figure_html(chart: Chart, *, heading_level: int = 2, element_id: str = "chart") -> str:
    """The chart as a `<figure>`, to be drawn by `javascript()` and styled by `stylesheet()`.

    All text is escaped here. What the figure shows is told in words and in a table, too.
    """
    heading = f"h{heading_level}"
    return f"""\
<figure class="chart" data-chart id="{element_id}" aria-labelledby="{element_id}-title">
<figcaption>
<{heading} id="{element_id}-title">{escape(title_of(chart))}</{heading}>
<p>{escape(summary_of(chart))}</p>
</figcaption>
<div class="chart-view" tabindex="0" role="application" aria-roledescription="chart" \
aria-label="{escape(summary_of(chart))}" aria-describedby="{element_id}-hint"></div>
{_legend(chart)}
<p class="chart-hint" id="{element_id}-hint">{HINT}</p>
<noscript><p>The chart is drawn by JavaScript, which is off.</p></noscript>
{_table(chart)}
<script type="application/json">{_data(chart)}</script>
</figure>"""


def page_html(chart: Chart) -> str:
    """A page of the chart alone, in one file that asks for nothing else."""
    title = escape(title_of(chart))
    # an end tag within a script would end it
    script = re.sub("</(?=script)", r"<\\/", javascript(), flags=re.IGNORECASE)
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{stylesheet()}</style>
</head>
<body class="chart-page">
<main>
{figure_html(chart, heading_level=1)}
</main>
<script>{script}</script>
</body>
</html>
"""


@cache
def javascript() -> str:
    """Vega, Vega-Lite and Vega-Embed, and what draws every figure of a page: 0.9 MB."""
    # takes 0.2 s to import
    import vl_convert

    own = (files("pipelines.chart") / "assets" / "chart.js").read_text(encoding="utf-8")
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return f"{bundle}\n{own}"


def stylesheet() -> str:
    """How figures look; the legend's lines have the colours of the chart's."""
    own = (files("pipelines.chart") / "assets" / "chart.css").read_text(encoding="utf-8")
    light, dark = (
        "".join(f".chart-line-{n} {{ stroke: {hue}; }}\n" for n, hue in enumerate(palette.hues))
        for palette in (LIGHT, DARK)
    )
    return f"{own}{light}@media (prefers-color-scheme: dark) {{\n{dark}}}\n"


def _data(chart: Chart) -> str:
    """What chart.js needs, as JSON that no HTML parser takes for markup."""
    first, last = ends_of(chart)
    data = {
        "light": specification(chart, LIGHT),
        "dark": specification(chart, DARK),
        "rows": rows_of(chart),
        "first": first,
        "last": last,
    }
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _legend(chart: Chart) -> str:
    if isinstance(chart, MarketChart):
        return (
            '<p class="chart-key"><span class="chart-up"></span> rose, '
            '<span class="chart-down"></span> fell, <span class="chart-band"></span> between bid '
            'and ask, <span class="chart-mid"></span> probability</p>'
        )
    items = "\n".join(_legend_item(chart, number) for number in range(len(chart.lines)))
    more = f"<p>{chart.hidden:,} more markets are not drawn.</p>" if chart.hidden else ""
    return f'<fieldset class="chart-legend"><legend>Markets</legend>\n{items}\n</fieldset>{more}'


def _legend_item(chart: EventChart, number: int) -> str:
    line = chart.lines[number]
    _, dash = line_style(number, LIGHT)
    dashes = " ".join(map(str, dash))
    return (
        f'<label><input type="checkbox" checked data-line="{number}">'
        f'<svg width="28" height="8" aria-hidden="true"><line x1="0" y1="4" x2="28" y2="4" '
        f'class="chart-line-{number % len(LIGHT.hues)}" stroke-dasharray="{dashes}"/></svg>'
        f"<span>{escape(visible(line.name))}</span> <b>{percent(line.latest)}</b></label>"
    )


def _table(chart: Chart) -> str:
    """The newest figures, for who can't see the chart."""
    head, rows = _figures(chart)
    heads = "".join(f'<th scope="col">{name}</th>' for name in head)
    cells = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return (
        "<details><summary>In figures</summary>"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{cells}</tbody></table></details>"
    )


def _figures(chart: Chart) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows of the table."""
    if isinstance(chart, EventChart):
        lines = [(visible(line.name), percent(line.latest)) for line in chart.lines]
        return ("market", "probability"), list(lines)
    traded = [period for period in chart.periods if period.volume][-MOST_TRADED:]
    return ("period until (UTC)", "contracts", "last trade, dollars"), [
        (f"{period.end:%Y-%m-%d %H:%M}", f"{period.volume:,}", f"{period.trade_close}")
        for period in reversed(traded)
    ]
