"""One load, from settings to a summary: settle → crawl → plan → fetch → land."""

import time

from pipelines import candles, coverage
from pipelines.context import LoadContext, make_context
from pipelines.crawl import Crawl
from pipelines.errors import OutOfTimeError, RefusedError
from pipelines.fetch import Problem
from pipelines.ops import forget, hold_lock
from pipelines.settings import LoadSettings
from pipelines.summary import LoadSummary, count
from pipelines.timerange import TimeRange
from pipelines.warehouse import Warehouse


def load(settings: LoadSettings, wanted: TimeRange, warehouse: Warehouse) -> LoadSummary:
    """Land what `settings` select, and its candles of the time `wanted`.

    What can't be landed is a problem in the summary and stops nothing else. Raises KalshiEltError
    when nothing more can be done: no API at the start, no warehouse, another load under way.
    """
    with hold_lock(warehouse, wait=settings.wait) as connection:
        return load_under_lock(make_context(settings, wanted, warehouse, connection))


def load_under_lock(context: LoadContext) -> LoadSummary:
    """The same for a context whose connection holds the lock. The summary is the context's: what
    was done before an error stands in it."""
    started = time.monotonic()
    try:
        if not context.settings.dry_run:
            _settle(context)
        _crawl_and_fetch(context)
    except OutOfTimeError:
        context.summary.is_out_of_time = True
    finally:
        context.summary.requests = context.api.request_count
        context.summary.outcomes = dict(sorted(context.api.outcomes.items()))
        context.summary.seconds = time.monotonic() - started
    if context.summary.is_out_of_time and context.summary.requests and not context.api.has_answered:
        context.summary.note(Problem("Kalshi", "gave no answer before the time was up"))
    return context.summary


def _crawl_and_fetch(context: LoadContext) -> None:
    crawl = Crawl(context)
    scope = crawl.run()
    _say_what_was_listed(context)
    if not context.settings.candles:
        return
    requests = candles.plan(context, crawl.chosen.values(), scope)
    if context.settings.dry_run:
        print(candles.report(context, requests))
    else:
        candles.fetch_and_land(context, requests)


def _settle(context: LoadContext) -> None:
    """Finish what the last load left, then count what it covered."""
    if not context.lander.has_landed(context.connection):
        forget(context.connection)
    try:
        if pending := context.lander.settle():
            context.log.say(f"landed {count(pending, 'package')} that an earlier load left pending")
    except RefusedError as error:
        context.summary.note(Problem("what an earlier load left pending", str(error)))
    if orphans := context.lander.adopt_orphans(context.connection):
        context.log.say(f"adopted {count(orphans, 'load')} of which dlt had lost the record")
    context.lander.create_tables(context.connection)
    coverage.count_finished_loads(context.connection)


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
