"""The job as a schedule runs it, while everything around it breaks; `make soak` does so for longer.

Every few seconds `kalshi-elt run` starts, a process of its own, and something goes wrong: Kalshi
answers badly or not at all, the process is killed or stopped, Postgres dies or goes away for a
while. In the end the typed tables are the truth, nothing has leaked, and `kalshi_ops.runs` tells
what happened.

The suite has one round, in which each of these happens once, with a transform of few models and no
data tests; `make soak` goes on for ten minutes with all of it.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from kalshi_elt.warehouse.embedded import EmbeddedServer
from simulator import Exchange, Simulator
from simulator.prices import ONE_DOLLAR
from tests.conftest import Project, new_database
from tests.support.processes import start_command

pytestmark = pytest.mark.slow

LONGEST_RUN = 120.0
"""Seconds; a run that takes longer hangs."""

FAULTS = (
    "rate_limited",
    "server_error",
    "unavailable",
    "html",
    "truncated_json",
    "cut_body",
    "reset",
)

FEW_MODELS = {
    "kalshi_elt.transform.build.WITHOUT_UNIT_TESTS": (
        *("-s", "+candles", "+rejects", "--indirect-selection", "empty"),
    )
}
"""In place of all of them."""

LONG = 120.0
"""From so many seconds on, runs are the whole job."""

MOST_GROWTH = 1.25
"""A run at the end may take so much more memory than one at the start."""


@dataclass
class Soak:
    """A warehouse, and what was done to it so far."""

    project: Project
    server: EmbeddedServer
    folder: Path
    dice: random.Random
    seconds: float
    """How long it shall go on."""
    statuses: Counter[int] = field(default_factory=Counter)
    """Runs by exit status; minus the signal where one was killed."""

    @property
    def is_long(self) -> bool:
        return self.seconds >= LONG

    def start(self) -> ForkServerProcess:
        """A run, as a scheduler starts it."""
        folder = self.folder
        return start_command(
            ("run", "--status", "all", "--budget", "60s"),
            {
                "DATABASE_URL": self.project.database_url,
                "KALSHI_API_URL": self.project.simulator.url,
                "DLT_DATA_DIR": str(folder / "dlt"),
                "DBT_TARGET_PATH": str(folder / "target"),
                "DBT_LOG_PATH": str(folder / "logs"),
                "TMPDIR": str(folder / "tmp"),
                "SOURCES__KALSHI__RATE": "1000",
                "SOURCES__KALSHI__ATTEMPTS": "3",
                "SOURCES__KALSHI__TIMEOUT": "2",
            },
            out=folder / "out",
            err=folder / "err",
            peak=folder / "peak",
            patches={} if self.is_long else FEW_MODELS,
        )

    def finish(self, process: ForkServerProcess) -> int:
        """Wait for a run; returns its exit status."""
        process.join(LONGEST_RUN)
        assert process.exitcode is not None, f"a run hangs: {self.said('err')}"
        self.statuses[process.exitcode] += 1
        return process.exitcode

    def in_the_middle(self) -> None:
        """Wait until a run is somewhere in its work."""
        time.sleep(self.dice.uniform(0.1, 7.0 if self.is_long else 3.0))

    def said(self, stream: str) -> str:
        return (self.folder / stream).read_text()[-3000:]

    # What goes wrong

    def nothing(self) -> None:
        self.finish(self.start())

    def kalshi_answers_badly(self) -> None:
        for kind in self.dice.sample(FAULTS, 3):
            self.project.simulator.faults.add(kind, count=self.dice.randint(1, 4))  # type: ignore[arg-type]
        self.finish(self.start())
        self.project.simulator.faults.clear()

    def kalshi_hangs(self) -> None:
        self.project.simulator.faults.add("hang", count=2, seconds=5)
        self.finish(self.start())
        self.project.simulator.faults.clear()

    def the_run_is_killed(self) -> None:
        self._signal_a_run(signal.SIGKILL)

    def the_run_is_stopped(self) -> None:
        self._signal_a_run(signal.SIGTERM)

    def _signal_a_run(self, number: signal.Signals) -> None:
        process = self.start()
        self.in_the_middle()
        if process.is_alive():
            assert process.pid
            os.kill(process.pid, number)
        self.finish(process)

    def two_runs_start_at_once(self) -> None:
        first, second = self.start(), self.start()
        self.finish(first)
        self.finish(second)

    def postgres_is_killed(self) -> None:
        process = self.start()
        self.in_the_middle()
        postmaster = int((self.server.data / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
        self.finish(process)
        self.server.start()

    def postgres_is_stopped_for_a_while(self) -> None:
        process = self.start()
        self.in_the_middle()
        self.server.stop()
        time.sleep(1)
        self.server.start()
        self.finish(process)

    def troubles(self) -> list[Callable[[], None]]:
        """Each of them, in an order of its own."""
        return self.dice.sample(
            [
                *(self.nothing, self.kalshi_answers_badly, self.kalshi_hangs),
                *(self.the_run_is_killed, self.the_run_is_stopped, self.two_runs_start_at_once),
                *(self.postgres_is_killed, self.postgres_is_stopped_for_a_while),
            ],
            8,
        )


@pytest.fixture
def soak(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Soak]:
    seconds: float = request.config.getoption("--soak-seconds")
    server = EmbeddedServer(tmp_path_factory.mktemp("pg"))
    (tmp_path / "tmp").mkdir()
    exchange = Exchange.generate(events=8, markets_per_event=3, multivariate=1, pace="quiet")
    with Simulator(exchange) as simulator:
        project = Project(new_database(server.start()), simulator, tmp_path)
        yield Soak(project, server, tmp_path, random.Random(6), seconds)
    server.stop()


def test_a_job_that_everything_happens_to(soak: Soak) -> None:
    assert soak.finish(soak.start()) == 0, soak.said("err")
    files = count_files(soak.folder)
    deadline = time.monotonic() + soak.seconds
    rounds = 0
    while time.monotonic() < deadline:
        for trouble in soak.troubles():
            trouble()
        rounds += 1
    # what is left undone, the next two take up: the second finds nothing but new minutes
    for _ in range(2):
        assert soak.finish(soak.start()) == 0, soak.said("err")

    print(f"{rounds} rounds, exit statuses {dict(soak.statuses)}")
    assert_the_truth(soak.project)
    assert_a_wrong_candle_would_be_noticed(soak.project)
    assert_nothing_leaked(soak, files)
    assert_the_runs_tell(soak)


def assert_the_truth(project: Project) -> None:
    """Every candle that is covered is as the exchange has it, and there is no other."""
    covered = project.query(
        "select market_ticker, extract(epoch from lower(covered))::bigint, "
        "extract(epoch from upper(covered))::bigint from kalshi_ops.coverage"
    )
    assert len(covered) >= 20
    for ticker, start, end in covered:
        typed = project.query(
            "select extract(epoch from end_ts)::bigint, yes_bid_close_dollars, "
            "yes_ask_close_dollars, volume_fp from kalshi.candles "
            "where market_ticker = %s and end_ts > to_timestamp(%s) and end_ts <= to_timestamp(%s) "
            "order by 1",
            *(ticker, start, end),
        )
        candles = project.simulator.exchange.candles(ticker, 1, start + 1, end)
        assert typed == [
            (one.end_ts, dollars(one.bid_close), dollars(one.ask_close), contracts(one.volume))
            for one in candles
        ], ticker
    assert project.query(
        "select count(*), count(*) filter (where event_ticker is null) from kalshi.markets"
    ) == [(24, 0)]
    assert project.query("select count(*) from kalshi.rejects") == [(0,)]


def assert_a_wrong_candle_would_be_noticed(project: Project) -> None:
    """The check of the truth can fail."""
    project.query(
        "delete from kalshi.candles where (market_ticker, end_ts) = "
        "(select market_ticker, min(end_ts) from kalshi.candles group by 1 limit 1)"
    )
    with pytest.raises(AssertionError):
        assert_the_truth(project)


def dollars(ticks: int) -> Decimal:
    return Decimal(ticks) / ONE_DOLLAR


def contracts(hundredths: int) -> Decimal:
    return Decimal(hundredths) / 100


def assert_nothing_leaked(soak: Soak, files: int) -> None:
    project = soak.project
    others = (
        "select count(*) from pg_stat_activity "
        "where backend_type = 'client backend' and pid <> pg_backend_pid()"
    )
    deadline = time.monotonic() + 10
    while project.query(others) != [(0,)]:
        assert time.monotonic() < deadline, project.query(others.replace("count(*)", "query"))
        time.sleep(0.1)
    assert project.query("select count(*) from pg_class where relpersistence = 't'") == [(0,)]
    assert project.query("select count(*) from pg_locks where locktype = 'advisory'") == [(0,)]
    assert project.query("select count(*) from pg_prepared_xacts") == [(0,)]
    assert list((soak.folder / "tmp").iterdir()) == []
    assert list((soak.folder / "dlt").rglob("*.csv")) == []
    assert count_files(soak.folder) <= files, "files pile up"
    # of the runs that ended well, in order
    memory = [int(line) for line in (soak.folder / "peak").read_text().split()]
    first, last = memory[:2], memory[-2:]
    assert max(last) < MOST_GROWTH * max(first), f"memory grew: {first} to {last} kB"


def count_files(folder: Path) -> int:
    """Files that loads keep. What dbt keeps is one folder, written over each time."""
    return sum(path.is_file() for path in (folder / "dlt").rglob("*"))


def assert_the_runs_tell(soak: Soak) -> None:
    """A run that could not even note its start, as Postgres was away, has no row."""
    rows = soak.project.query(
        "select outcome, count(*), bool_and(ended_at is not null), bool_and(error is not null) "
        "from kalshi_ops.runs group by outcome"
    )
    found = {outcome: number for outcome, number, *_ in rows}
    statuses = soak.statuses
    assert "running" not in found
    assert statuses[0] <= found["succeeded"] + found.get("out of time", 0)
    assert sum(found.values()) <= sum(statuses.values()) - statuses[3]
    for outcome, _, has_end, has_error in rows:
        assert has_end is (outcome != "killed"), outcome
        assert has_error is (outcome in ("failed", "interrupted")), outcome
    assert set(statuses) <= {0, 1, 3, 130, -signal.SIGKILL, -signal.SIGTERM}
    said = (soak.folder / "err").read_text()
    assert "kalshi-elt: unexpected" not in said
    for before, line in pairwise(said.splitlines()):
        # Python itself prints one when a signal comes within a callback, and goes on
        assert not line.startswith("Traceback") or before.startswith("Exception ignored in"), said
