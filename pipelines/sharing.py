"""A load that several loaders share: its requests in the warehouse, and who has which until when.

`kalshi_ops.crawls` has one row, the shared load under way or the last one. Who leads makes it
(`preparing`), plans its requests (`open`) and ends it when none is left (`ended`). All of them
claim requests in small batches. A claim is a lease: it is renewed while its loader lives, given
back when the loader ends in good order, and ends by itself when the loader is killed. A request
leaves the table when its package has landed.
"""

import platform
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extras import Json, execute_values

from pipelines.errors import BusyError
from pipelines.ops import HOLDERS, LEAD, LOCK
from pipelines.plan import CandleRequest
from pipelines.settings import LoadSettings
from pipelines.warehouse import select

ASKED = (
    *("events", "markets", "series", "categories", "status", "min_volume", "multivariate"),
    *("intervals", "since", "until", "candles", "again", "api_url"),
)
"""The settings that loaders which share a load must have in common."""

OPEN, ENDED = "open", "ended"

RENEWALS = 3
"""Times that a lease is renewed before it would end."""

CLAIM = """
with next_requests as materialized (
    select request_id from kalshi_ops.crawl_requests
    where
        crawl_id = (
            select crawl_id from kalshi_ops.crawls where crawl_id = %(crawl_id)s and state = 'open'
        )
        and (leased_until is null or leased_until < now() and loader_id <> %(loader_id)s)
    order by request_id
    limit %(number)s
    for update skip locked
)

update kalshi_ops.crawl_requests as claimed
set loader_id = %(loader_id)s, leased_until = now() + %(seconds)s * interval '1 second'
from next_requests
where claimed.request_id = next_requests.request_id
returning
    claimed.request_id, claimed.market_tickers, extract(epoch from claimed.window_start)::bigint,
    extract(epoch from claimed.window_end)::bigint, claimed.interval_min, claimed.tier
"""

RENEW = """
update kalshi_ops.crawl_requests set leased_until = now() + %s * interval '1 second'
where loader_id = %s
"""

GIVE_BACK = """
update kalshi_ops.crawl_requests set loader_id = null, leased_until = null where loader_id = %s
"""

LANDED = """
with landed as (
    delete from kalshi_ops.crawl_requests
    where request_id = any (%(request_ids)s) and loader_id = %(loader_id)s
)

update kalshi_ops.crawl_loaders
set
    requests = requests + %(requests)s,
    windows = windows + %(windows)s,
    candles = candles + %(candles)s
where loader_id = %(loader_id)s
"""

READ = f"""
select
    crawl_id,
    asked,
    state,
    requests,
    leader_pid::text in ({HOLDERS}) as is_led,
    exists (
        select from kalshi_ops.crawl_loaders
        where
            crawl_loaders.crawl_id = crawls.crawl_id
            and crawl_loaders.backend_pid <> pg_backend_pid()
            and crawl_loaders.backend_pid::text in ({HOLDERS})
    ) as has_others
from kalshi_ops.crawls
order by crawl_id desc
limit 1
"""

OTHERS = """
select count(*), coalesce(sum(windows), 0)::bigint, coalesce(sum(candles), 0)::bigint
from kalshi_ops.crawl_loaders
where crawl_id = %s and loader_id <> %s and requests > 0
"""


@dataclass(frozen=True)
class SharedCrawl:
    """The row of kalshi_ops.crawls."""

    crawl_id: int
    asked: dict[str, Any]
    state: str
    requests: int | None
    """How many were planned; None before they were."""
    is_led: bool
    """Whether the loader that leads now has made it or taken it over."""
    has_others: bool
    """Whether another loader that joined it lives."""

    @property
    def is_under_way(self) -> bool:
        return self.state != ENDED

    @property
    def is_planned(self) -> bool:
        return self.is_under_way and self.requests is not None


def read_crawl(connection: Connection) -> SharedCrawl | None:
    """The shared load under way, or the last one."""
    found = select(connection, READ, [*LEAD, *LOCK])
    return SharedCrawl(*found[0]) if found else None


def asked_by(settings: LoadSettings) -> dict[str, Any]:
    """What a load is about, as loaders that share it compare it."""
    values = {name: getattr(settings, name) for name in ASKED}
    return {
        name: sorted(value or []) if isinstance(value, list | None) else value
        for name, value in values.items()
        if value
    }


def require_the_same(crawl: SharedCrawl, settings: LoadSettings) -> None:
    """Raise BusyError where the shared load under way is about something else."""
    mine = asked_by(settings)
    for name in ASKED:
        theirs, ours = crawl.asked.get(name), mine.get(name)
        if theirs != ours:
            raise BusyError(
                f"the shared load under way asks for another {name} ({_shown(theirs)}, not "
                f"{_shown(ours)}): join it with the same arguments, or run again when it has ended"
            )


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value[:3])) + (", ..." if len(value) > 3 else "")
    return "none" if value is None else str(value)


def begin(connection: Connection, settings: LoadSettings) -> int:
    """Make the row of a new shared load in place of the last one's; returns its number."""
    with connection, connection.cursor() as cursor:
        for table in ("crawl_requests", "crawl_loaders", "crawls"):
            cursor.execute(f"delete from kalshi_ops.{table}")
        cursor.execute(
            "insert into kalshi_ops.crawls (asked, leader_pid) values (%s, pg_backend_pid()) "
            "returning crawl_id",
            [Json(asked_by(settings))],
        )
        (crawl_id,) = cursor.fetchone() or (0,)
    return int(crawl_id)


def take_over(connection: Connection, crawl_id: int) -> None:
    """Lead it from now on; nobody claims until `open_again`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "update kalshi_ops.crawls set state = 'preparing', leader_pid = pg_backend_pid() "
            "where crawl_id = %s",
            [crawl_id],
        )


def open_again(connection: Connection, crawl_id: int) -> None:
    """Let all claim what is left."""
    with connection.cursor() as cursor:
        cursor.execute(
            "update kalshi_ops.crawls set state = 'open' where crawl_id = %s", [crawl_id]
        )


def end(connection: Connection, crawl_id: int) -> None:
    """Let the others know that nothing is left."""
    with connection.cursor() as cursor:
        cursor.execute(
            "update kalshi_ops.crawls set state = 'ended', ended_at = now() where crawl_id = %s",
            [crawl_id],
        )


def plan(connection: Connection, crawl_id: int, requests: list[CandleRequest]) -> None:
    """Write all requests, for all to claim."""
    rows = [
        (
            *(crawl_id, list(one.tickers), one.interval_min),
            *(_moment(one.start), _moment(one.end), one.tier),
        )
        for one in requests
    ]
    with connection, connection.cursor() as cursor:
        execute_values(
            cursor,
            "insert into kalshi_ops.crawl_requests (crawl_id, market_tickers, interval_min, "
            "window_start, window_end, tier) values %s",
            rows,
            page_size=1000,
        )
        cursor.execute(
            "update kalshi_ops.crawls set requests = %s, state = 'open' where crawl_id = %s",
            [len(rows), crawl_id],
        )


def count_left(connection: Connection, crawl_id: int) -> int:
    """How many requests have not landed yet."""
    query = "select count(*) from kalshi_ops.crawl_requests where crawl_id = %s"
    return int(select(connection, query, [crawl_id])[0][0])


class Leases:
    """One loader's part of a shared load."""

    def __init__(
        self, connection: Connection, beside: Connection, crawl_id: int, settings: LoadSettings
    ) -> None:
        """`beside`: a connection for the thread that renews."""
        self.crawl_id = crawl_id
        self._connection = connection
        self._beside = beside
        self._seconds = settings.lease_seconds
        self._number = settings.workers
        self._ids: dict[CandleRequest, int] = {}
        self._waiting: deque[CandleRequest] = deque()
        """Claimed and not yet handed out."""
        self._lock = threading.Lock()
        """Two of our statements at once could each wait for rows that the other one has."""
        self._stop = threading.Event()
        (row,) = select(
            connection,
            "insert into kalshi_ops.crawl_loaders (crawl_id, host, backend_pid) "
            "values (%s, %s, pg_backend_pid()) returning loader_id",
            [crawl_id, platform.node()],
        )
        self.loader_id: int = row[0]

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew what is claimed while the block runs, and give back what is left of it."""
        thread = threading.Thread(target=self._renew, name="leases", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            # where the warehouse is away they end by themselves
            with suppress(psycopg2.Error):
                self._execute(GIVE_BACK, [self.loader_id])

    def package(self, least: int, seconds: float) -> Iterator[CandleRequest]:
        """The requests of one package: as long as there are any, and it is not full."""
        taken = 0
        until = time.monotonic() + seconds
        while (taken < least or time.monotonic() < until) and self.has_more():
            taken += 1
            yield self._waiting.popleft()

    def has_more(self) -> bool:
        """Whether there is a request for us; claims the next ones."""
        if not self._waiting:
            self._claim()
        return bool(self._waiting)

    def landed(self, requests: Iterable[CandleRequest], windows: int, candles: int) -> None:
        """Those requests are done; `windows` and `candles` landed with them."""
        ids = [self._ids.pop(request) for request in requests if request in self._ids]
        self._execute(
            LANDED,
            {
                "request_ids": ids,
                "requests": len(ids),
                "windows": windows,
                "candles": candles,
                "loader_id": self.loader_id,
            },
        )

    def others(self) -> tuple[int, int, int]:
        """How many other loaders landed something, and their windows and candles."""
        loaders, windows, candles = select(
            self._connection, OTHERS, [self.crawl_id, self.loader_id]
        )[0]
        return int(loaders), int(windows), int(candles)

    def _claim(self) -> None:
        with self._lock:
            found = select(
                self._connection,
                CLAIM,
                {
                    "loader_id": self.loader_id,
                    "crawl_id": self.crawl_id,
                    "seconds": self._seconds,
                    "number": self._number,
                },
            )
        for request_id, tickers, start, end_, interval_min, tier in sorted(found):
            request = CandleRequest(tuple(tickers), start, end_, interval_min, tier)
            self._ids[request] = request_id
            self._waiting.append(request)

    def _renew(self) -> None:
        while not self._stop.wait(self._seconds / RENEWALS):
            # the load itself finds out when the warehouse is away
            with suppress(psycopg2.Error), self._lock, self._beside.cursor() as cursor:
                cursor.execute(RENEW, [self._seconds, self.loader_id])

    def _execute(self, statement: str, values: Any) -> None:
        with self._lock, self._connection.cursor() as cursor:
            cursor.execute(statement, values)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
