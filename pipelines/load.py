"""One load, from settings to a summary: list → follow → plan → fetch → land."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from psycopg2.extensions import connection as Connection  # noqa: N812

from pipelines import catalog, coverage
from pipelines.api import KalshiApi
from pipelines.catalog import Scope
from pipelines.errors import ApiError, ApiUnreachableError, RefusedError
from pipelines.fetch import (
    Listing,
    MarketFound,
    Problem,
    fetch_candles,
    fetch_cutoff,
    fetch_named_events,
    fetch_named_markets,
    fetch_series,
)
from pipelines.land import Lander
from pipelines.listing import Outcome, category_series, list_selection
from pipelines.ops import hold_lock
from pipelines.parallel import in_parallel
from pipelines.plan import CandleRequest, batched, plan_requests, retry_in_historical
from pipelines.progress import Log, Reporter
from pipelines.records import HISTORICAL, LIVE, EventRow, Market, SeriesRow, WindowRow
from pipelines.settings import LoadSettings
from pipelines.source import kalshi_source
from pipelines.timerange import TimeRange
from pipelines.warehouse import Warehouse

OBJECTS_PER_PACKAGE = 5_000
"""Events and markets that land together: about 12 MB (2.3 kB a market, API.md 7)."""

SERIES_ONE_BY_ONE = 20
"""Beyond so many series the list of all, 18 MB (API.md 2.10), is quicker at 8 requests/s."""


@dataclass
class LoadSummary:
    """What a load landed, and what it could not."""

    events: int = 0
    markets: int = 0
    series: int = 0
    unchanged: int = 0
    selected: int = 0
    gone: int = 0
    windows: int = 0
    candles: int = 0
    requests: int = 0
    seconds: float = 0.0
    planned: Counter[str] = field(default_factory=Counter)
    """A dry run's requests, by endpoint."""
    is_dry_run: bool = False
    problems: list[Problem] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        return 1 if self.problems else 0

    def __str__(self) -> str:
        taken = f"({count(self.requests, 'request')}, {self.seconds:.1f} s)"
        if self.is_dry_run:
            return f"planned {count(sum(self.planned.values()), 'request')} {taken}, landed nothing"
        unchanged = f", {self.unchanged:,} unchanged" if self.unchanged else ""
        gone = f", {count(self.gone, 'market')} gone from Kalshi" if self.gone else ""
        return (
            f"landed {count(self.events, 'event')}, {count(self.markets, 'market')}"
            f"{unchanged}{gone} and {count(self.candles, 'candle')} "
            f"in {count(self.windows, 'window')} {taken}"
        )


def load(settings: LoadSettings, wanted: TimeRange, warehouse: Warehouse) -> LoadSummary:
    """Land what `settings` select, and its candles of the time `wanted`.

    What can't be landed is a problem in the summary and stops nothing else. Raises KalshiEltError
    when nothing more can be done: no API at the start, no warehouse, another load under way.
    """
    started = time.monotonic()
    with hold_lock(warehouse, wait=settings.wait) as connection:
        run = _Load(settings, wanted, warehouse, connection)
        run.run()
    run.summary.requests = run.api.request_count
    run.summary.seconds = time.monotonic() - started
    return run.summary


def count(number: int, noun: str) -> str:
    """`1 event`, `2 events`; series are the same in both."""
    plural = noun if number == 1 or noun.endswith("s") else noun + "s"
    return f"{number:,} {plural}"


class _Load:
    """The steps of one load and what they share."""

    def __init__(
        self,
        settings: LoadSettings,
        wanted: TimeRange,
        warehouse: Warehouse,
        connection: Connection,
    ) -> None:
        self.settings = settings
        self.wanted = wanted
        self.connection = connection
        self.selection = settings.selection()
        self.log = Log(settings.log_format)
        self.lander = Lander(warehouse)
        self.api = KalshiApi(
            settings.api_url,
            rate=settings.rate,
            attempts=settings.attempts,
            timeout=settings.timeout,
        )
        self.summary = LoadSummary(is_dry_run=settings.dry_run)
        self.started_at = datetime.now(UTC)
        self.chosen: dict[str, MarketFound] = {}
        """Markets to ask candles for, by ticker."""
        self.listed: set[str | None] = set()
        """Tickers of all markets seen in this load."""

    def run(self) -> None:
        self._settle()
        series_rows = category_series(self.api, self.selection)
        series = tuple(row.series_ticker for row in series_rows if row.series_ticker)
        scope = Scope(self.selection, (*self.selection.series, *series))
        self._take(list_selection(self.api, self.selection, series_rows))
        self._follow(scope)
        self._complete_series()
        self.summary.selected = len(self.chosen)
        self.log.say(
            f"listed {count(self.summary.events, 'event')} and "
            f"{count(self.summary.markets, 'market')} to land, "
            f"{self.summary.unchanged:,} unchanged; {count(len(self.chosen), 'market')} selected",
            events=self.summary.events,
            markets=self.summary.markets,
            selected=len(self.chosen),
        )
        if self.settings.candles:
            self._load_candles(scope)

    def _settle(self) -> None:
        """Finish what the last load left, then count what it covered."""
        if self.settings.dry_run:
            self.lander.create_tables(self.connection)
            return
        try:
            if pending := self.lander.settle():
                self.log.say(
                    f"landed {count(pending, 'package')} that an earlier load left pending"
                )
        except RefusedError as error:
            self.summary.problems.append(Problem("what an earlier load left pending", str(error)))
        if orphans := self.lander.adopt_orphans(self.connection):
            self.log.say(f"adopted {count(orphans, 'load')} of which dlt had lost the record")
        self.lander.create_tables(self.connection)
        coverage.count_finished_loads(self.connection)

    def _take(self, outcomes: Iterable[Outcome], *, followed: bool = False) -> None:
        """Land listed events and markets in packages of bounded size, and choose among them."""
        package: list[Listing] = []
        size = 0
        for outcome in outcomes:
            if isinstance(outcome, Problem):
                self.summary.problems.append(outcome)
                continue
            package.append(outcome)
            size += 1 + len(outcome.markets)
            if size >= OBJECTS_PER_PACKAGE:
                self._land_listing(package, followed)
                package, size = [], 0
        if package:
            self._land_listing(package, followed)

    def _land_listing(self, listings: list[Listing], followed: bool) -> None:
        found: dict[str | None, MarketFound] = {}
        for one in (market for listing in listings for market in listing.markets):
            if isinstance(one, Problem):
                self.summary.problems.append(one)
            elif one.tier == LIVE or one.row.market_ticker not in self.chosen:
                # where the tiers overlap, one copy counts: the live one, which is listed first
                found.setdefault(one.row.market_ticker, one)
        self.listed |= found.keys()
        self._choose(found.values(), followed)
        if self.settings.dry_run:
            return
        events = [(listing.event, listing.series_ticker) for listing in listings if listing.event]
        events += self._missing_events(found.values(), {row.event_ticker for row, _ in events})
        self._land_objects(events, list(found.values()))

    def _choose(self, found: Iterable[MarketFound], followed: bool) -> None:
        named_events = set(self.selection.events)
        named_markets = set(self.selection.markets)
        for one in found:
            if one.market is None:
                continue
            is_named = one.market.event_ticker in named_events or one.market.ticker in named_markets
            if followed or self.selection.wants(one.market, is_named=is_named):
                self.chosen.setdefault(one.market.ticker, one)

    def _missing_events(
        self, found: Iterable[MarketFound], listed: set[str | None]
    ) -> list[tuple[EventRow, str | None]]:
        """A market's event always lands with it, so that no foreign key dangles."""
        needed = {one.row.event_ticker for one in found if one.row.event_ticker} - listed
        unknown = catalog.unknown_events(self.connection, [ticker for ticker in needed if ticker])
        events = []
        for outcome in fetch_named_events(self.api, unknown, nested=False):
            if isinstance(outcome, Problem):
                self.summary.problems.append(outcome)
            elif outcome.event:
                events.append((outcome.event, outcome.series_ticker))
        return events

    def _land_objects(
        self, events: list[tuple[EventRow, str | None]], found: list[MarketFound]
    ) -> None:
        """Land what changed, then note all as seen: in this order, so that a kill loses nothing."""
        known_events = catalog.known_hashes(
            self.connection, catalog.EVENT, [row.event_ticker for row, _ in events]
        )
        known_markets = catalog.known_hashes(
            self.connection, catalog.MARKET, [one.row.market_ticker for one in found]
        )
        event_rows = [
            row
            for row, _ in events
            if known_events.get(row.event_ticker or "") != catalog.payload_hash(row.payload)
        ]
        market_rows = [
            one.row
            for one in found
            if known_markets.get(one.row.market_ticker or "")
            != catalog.payload_hash(one.row.payload)
        ]
        if event_rows or market_rows:
            try:
                self.lander.land(kalshi_source(events=event_rows, markets=market_rows))
            except RefusedError as error:
                self.summary.problems.append(Problem("a package of events and markets", str(error)))
                return
        series = {row.event_ticker: series for row, series in events if row.event_ticker and series}
        catalog.record_events(self.connection, events)
        catalog.record_markets(self.connection, found, series)
        self.summary.events += len(event_rows)
        self.summary.markets += len(market_rows)
        self.summary.unchanged += len(events) + len(found) - len(event_rows) - len(market_rows)

    def _follow(self, scope: Scope) -> None:
        """Look up markets that were open and are in no listing any more."""
        followed = catalog.followed(self.connection, scope)
        tickers = [ticker for ticker in followed if ticker not in self.listed]
        if not tickers:
            return
        self.log.say(f"looking up {count(len(tickers), 'market')} that the listing left out")
        found: set[str | None] = set()
        for tier in (LIVE, HISTORICAL):
            left = [ticker for ticker in tickers if ticker not in found]
            outcomes = list(fetch_named_markets(self.api, left, tier=tier))
            found |= {one.row.market_ticker for one in outcomes if isinstance(one, MarketFound)}
            self._take(
                (
                    one if isinstance(one, Problem) else Listing(None, None, (one,))
                    for one in outcomes
                ),
                followed=True,
            )
        gone = [ticker for ticker in tickers if ticker not in found]
        if gone and not self.settings.dry_run:
            catalog.mark_gone(self.connection, gone)
        self.summary.gone = len(gone)

    def _complete_series(self) -> None:
        """Land the series of the events that were listed, unless they did within a day."""
        if self.settings.dry_run:
            return
        listed = catalog.listed_series(self.connection, self.started_at)
        due = catalog.series_due(self.connection, listed)
        if not due:
            return
        rows: list[SeriesRow] = []
        try:
            rows.extend(fetch_series(self.api, due, SERIES_ONE_BY_ONE))
        except ApiError as error:
            self.summary.problems.append(Problem(f"{count(len(due), 'series')}", str(error)))
        if rows:
            self.lander.land(kalshi_source(series=rows))
            catalog.record_series(self.connection, rows)
            self.summary.series = len(rows)

    def _load_candles(self, scope: Scope) -> None:
        requests = self._plan(scope)
        if self.settings.dry_run:
            self._report_plan(requests)
            return
        with self.log.requests(len(requests)) as reporter:
            for package in batched(requests, self.settings.requests_per_package):
                try:
                    self.lander.land(kalshi_source(candlesticks=self._rows(package, reporter)))
                except RefusedError as error:
                    self._note(Problem("a package of candles", str(error)))
                if self._is_over():
                    break
        coverage.count_finished_loads(self.connection)

    def _plan(self, scope: Scope) -> list[CandleRequest]:
        """The requests for all that is wanted and not covered."""
        markets = [(one.market, one.tier) for one in self.chosen.values() if one.market]
        markets += [
            (market, LIVE)
            for market in catalog.unfinished(self.connection, scope)
            if market.ticker not in self.chosen and self.wanted.goes_on
        ]
        in_tiers = self._in_tiers(markets)
        requests = []
        for interval in self.settings.intervals or []:
            lives = coverage.lives(in_tiers, self.wanted, interval)
            windows = coverage.gaps(
                self.connection,
                lives,
                interval,
                again=self.settings.again,
                record=not self.settings.dry_run,
            )
            requests += plan_requests(windows, interval)
        return requests

    def _in_tiers(self, markets: list[tuple[Market, str]]) -> list[tuple[Market, str]]:
        """Each market with the tier that holds its candles: the cutoff decides for settled ones."""
        if not any(market.settled and tier == LIVE for market, tier in markets):
            return markets
        cutoff = fetch_cutoff(self.api)
        return [
            (market, HISTORICAL if market.settled and market.settled < cutoff else tier)
            for market, tier in markets
        ]

    def _report_plan(self, requests: list[CandleRequest]) -> None:
        windows = sum(len(request.tickers) for request in requests)
        planned = Counter(
            "/markets/candlesticks"
            if request.tier == LIVE
            else "/historical/markets/{ticker}/candlesticks"
            for request in requests
        )
        self.summary.planned = planned
        seconds = len(requests) / self.settings.rate
        print(f"markets    {len(self.chosen):,}")
        print(f"windows    {windows:,}")
        for endpoint, number in sorted(planned.items()):
            print(f"requests   {number:,} GET {endpoint}")
        print(f"duration   {seconds:,.0f} s at {self.settings.rate:g} requests/s")

    def _rows(self, requests: tuple[CandleRequest, ...], reporter: Reporter) -> Iterator[WindowRow]:
        """Fetch while dlt extracts. An exception in here would cost the whole package."""
        for outcomes in in_parallel(self._fetch, requests, self.settings.workers):
            candles = 0
            for outcome in outcomes:
                if isinstance(outcome, Problem):
                    self._note(outcome)
                    continue
                candles += outcome.candles
                self.summary.windows += 1
                yield outcome
            self.summary.candles += candles
            reporter.advance(candles)

    def _note(self, problem: Problem) -> None:
        """Several workers may find at once that nothing more can be asked for: it is said once."""
        if not (problem.is_final and self._is_over()):
            self.summary.problems.append(problem)

    def _is_over(self) -> bool:
        return any(problem.is_final for problem in self.summary.problems)

    def _fetch(self, request: CandleRequest) -> list[WindowRow | Problem]:
        """A request's rows; what the live tier left out is asked of the historical one."""
        if self._is_over():
            return []
        try:
            outcomes = list(fetch_candles(self.api, request))
            missing = [
                outcome.missing
                for outcome in outcomes
                if isinstance(outcome, Problem) and outcome.missing and request.tier == LIVE
            ]
            if missing:
                outcomes = [one for one in outcomes if isinstance(one, WindowRow)]
                for other in retry_in_historical(request, missing):
                    outcomes += fetch_candles(self.api, other)
            return outcomes
        except ApiUnreachableError as error:
            return [Problem("candles not yet fetched", str(error), is_final=True)]
