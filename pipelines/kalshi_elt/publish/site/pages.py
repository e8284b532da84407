"""The site's pages, as HTML texts, made from what was read. Only templates are read here.

Anybody may have written a text that Kalshi sends, so every value is escaped, and characters in it
that act on the page around them are replaced.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kalshi_elt.base.paths import file_name
from kalshi_elt.publish.site.content import CalibrationRow, Event, Market, SiteData

NONE = "\N{EN DASH}"
"""What is shown when there is no value."""

MINUS = "\N{MINUS SIGN}"
NO_BREAK = "\N{NO-BREAK SPACE}"

STALE_AFTER = timedelta(hours=2)
"""Older data are called stale. It is the default of `kalshi-elt status --check`, too."""

KALSHI = "https://kalshi.com/markets/"

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        # a page on disk is 'self' to some browsers and not to others, so `file:` is named, which
        # allows nothing more where the site is served
        "script-src 'self' file:",
        # Vega sets styles on the elements that it makes
        "style-src 'self' file: 'unsafe-inline'",
        "img-src 'self' file: data:",
        "base-uri 'none'",
        "form-action 'none'",
    )
)

DOCS_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data:; font-src data:; base-uri 'none'; form-action 'none'"
)
"""The policy for dbt's docs, which are one file with all scripts and styles in it."""

MOST_RULES_CHARACTERS = 120_000
"""The most characters of all rules on one page: so the page of an event with 200 markets stays
under 400 kB."""

LEAST_RULE_CHARACTERS = 300

LONGEST_SEARCHED_TITLE = 120

HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb]"
)
"""Control characters, and those that turn the direction of the text around them."""


@dataclass(frozen=True)
class Page:
    """A page's place in the site, on which links from and to it depend."""

    path: str
    title: str
    section: str = ""
    """The entry of the navigation that is marked on it."""

    @property
    def root(self) -> str:
        """The relative path from the page to the site's top folder."""
        return "../" * self.path.count("/")


@dataclass(frozen=True)
class Rules:
    """A text of rules, with the names of all markets that have it."""

    text: str
    is_cut: bool
    markets: tuple[str, ...]


def event_path(ticker: str) -> str:
    """Path of an event's page in the site."""
    return f"events/{file_name(ticker)}.html"


# Filters


def tame(text: str) -> str:
    """The text with HARMFUL characters replaced, which act on the page instead of being shown on
    it."""
    return HARMFUL.sub("\N{REPLACEMENT CHARACTER}", text)


def percent(value: Decimal | None, digits: int | None = None) -> str:
    """A probability in percent: 0.345 as 34.5 %. Exact, or rounded to `digits` after the point."""
    if value is None:
        return NONE
    return f"{_points(value, digits)}{NO_BREAK}%"


def change(value: Decimal | None) -> Markup:
    """A change of a probability in percentage points, with its direction as a sign and an arrow."""
    if value is None:
        return Markup(NONE)
    if value == 0:
        return Markup('<span class="same">0.0</span>')
    kind, arrow, sign = ("up", "▲", "+") if value > 0 else ("down", "▼", MINUS)
    return Markup('<span class="{}"><span aria-hidden="true">{}</span>{}{}{}</span>').format(
        kind, arrow, NO_BREAK, sign, _points(abs(value), None)
    )


def _points(value: Decimal, digits: int | None) -> str:
    scaled = value.scaleb(2)
    if digits is not None:
        scaled = scaled.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
        return f"{scaled:f}".replace("-", MINUS)
    whole, _, rest = f"{scaled:f}".partition(".")
    return f"{whole}.{rest.rstrip('0') or '0'}".replace("-", MINUS)


def number(value: Decimal | int | None) -> str:
    """A count, exact: 12,345 or 12,345.67."""
    if value is None:
        return NONE
    whole, _, rest = (
        f"{value:,f}".partition(".") if isinstance(value, Decimal) else (f"{value:,}", "", "")
    )
    # a fraction has at least two digits, so that those of a column line up
    rest = rest.rstrip("0") and rest.rstrip("0").ljust(2, "0")
    return (f"{whole}.{rest}" if rest else whole).replace("-", MINUS)


def approximate(value: Decimal | None, digits: int = 3) -> str:
    """A figure such as a score, rounded to `digits` after the point."""
    if value is None:
        return NONE
    return f"{value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN):f}".replace("-", MINUS)


def moment(value: datetime | None) -> Markup:
    """A time to the minute, in UTC."""
    if value is None:
        return Markup(NONE)
    value = value.astimezone(UTC)
    return Markup('<time datetime="{:%Y-%m-%dT%H:%M:%SZ}">{:%Y-%m-%d %H:%M}</time>').format(
        value, value
    )


def ago(value: datetime | None, now: datetime) -> str:
    """How long before `now` a time was, as `35 min before`."""
    return NONE if value is None else f"{duration(now - value)} before"


def duration(value: timedelta) -> str:
    """A duration in the unit that suits it: 40 s, 35 min, 26 h, 12 days."""
    seconds = max(int(value.total_seconds()), 0)
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 120 * 60:
        return f"{seconds // 60} min"
    if seconds < 72 * 3600:
        return f"{seconds // 3600} h"
    return f"{seconds // 86400:,} days"


def safe_url(url: str | None) -> str | None:
    """The address if it is one of the web (http or https), else None: others may run a script."""
    if url is None or not re.fullmatch(r"[\x21-\x7e]{1,2000}", url):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.netloc else None


def event_url(ticker: str) -> str:
    """The address of an event's page at Kalshi."""
    return KALSHI + quote(ticker.lower(), safe="")


def interval(minutes: int) -> str:
    """A candle's length in words: `1 hour`."""
    return {1: "1 minute", 60: "1 hour", 1440: "1 day"}.get(minutes, f"{minutes} minutes")


def hours(number_of: int) -> str:
    """A span of so many hours in words: 1 hour, 24 hours, 7 days."""
    if number_of > 48 and number_of % 24 == 0:
        return f"{number_of // 24} days"
    return "1 hour" if number_of == 1 else f"{number_of} hours"


def _said(value: Any) -> Any:
    """What the value of an expression in a template is shown as: a text tamed, None as an en
    dash."""
    if value is None:
        return NONE
    return tame(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def environment() -> Environment:
    """Jinja2 with the templates of this package. A name that a template does not get is an
    error."""
    made = Environment(
        loader=PackageLoader("kalshi_elt.publish.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_said,
    )
    filters = (percent, change, number, approximate, moment, ago, duration, safe_url, event_path)
    made.filters.update({one.__name__: one for one in (*filters, event_url, interval, hours)})
    made.globals.update(policy=CONTENT_SECURITY_POLICY, stale_after=STALE_AFTER)
    return made


# Pages


@dataclass(frozen=True)
class Site:
    """The site: what all of its pages share, and a method for each page."""

    data: SiteData
    has_docs: bool

    def front(self) -> str:
        """What is in the warehouse, how fresh, what moved, what is traded, what settled."""
        return self._render("index.html", Page("index.html", "Overview", "overview"))

    def events(self) -> str:
        """The list of all events that have a page."""
        return self._render(
            "events.html",
            Page("events/index.html", "Events", "events"),
            lines=[one for one in self.data.lines if one.ticker in self.data.with_page],
        )

    def event(self, event: Event, figure: Markup | None) -> str:
        """An event's page; `figure` is its chart, as HTML."""
        primary, secondary = rules_of(event.markets)
        page = Page(event_path(event.line.ticker), event.line.name, "event")
        return self._render(
            "event.html", page, event=event, figure=figure, primary=primary, secondary=secondary
        )

    def calibration(self) -> str:
        """How often markets of a price came true."""
        horizons: dict[int, list[CalibrationRow]] = {}
        for row in self.data.calibration:
            horizons.setdefault(row.hours_before_close, []).append(row)
        return self._render(
            "calibration.html",
            Page("calibration.html", "Calibration", "calibration"),
            horizons=horizons,
        )

    def quality(self) -> str:
        """Coverage, gaps, rejects, unknown fields, runs."""
        return self._render("quality.html", Page("quality.html", "Data quality", "quality"))

    def _render(self, template: str, page: Page, **values: Any) -> str:
        return (
            environment()
            .get_template(template)
            .render(
                page=page,
                data=self.data,
                has_docs=self.has_docs,
                selected=self.data.with_page,
                **values,
            )
        )


def rules_of(markets: Sequence[Market]) -> tuple[list[Rules], list[Rules]]:
    """The markets' primary and secondary rules, each text once, with the markets that have it.

    When they have more than MOST_RULES_CHARACTERS together, each text is cut to its share of them.
    """
    texts = {
        *(one.rules_primary for one in markets),
        *(one.rules_secondary for one in markets),
    } - {None}
    total = sum(len(text) for text in texts if text)
    longest = (
        max(LEAST_RULE_CHARACTERS, MOST_RULES_CHARACTERS // len(texts))
        if total > MOST_RULES_CHARACTERS
        else total
    )
    return (
        _grouped([(one.rules_primary, one.is_primary_cut, one.name) for one in markets], longest),
        _grouped(
            [(one.rules_secondary, one.is_secondary_cut, one.name) for one in markets], longest
        ),
    )


def _grouped(found: Sequence[tuple[str | None, bool, str]], longest: int) -> list[Rules]:
    markets: dict[tuple[str, bool], list[str]] = {}
    for text, is_cut, name in found:
        if text:
            markets.setdefault((text, is_cut), []).append(name)
    return [
        Rules(text[:longest], is_cut or len(text) > longest, tuple(names))
        for (text, is_cut), names in markets.items()
    ]


def docs(html: str) -> str:
    """dbt's docs, changed so that they request nothing.

    They get a policy that forbids it. Two of their addresses are placeholders that a browser would
    ask for before a script fills them in, which the policy would report, so they are replaced.
    """
    for found, put in (
        (
            '<meta charset="utf-8">',
            '<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
            f'content="{DOCS_POLICY}">',
        ),
        ("${require('./assets/favicons/favicon.ico')}", "data:,"),
        ('xlink:href="{{', 'ng-attr-xlink:href="{{'),
    ):
        html = html.replace(found, put)
    return html


def search_index(data: SiteData) -> str:
    """All events for the search, as a script, which is the only kind of file that a page on disk
    may load data from.

    Each event is a list: ticker, title, number of the category, page, and the leader's probability
    in percent. The page is 1 when it is named as the ticker, 0 when there is none, else its name.
    The most traded events come first.
    """
    categories = sorted({one.category for one in data.lines if one.category})
    numbers = {category: number for number, category in enumerate(categories)}
    rows = []
    for one in data.lines:
        name = file_name(one.ticker)
        has_page = one.ticker in data.with_page
        page: str | int = 0 if not has_page else (1 if name == one.ticker else name)
        title = tame(one.title or "")
        if len(title) > LONGEST_SEARCHED_TITLE:
            title = title[: LONGEST_SEARCHED_TITLE - 1] + "…"
        rows.append(
            [
                tame(one.ticker),
                title,
                numbers[one.category] if one.category else -1,
                page,
                "" if one.probability is None else _points(one.probability, None),
            ]
        )
    found = {"categories": [tame(one) for one in categories], "events": rows}
    # "<" is escaped, so that no text could end a script element, were this put into a page
    text = json.dumps(found, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f"window.kalshiSearch = {text};\n"
