"""What the steps of one load share: what is asked for, whom to ask, and where it lands."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.base.times import TimeRange
from kalshi_elt.kalshi.client import KalshiApi
from kalshi_elt.kalshi.selection import Selection
from kalshi_elt.load.landing.lander import Lander
from kalshi_elt.load.progress import Log
from kalshi_elt.load.settings import LoadSettings
from kalshi_elt.load.summary import LoadSummary
from kalshi_elt.warehouse.connection import Warehouse


@dataclass(frozen=True)
class LoadContext:
    """One load: what is asked for, whom to ask, where it lands, what came of it."""

    settings: LoadSettings
    selection: Selection
    wanted: TimeRange
    warehouse: Warehouse
    connection: Connection
    """The connection that holds the lock; each statement commits."""
    api: KalshiApi
    lander: Lander
    log: Log
    summary: LoadSummary
    started_at: datetime


def make_context(
    settings: LoadSettings,
    wanted: TimeRange,
    warehouse: Warehouse,
    connection: Connection,
    deadline: float = math.inf,
) -> LoadContext:
    """The context of a load that begins now. After `deadline`, on the clock of `time.monotonic`, it
    asks for nothing more."""
    return LoadContext(
        settings=settings,
        selection=settings.selection(),
        wanted=wanted,
        warehouse=warehouse,
        connection=connection,
        api=KalshiApi(
            settings.api_url,
            rate=settings.rate,
            attempts=settings.attempts,
            timeout=settings.timeout,
            deadline=deadline,
        ),
        lander=Lander(warehouse),
        log=Log(settings.log_format),
        summary=LoadSummary(is_dry_run=settings.dry_run),
        started_at=datetime.now(UTC),
    )
