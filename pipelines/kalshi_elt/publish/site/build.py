"""`kalshi-elt site`: reads what the site tells and writes its files."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup
from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.base.errors import KalshiEltError
from kalshi_elt.base.text import count
from kalshi_elt.publish.chart.data import NoCandlesError, Wanted, read_chart
from kalshi_elt.publish.chart.page import figure_html, javascript, stylesheet
from kalshi_elt.publish.site import pages
from kalshi_elt.publish.site.data import read_events, read_site, snapshot
from kalshi_elt.publish.site.folder import SiteFolder, open_folder
from kalshi_elt.transform.build import write_docs
from kalshi_elt.warehouse.connection import Warehouse

ASSETS = ("site.css", "search.js")

DRAWN_MARKETS = 12
"""The most markets in an event's chart, the likeliest ones. The table below it has all."""


@dataclass(frozen=True)
class Wish:
    """What the site is to have."""

    events: Sequence[str] = ()
    """Tickers of events that get a page; when empty, the most traded events do."""
    most: int = 200
    """How many of the most traded events get a page."""
    since: int | None = None
    """Where charts begin, in Unix seconds; None leaves that to the charts."""
    has_docs: bool = True
    """Whether dbt's docs are part of it; dbt takes ten seconds to make them."""


@dataclass(frozen=True)
class Built:
    """What was written, and how long it took."""

    front_page: Path
    pages: int
    """How many events have a page."""
    events: int
    """How many events are in the warehouse."""
    seconds: float

    def __str__(self) -> str:
        return (
            f"site: {self.front_page} "
            f"({count(self.pages, 'event')} of {self.events:,}, {self.seconds:.1f} s)"
        )


def write_site(warehouse: Warehouse, folder: Path, wish: Wish) -> Built:
    """Write the warehouse's site into `folder`: all of it, or what was there stays.

    Raises UsageError when an event is not there or the folder holds something else, BusyError when
    another site is written to it, KalshiEltError when nothing is typed yet or a file can't be
    written.
    """
    started = time.monotonic()
    try:
        with snapshot(warehouse) as connection, open_folder(folder) as site_folder:
            data = read_site(connection, warehouse, wish.events, wish.most)
            site = pages.Site(data, has_docs=wish.has_docs and bool(data.lines))
            _stage_assets(site_folder)
            _stage_events(site_folder, connection, site, wish)
            if site.has_docs:
                # they describe the tables a moment later: dbt has a connection of its own, which is
                # not in our snapshot
                page = write_docs(warehouse, quiet=True)
                site_folder.stage("docs/index.html", pages.docs(page.read_text("utf-8")))
            site_folder.stage("calibration.html", site.calibration())
            site_folder.stage("quality.html", site.quality())
            site_folder.stage("search-index.js", pages.search_index(data))
            site_folder.stage("events/index.html", site.events())
            site_folder.stage("index.html", site.front())
            site_folder.publish()
    except OSError as error:
        raise KalshiEltError(
            f"{error.filename or folder} can't be written: {error.strerror}; give --to a folder "
            "that you can write, with enough space"
        ) from error
    return Built(
        folder / "index.html", len(data.selected), len(data.lines), time.monotonic() - started
    )


def _stage_assets(folder: SiteFolder) -> None:
    own = files("kalshi_elt.publish.site") / "assets"
    for name in ASSETS:
        folder.stage(f"assets/{name}", (own / name).read_bytes())
    folder.stage("assets/charts.css", stylesheet())
    folder.stage("assets/charts.js", javascript())


def _stage_events(folder: SiteFolder, connection: Connection, site: pages.Site, wish: Wish) -> None:
    for event in read_events(connection, site.data):
        figure = _figure(connection, event.line.ticker, wish.since)
        folder.stage(pages.event_path(event.line.ticker), site.event(event, figure))


def _figure(connection: Connection, ticker: str, since: int | None) -> Markup | None:
    """The event's chart as HTML; None when there is nothing to draw.

    The chart's module has escaped all texts in it. Characters that act on the text around them, as
    by turning its direction, are taken out here.
    """
    try:
        chart = read_chart(connection, Wanted(ticker, since=since, top=DRAWN_MARKETS))
    except NoCandlesError:
        return None
    return Markup(pages.tame(figure_html(chart)))
