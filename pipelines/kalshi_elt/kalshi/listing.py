"""Which listing requests a selection takes: the fewest that have everything it names in them."""

from collections.abc import Iterable, Iterator

from kalshi_elt.base.problems import Problem
from kalshi_elt.kalshi.client import KalshiApi
from kalshi_elt.kalshi.endpoints import (
    EVENTS_ENDPOINT,
    MULTIVARIATE_ENDPOINT,
    fetch_named_events,
    fetch_named_markets,
    guarded,
    list_events,
    list_markets,
)
from kalshi_elt.kalshi.records import HISTORICAL, Listing, MarketFound, SeriesRow
from kalshi_elt.kalshi.selection import Selection

SERIES_ONE_BY_ONE = 50
"""For more series than this it takes fewer requests to list all open events of the exchange, 56
pages (docs/kalshi_api.md, 7), than at least one page for each series."""

EVENT_FILTERS = frozenset({"unopened", "open", "closed", "settled"})
"""The statuses by which /events can filter (docs/kalshi_api.md, 2.1)."""

Outcome = Listing | Problem


def list_selection(
    api: KalshiApi, selection: Selection, category_series: Iterable[SeriesRow]
) -> Iterator[Outcome]:
    """Every event that the selection names, with its markets; an event may come more than once.

    A named market comes as a listing of its own, without its event. `category_series` are the
    series of the selected categories.
    """
    if selection.events:
        yield from guarded("events", fetch_named_events(api, selection.events))
        for event in selection.events:
            yield from _historical(api, {"event_ticker": event})
    if selection.markets:
        yield from guarded("markets", _named_markets(api, selection.markets))
    series = list(selection.series)
    series += [row.series_ticker for row in category_series if row.series_ticker]
    if series or selection.categories:
        yield from _series(api, selection, list(dict.fromkeys(series)))
    if selection.is_everything:
        yield from _everything(api, selection, None)


def _series(api: KalshiApi, selection: Selection, series: list[str]) -> Iterator[Outcome]:
    if len(series) > SERIES_ONE_BY_ONE:
        yield from _everything(api, selection, frozenset(series))
        return
    for ticker in series:
        for query in _status_queries(selection):
            yield from _listed(api, {**query, "series_ticker": ticker})
        if selection.multivariate:
            yield from _listed(api, {"series_ticker": ticker}, MULTIVARIATE_ENDPOINT)
        if selection.wants_settled:
            yield from _historical(api, {"series_ticker": ticker})


def _everything(
    api: KalshiApi, selection: Selection, series: frozenset[str] | None
) -> Iterator[Outcome]:
    """All events of the exchange, or, if `series` are given, those of its events that are
    theirs."""

    def is_meant(outcome: Outcome) -> bool:
        return series is None or isinstance(outcome, Problem) or outcome.series_ticker in series

    for query in _status_queries(selection):
        yield from filter(is_meant, _listed(api, query))
    if selection.multivariate:
        yield from filter(is_meant, _listed(api, {}, MULTIVARIATE_ENDPOINT))
    if selection.wants_settled:
        for ticker in sorted(series or ()):
            yield from _historical(api, {"series_ticker": ticker})
        if series is None:
            yield from _historical(api, {} if selection.multivariate else {"mve_filter": "exclude"})


def _status_queries(selection: Selection) -> list[dict[str, str]]:
    """The filters of the listings to ask for: one for each selected status, or a single one without
    a filter where /events can't filter by a selected status, or all that it can are selected."""
    if selection.statuses <= EVENT_FILTERS and len(selection.statuses) < len(EVENT_FILTERS):
        return [{"status": status} for status in sorted(selection.statuses)]
    return [{}]


def _listed(
    api: KalshiApi, params: dict[str, str], endpoint: str = EVENTS_ENDPOINT
) -> Iterator[Outcome]:
    """A listing of events. When it fails, that is a Problem, and the other listings go on."""
    return guarded(_name("events", params), list_events(api, params, endpoint=endpoint))


def _name(what: str, params: dict[str, str]) -> str:
    return " ".join([what, *(f"{key}={value}" for key, value in sorted(params.items()))])


def _historical(api: KalshiApi, params: dict[str, str]) -> Iterator[Outcome]:
    """Markets of the historical tier, each as a listing without its event: events are in the live
    tier alone, and the crawl asks for those that it has not seen."""
    archived = list_markets(api, params, tier=HISTORICAL)
    for found in guarded(_name("archived markets", params), archived):
        yield found if isinstance(found, Problem) else Listing(None, None, (found,))


def _named_markets(api: KalshiApi, tickers: tuple[str, ...]) -> Iterator[Outcome]:
    missing = set(tickers)
    for tier_outcomes in (
        fetch_named_markets(api, tickers),
        _only_missing(api, tickers, missing),
    ):
        for found in tier_outcomes:
            if isinstance(found, Problem):
                yield found
            else:
                missing.discard(str(found.row.market_ticker))
                yield Listing(None, None, (found,))
    for ticker in sorted(missing):
        yield Problem(f"market {ticker}", "unknown to both tiers; check the ticker's spelling")


def _only_missing(
    api: KalshiApi, tickers: tuple[str, ...], missing: set[str]
) -> Iterator[MarketFound | Problem]:
    """What the historical tier has of the markets that the live one did not. `missing` is read only
    when the first of them is asked for: by then the live tier's answers have been taken out."""
    left = [ticker for ticker in tickers if ticker in missing]
    yield from fetch_named_markets(api, left, tier=HISTORICAL)
