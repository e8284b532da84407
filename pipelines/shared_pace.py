"""The pace that several loaders keep together: a token bucket in `kalshi_ops.pace`."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812

from pipelines.api import SLOWEST, STEP
from pipelines.errors import WarehouseError, first_line

BATCH_SECONDS = 0.25
"""A loader takes at most so many seconds' requests at once: four round trips a second, for one that
uses the whole pace."""

FRESH_SECONDS = 0.5
"""How long a turn may wait to be used. Turns kept for long would come on top of a full bucket."""

FILLED = """
least(
    greatest(1, highest_rate),
    tokens + greatest(0, extract(epoch from clock_timestamp() - filled_at)) * rate
)
"""
"""The bucket as it is now. `clock_timestamp()`: who waited for the row's lock began before it."""

SET_RATE = """
insert into kalshi_ops.pace (api_url, highest_rate, rate, tokens, filled_at)
values (%(api_url)s, %(rate)s, %(rate)s, greatest(1, %(rate)s), clock_timestamp())
on conflict (api_url) do update
set highest_rate = excluded.highest_rate, rate = excluded.rate
"""

TAKE = f"""
update kalshi_ops.pace
set
    tokens = {FILLED} - %(turns)s,
    rate = least(highest_rate, rate + %(answers)s * {STEP} * highest_rate),
    filled_at = greatest(filled_at, clock_timestamp())
where api_url = %(api_url)s
returning tokens, rate, highest_rate
"""

SLOW_DOWN = f"""
update kalshi_ops.pace
set
    tokens = least(0, {FILLED}),
    rate = greatest(rate / 2, {SLOWEST} * highest_rate),
    filled_at = greatest(filled_at, clock_timestamp())
where api_url = %(api_url)s
returning tokens, rate, highest_rate
"""


class SharedPace:
    """As `api.Pace`, for all loaders that share a load: short bursts pass, the mean of all stays at
    the rate, and a refusal slows all of them.

    The server's clock fills the bucket. A loader takes a few turns at once, each with the moment
    from which it may be used; those that are not used soon are lost.
    """

    def __init__(
        self,
        connection: Connection,
        api_url: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`connection` commits by statement; other threads may use it besides."""
        self.count = 0
        self._connection = connection
        self._api_url = api_url
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._turns: deque[float] = deque()
        """When each turn that is taken and not used may be used."""
        self._batch = 1
        self._answers = 0
        """Since the last refusal, not yet told to the others."""
        self._rate = self._highest = 0.0

    def set_rate(self, rate: float) -> None:
        """Who leads says how many requests a second all may send together."""
        self._execute(SET_RATE, rate=rate)

    def wait(self) -> None:
        """Return when the next request may go out."""
        with self._lock:
            lost = self._drop_old_turns()
            if not self._turns:
                self._take(lost)
            due = self._turns.popleft()
            self.count += 1
            delay = due - self._clock()
        if delay > 0:
            self._sleep(delay)

    def slow_down(self) -> None:
        """After a refusal, all wait longer."""
        with self._lock:
            self._turns.clear()
            self._answers = 0
            self._note(self._execute(SLOW_DOWN))

    def speed_up(self) -> None:
        """After an answer. Told to the others with the next turns that are taken."""
        with self._lock:
            if self._rate < self._highest:
                self._answers += 1

    @property
    def rate(self) -> float:
        """Requests a second of all loaders, when this one looked last."""
        return self._rate

    def _drop_old_turns(self) -> int:
        """Returns how many were lost."""
        oldest = self._clock() - FRESH_SECONDS
        lost = 0
        while self._turns and self._turns[0] < oldest:
            self._turns.popleft()
            lost += 1
        return lost

    def _take(self, lost: int) -> None:
        """Take a batch: twice the last one, but no more than were of use when some were lost."""
        self._batch = max(1, self._batch - lost) if lost else self._batch * 2
        self._batch = max(1, min(self._batch, math.floor(self._rate * BATCH_SECONDS)))
        tokens = self._note(self._execute(TAKE, turns=self._batch, answers=self._answers))
        self._answers = 0
        now = self._clock()
        for left in range(self._batch - 1, -1, -1):
            self._turns.append(now + max(0.0, -(tokens + left) / self._rate))

    def _note(self, found: tuple[float, float, float]) -> float:
        tokens, self._rate, self._highest = found
        return tokens

    def _execute(self, statement: str, **values: object) -> tuple[float, float, float]:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement, {"api_url": self._api_url, **values})
                row = cursor.fetchone() if cursor.description else (0.0, 0.0, 0.0)
        except psycopg2.Error as error:
            raise WarehouseError(f"the shared pace: {first_line(error)}") from error
        if row is None:
            raise WarehouseError(
                f"the shared pace of {self._api_url} is gone from kalshi_ops.pace: run it again"
            )
        return float(row[0]), float(row[1]), float(row[2])
