"""The crawl: list what is selected, look up markets that are no longer listed, land what
changed."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from kalshi_elt.base.errors import ApiError, NoMoreAnswersError, RefusedError
from kalshi_elt.base.problems import Problem
from kalshi_elt.base.text import count
from kalshi_elt.kalshi.endpoints import (
    fetch_category,
    fetch_named_events,
    fetch_named_markets,
    fetch_series,
)
from kalshi_elt.kalshi.listing import Outcome, list_selection
from kalshi_elt.kalshi.records import (
    HISTORICAL,
    LIVE,
    EventRow,
    Listing,
    MarketFound,
    MarketInTier,
    SeriesRow,
)
from kalshi_elt.load.context import LoadContext
from kalshi_elt.load.landing.source import raw_rows_source
from kalshi_elt.ops import objects
from kalshi_elt.ops.objects import Scope

OBJECTS_PER_PACKAGE = 5_000
"""Events and markets that land together: at 2.3 kB a market (docs/kalshi_api.md, 7) about 12 MB."""

SERIES_ONE_BY_ONE = 20
"""Up to so many series are asked for one by one. For more, the list of all series is quicker, at 8
requests a second, though it has 18 MB (docs/kalshi_api.md, 2.10)."""

EventFound = tuple[EventRow, str | None]
"""An event's row and its series."""


class Crawl:
    """One pass over the selected part of the exchange."""

    def __init__(self, context: LoadContext) -> None:
        self._context = context
        self._connection = context.connection
        self._summary = context.summary
        self._listed: set[str] = set()
        self.chosen: dict[str, MarketInTier] = {}
        """Markets to ask candles for, by ticker. They are kept without their payloads, which would
        take 2 kB each (docs/kalshi_api.md, 7)."""

    def run(self) -> Scope:
        """List, look up and land; returns which known markets the load is responsible for.

        Raises NoMoreAnswersError when the API can't be reached, or the time is up.
        """
        selection = self._context.selection
        series_rows = self._category_series()
        series = tuple(row.series_ticker for row in series_rows if row.series_ticker)
        scope = Scope(selection, (*selection.series, *series))
        self._take(list_selection(self._context.api, selection, series_rows))
        if selection.follows:
            with self._noting("markets that the listing left out"):
                self._follow(scope)
        self._complete_series()
        self._summary.selected = len(self.chosen)
        return scope

    def _category_series(self) -> list[SeriesRow]:
        """The series of the selected categories."""
        rows: list[SeriesRow] = []
        for category in self._context.selection.categories:
            with self._noting(f"category {category}"):
                found = fetch_category(self._context.api, category)
                rows += found
                if not found:
                    why = "Kalshi has no series in it; mind its spelling and capitals: Politics"
                    self._summary.note(Problem(f"category {category}", why))
        return rows

    @contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        """Note an error of the API in the block as a problem of `what`, and go on after it."""
        try:
            yield
        except NoMoreAnswersError:
            raise
        except ApiError as error:
            self._summary.note(Problem(what, str(error)))

    def _take(self, outcomes: Iterable[Outcome], *, are_followed: bool = False) -> None:
        """Land listed events and markets in packages of bounded size, and choose among the markets.

        With `are_followed` all of them are chosen, whatever the selection says.
        """
        package: list[Listing] = []
        size = 0
        try:
            for outcome in outcomes:
                if isinstance(outcome, Problem):
                    self._summary.note(outcome)
                    continue
                package.append(outcome)
                size += 1 + len(outcome.markets)
                if size >= OBJECTS_PER_PACKAGE:
                    self._take_package(package, are_followed)
                    package, size = [], 0
        except NoMoreAnswersError:
            self._take_package(package, are_followed)
            raise
        self._take_package(package, are_followed)

    def _take_package(self, listings: list[Listing], are_followed: bool) -> None:
        found = self._distinct_markets(listings)
        self._choose(found, are_followed)
        if self._context.settings.dry_run or not listings:
            return
        events = _distinct_events(listings)
        events += self._missing_events(found, {row.event_ticker for row, _ in events})
        self._land(events, found)

    def _distinct_markets(self, listings: Iterable[Listing]) -> list[MarketFound]:
        """Each market once. Where both tiers have one, its live copy counts, which is listed
        first. Markets without a usable ticker are all kept."""
        found: dict[str, MarketFound] = {}
        nameless: list[MarketFound] = []
        for one in (market for listing in listings for market in listing.markets):
            if isinstance(one, Problem):
                self._summary.note(one)
            elif one.row.market_ticker is None:
                nameless.append(one)
            elif one.tier == LIVE or one.row.market_ticker not in self._listed:
                found.setdefault(one.row.market_ticker, one)
        self._listed |= found.keys()
        return [*found.values(), *nameless]

    def _choose(self, found: Iterable[MarketFound], are_followed: bool) -> None:
        selection = self._context.selection
        named_events, named_markets = set(selection.events), set(selection.markets)
        for one in found:
            if one.market is None:
                continue
            is_named = one.market.event_ticker in named_events or one.market.ticker in named_markets
            if are_followed or selection.wants(one.market, is_named=is_named):
                self.chosen.setdefault(one.market.ticker, (one.market, one.tier))

    def _missing_events(
        self, found: Iterable[MarketFound], listed: set[str | None]
    ) -> list[EventFound]:
        """Events of the markets that were neither listed nor ever landed. They land together with
        the markets, whose foreign keys refer to them."""
        needed = {one.row.event_ticker for one in found if one.row.event_ticker} - listed
        unknown = objects.unknown_events(self._connection, [ticker for ticker in needed if ticker])
        events: list[EventFound] = []
        with self._noting(count(len(unknown), "event")):
            for outcome in fetch_named_events(self._context.api, unknown, nested=False):
                if isinstance(outcome, Problem):
                    self._summary.note(outcome)
                elif outcome.event:
                    events.append((outcome.event, outcome.series_ticker))
        return events

    def _land(self, events: list[EventFound], found: list[MarketFound]) -> None:
        """Land what changed, then note all as seen.

        In this order: had a kill come in between the other way round, what changed would count as
        landed, and never be asked for again.
        """
        event_rows = [row for row, _ in events]
        market_rows = [one.row for one in found]
        changed_events = objects.changed_events(self._connection, event_rows)
        changed_markets = objects.changed_markets(self._connection, market_rows)
        if changed_events or changed_markets:
            try:
                self._context.lander.land(
                    raw_rows_source(events=changed_events, markets=changed_markets)
                )
            except RefusedError as error:
                self._summary.note(Problem("a package of events and markets", str(error)))
                return
        series = {row.event_ticker: series for row, series in events if row.event_ticker and series}
        objects.record_events(self._connection, events)
        objects.record_markets(self._connection, found, series)
        self._summary.events += len(changed_events)
        self._summary.markets += len(changed_markets)
        self._summary.unchanged += len(event_rows) - len(changed_events)
        self._summary.unchanged += len(market_rows) - len(changed_markets)

    def _follow(self, scope: Scope) -> None:
        """Look up the markets that had not reached their last state and are in no listing any more,
        in both tiers. What neither of them has is gone from Kalshi."""
        followed = objects.followed(self._connection, scope)
        left = [ticker for ticker in followed if ticker not in self._listed]
        if not left:
            return
        self._context.log.say(f"looking up {count(len(left), 'market')} that the listing left out")
        problems_before = len(self._summary.problems)
        for tier in (LIVE, HISTORICAL):
            outcomes = fetch_named_markets(self._context.api, left, tier=tier)
            self._take(
                (
                    one if isinstance(one, Problem) else Listing(None, None, (one,))
                    for one in outcomes
                ),
                are_followed=True,
            )
            left = [ticker for ticker in left if ticker not in self._listed]
        if len(self._summary.problems) > problems_before:
            # some answers could not be read, so the markets that are left may have been in them
            return
        if not self._context.settings.dry_run:
            objects.mark_gone(self._connection, left)
        self._summary.gone = len(left)

    def _complete_series(self) -> None:
        """Land the series that were selected, and those of the events that were listed, but for
        those that landed within a day."""
        if self._context.settings.dry_run:
            return
        listed = objects.listed_series(self._connection, self._context.started_at)
        named = self._context.selection.series
        due = objects.series_due(self._connection, {*listed, *named})
        rows: list[SeriesRow] = []
        with self._noting(count(len(due), "series")):
            for outcome in fetch_series(self._context.api, due, SERIES_ONE_BY_ONE):
                if isinstance(outcome, Problem):
                    self._summary.note(outcome)
                else:
                    rows.append(outcome)
        if not rows:
            return
        try:
            self._context.lander.land(raw_rows_source(series=rows))
        except RefusedError as error:
            self._summary.note(Problem("a package of series", str(error)))
            return
        objects.record_series(self._connection, rows)
        self._summary.series = len(rows)


def _distinct_events(listings: Iterable[Listing]) -> list[EventFound]:
    """Each event once, with its series: pages may repeat one whose place in the list has moved
    meanwhile (docs/kalshi_api.md, 5.6). Events without a usable ticker are all kept."""
    found: dict[str, EventFound] = {}
    nameless: list[EventFound] = []
    for listing in listings:
        if listing.event is None:
            continue
        event = (listing.event, listing.series_ticker)
        if listing.event.event_ticker is None:
            nameless.append(event)
        else:
            found.setdefault(listing.event.event_ticker, event)
    return [*found.values(), *nameless]
