"""One load, from settings to a summary: recover → crawl → plan → fetch → land."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from kalshi_elt.base.errors import OutOfTimeError, RefusedError
from kalshi_elt.base.problems import Problem
from kalshi_elt.base.text import count
from kalshi_elt.base.times import TimeRange
from kalshi_elt.kalshi.request_plan import CandleRequest
from kalshi_elt.load import candles
from kalshi_elt.load.context import LoadContext, make_context
from kalshi_elt.load.crawl import Crawl
from kalshi_elt.load.settings import LoadSettings
from kalshi_elt.load.summary import LoadSummary
from kalshi_elt.ops import coverage
from kalshi_elt.ops.lock import forget, hold_lock
from kalshi_elt.warehouse.connection import Warehouse


def load(settings: LoadSettings, wanted: TimeRange, warehouse: Warehouse) -> LoadSummary:
    """Land what `settings` select, and its candles of the `wanted` range.

    What can't be landed is a problem in the summary, and the load goes on. Raises KalshiEltError
    when it can't begin or go on at all: the API or the warehouse can't be reached, or another load
    is under way.
    """
    with hold_lock(warehouse, wait=settings.wait) as connection:
        return load_under_lock(make_context(settings, wanted, warehouse, connection))


def load_under_lock(context: LoadContext) -> LoadSummary:
    """The same as `load`, for a context whose connection holds the lock. Returns the context's own
    summary, in which the caller finds what was done before an error, too."""
    with measured(context):
        if not context.settings.dry_run:
            recover(context)
        requests = list_and_plan(context)
        if context.settings.candles and context.settings.dry_run:
            print(candles.report(context, requests))
        elif context.settings.candles:
            candles.fetch_and_land(context, requests)
    return context.summary


@contextmanager
def measured(context: LoadContext) -> Iterator[None]:
    """Note in the summary the time and the requests that the block took. That its time was up ends
    the block without an error."""
    started = time.monotonic()
    try:
        yield
    except OutOfTimeError:
        context.summary.is_out_of_time = True
    finally:
        context.summary.requests = context.api.request_count
        context.summary.outcomes = dict(sorted(context.api.outcomes.items()))
        context.summary.seconds = time.monotonic() - started
    if context.summary.is_out_of_time and context.summary.requests and not context.api.has_answered:
        context.summary.note(Problem("Kalshi", "gave no answer before the time was up"))


def list_and_plan(context: LoadContext) -> list[CandleRequest]:
    """Crawl: list and land what is selected. Returns the requests to send for its candles."""
    crawl = Crawl(context)
    scope = crawl.run()
    _say_what_was_listed(context)
    if not context.settings.candles:
        return []
    return candles.plan(context, crawl.chosen.values(), scope)


def recover(context: LoadContext) -> None:
    """Bring raw tables, dlt's working folder and coverage in order after a load that was killed.

    Packages that it left pending are landed and counted as covered, and tables that are not there
    are made. When the raw tables were dropped, what was known of their rows is forgotten.
    """
    if not context.lander.has_landed(context.connection):
        forget(context.connection)
    _recover_pending(context)
    if orphans := context.lander.adopt_orphans(context.connection):
        context.log.say(f"adopted {count(orphans, 'load')} of which dlt had lost the record")
    context.lander.create_tables(context.connection)
    coverage.count_finished_loads(context.connection)


def _recover_pending(context: LoadContext) -> None:
    """Land what killed loads left pending on this machine."""
    try:
        if pending := context.lander.recover():
            context.log.say(f"landed {count(pending, 'package')} that an earlier load left pending")
    except RefusedError as error:
        context.summary.note(Problem("what an earlier load left pending", str(error)))


def _say_what_was_listed(context: LoadContext) -> None:
    summary = context.summary
    context.log.say(
        f"listed {count(summary.events, 'event')} and {count(summary.markets, 'market')} to land, "
        f"{summary.unchanged:,} unchanged; {count(summary.selected, 'market')} selected",
        events=summary.events,
        markets=summary.markets,
        unchanged=summary.unchanged,
        selected=summary.selected,
    )
