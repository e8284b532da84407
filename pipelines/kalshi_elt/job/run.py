"""One job: load, then transform, under one lock, with one row in `kalshi_ops.runs`."""

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.base.errors import KalshiEltError, WarehouseError
from kalshi_elt.base.text import redacted
from kalshi_elt.base.times import TimeRange
from kalshi_elt.job import record
from kalshi_elt.job.record import Job
from kalshi_elt.load.context import LoadContext, make_context
from kalshi_elt.load.load import load_under_lock
from kalshi_elt.load.settings import LoadSettings
from kalshi_elt.ops.gaps import count_gaps
from kalshi_elt.ops.lock import hold_lock
from kalshi_elt.transform.build import DbtError, transform
from kalshi_elt.transform.rejects import count_rejects
from kalshi_elt.warehouse.citus import server_said
from kalshi_elt.warehouse.connection import Warehouse

SHARE_OF_TRANSFORM = 1 / 3
"""Of the budget, where no run has shown how long transforming takes."""

MOST_OF_TRANSFORM = 1 / 2
"""Of the budget: more would leave loading too little to come forward."""

MARGIN = 1.5
"""Transforming may take so much longer than it did of late."""

LAST_SECONDS = 3.0
"""Kept for the last statements of a run."""

SECONDS_BETWEEN_RINGS = 5.0
"""An alarm may ring within a callback, where Python passes over what it raises (seen in a soak)."""


def run(settings: LoadSettings, wanted: TimeRange, warehouse: Warehouse) -> Job:
    """Load what `settings` select, then type and test it; within `settings.budget`, where given.

    What goes wrong on the way is in the job that is returned, and noted in `kalshi_ops.runs`.
    Raises BusyError when another job holds the lock, WarehouseError when the warehouse is not there
    any more, and KeyboardInterrupt when it is stopped.
    """
    deadline = time.monotonic() + settings.budget_seconds - LAST_SECONDS
    with hold_lock(warehouse, wait=settings.wait) as connection:
        job = record.begin(connection, settings)
        try:
            context = make_context(
                settings, wanted, warehouse, connection, _load_until(connection, settings, deadline)
            )
            _load(job, context)
            _transform(job, warehouse, deadline)
            with warehouse.connect() as reading:
                job.rejects, job.gaps = count_rejects(reading), count_gaps(reading)
            job.end()
        except BaseException as error:
            is_stopped = isinstance(error, KeyboardInterrupt)
            job.outcome = record.INTERRUPTED if is_stopped else record.FAILED
            job.errors.append(
                "stopped" if is_stopped else redacted(server_said(error), warehouse.password)
            )
            raise
        finally:
            _note_the_end(warehouse, connection, job)
    return job


def _load_until(connection: Connection, settings: LoadSettings, deadline: float) -> float:
    """When to stop loading, so that there is time to type what landed."""
    budget = settings.budget_seconds
    if budget == math.inf:
        return math.inf
    usual = record.usual_transform_seconds(connection)
    wanted = budget * SHARE_OF_TRANSFORM if usual is None else usual * MARGIN
    return deadline - min(wanted, budget * MOST_OF_TRANSFORM)


def _load(job: Job, context: LoadContext) -> None:
    """What Kalshi does not answer keeps nothing that landed from being typed."""
    started = time.monotonic()
    job.load = context.summary
    try:
        load_under_lock(context)
    except WarehouseError:
        raise
    except KalshiEltError as error:
        job.errors.append(str(error))
    finally:
        job.load_seconds = round(time.monotonic() - started, 3)


def _transform(job: Job, warehouse: Warehouse, deadline: float) -> None:
    """Cut off at the deadline: the models that were built stay, the next run builds the others."""
    started = time.monotonic()
    try:
        with _alarm(deadline):
            job.transform = transform(warehouse, quiet=True)
    except _TimeIsUp:
        job.is_cut_off = True
    except DbtError as error:
        job.transform = error.outcome
        job.errors.append(redacted(str(error), warehouse.password))
    except KalshiEltError as error:
        job.errors.append(redacted(str(error), warehouse.password))
    finally:
        job.transform_seconds = round(time.monotonic() - started, 3)


def _note_the_end(warehouse: Warehouse, connection: Connection, job: Job) -> None:
    """On the connection that holds the lock, or a new one if the server was away meanwhile."""
    try:
        record.end(connection, job)
    except psycopg2.Error:
        try:
            with warehouse.connect() as another:
                record.end(another, job)
        except (WarehouseError, psycopg2.Error):
            # the run that comes next marks this one as killed
            return


class _TimeIsUp(KeyboardInterrupt):
    """As an interrupt, which is what dbt cancels its queries for."""


@contextmanager
def _alarm(deadline: float) -> Iterator[None]:
    """Raise _TimeIsUp in the block when the deadline comes."""
    if deadline == math.inf:
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise _TimeIsUp

    before = signal.signal(signal.SIGALRM, ring)
    seconds = max(0.001, deadline - time.monotonic())
    signal.setitimer(signal.ITIMER_REAL, seconds, SECONDS_BETWEEN_RINGS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
