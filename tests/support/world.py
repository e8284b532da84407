"""A warehouse and an exchange whose time a test moves, and what a load asked the exchange for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from simulator import Exchange, Simulator
from tests.conftest import Project, Result
from tests.support.clock import MINUTE, Clock

NOON = int(datetime(2026, 11, 20, 12, 0, tzinfo=UTC).timestamp())
SEED = "KXPRESPERSON-28"
GNEWS = f"{SEED}-GNEWS"
LATE_CORRECTIONS = 5 * MINUTE
"""How many seconds after its end a candle may still change: `ops.coverage` has it, too, and tests
say it once more, so that it is not changed unnoticed."""

BATCH = "/markets/candlesticks"
FEW_TRIES = {"SOURCES__KALSHI__ATTEMPTS": "1"}

Stretch = tuple[int, int]


@dataclass(frozen=True)
class World:
    """A warehouse and an exchange whose time the test moves."""

    project: Project
    clock: Clock

    @property
    def exchange(self) -> Exchange:
        return self.project.simulator.exchange

    def run(self, *arguments: str, **environment: str) -> Result:
        """Run a load. What it asked for can be seen by `asked` afterwards."""
        self.project.simulator.requests.clear()
        with self.clock.in_force():
            return self.project.run("load", *arguments, **environment)

    def load(self, *arguments: str) -> Result:
        result = self.run(*arguments)
        assert result.status == 0, result.err
        return result

    def asked(self, ticker: str = GNEWS, interval: int = 1) -> list[Stretch]:
        """The stretches of candles asked for of a market since `run`, in order of time."""
        return sorted(
            (int(request.query["start_ts"]) - 1, int(request.query["end_ts"]))
            for request in self.project.simulator.requests
            if request.path.endswith("/candlesticks")
            and request.query["period_interval"] == str(interval)
            and (
                ticker in request.query.get("market_tickers", "").split(",")
                or f"/{ticker}/" in request.path
            )
        )

    @property
    def candle_requests(self) -> int:
        return sum(r.path.endswith("/candlesticks") for r in self.project.simulator.requests)

    def covered(self, ticker: str = GNEWS, interval: int = 1) -> list[Stretch]:
        """The stretches of a market's candles that count as covered."""
        return [
            (int(start), int(end))
            for start, end in self.project.query(
                "select extract(epoch from lower(r)), extract(epoch from upper(r)) "
                "from kalshi_ops.coverage, unnest(covered) as r "
                "where market_ticker = %s and interval_min = %s order by 1",
                ticker,
                interval,
            )
        ]

    def candles(self, ticker: str = GNEWS, interval: int = 1) -> list[int]:
        """The ends of a market's landed candles, each once."""
        return [
            end
            for (end,) in self.project.query(
                "select distinct (candle ->> 'end_period_ts')::bigint "
                "from kalshi_raw.candlesticks, jsonb_array_elements(payload) as candle "
                "where market_ticker = %s and interval_min = %s order by 1",
                ticker,
                interval,
            )
        ]

    def real_candles(
        self, since: float, until: float, ticker: str = GNEWS, interval: int = 1
    ) -> list[int]:
        """The ends of the candles that the exchange has in (since, until]."""
        found = self.exchange.candles(ticker, interval, int(since) + 1, int(until))
        return [candle.end_ts for candle in found]


@contextmanager
def world_at_noon(project: Project) -> Iterator[World]:
    """An exchange with the seed event and a few more, and an empty warehouse, at 30 s past noon."""
    clock = Clock(NOON + 30)
    with Simulator(Exchange.demo(clock=clock)) as simulator:
        yield World(Project(project.database_url, simulator, project.work), clock)


def hull(stretches: list[Stretch]) -> Stretch:
    """The one stretch that these make together. Fails when there is a gap between two of them."""
    for (_, end), (start, _) in pairwise(stretches):
        assert end == start, f"{stretches} are not adjacent"
    return stretches[0][0], stretches[-1][1]
