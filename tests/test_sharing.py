"""`load --share`: several loaders share one load, and any of them may die.

Every case with several loaders ends the same way: each wanted window has landed, and none of them
twice but for those that a killed loader had claimed.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from pipelines.embedded import EmbeddedServer
from pipelines.ops import HOLDERS, LOCK, share_lock
from pipelines.warehouse import LOADER, open_warehouse
from tests.clock import iso
from tests.conftest import Project, new_database
from tests.simulator import Exchange, Simulator

pytestmark = pytest.mark.slow

DAY = 86_400
FROZEN = int(time.time()) // DAY * DAY - DAY - DAY // 2
"""The simulator's only moment."""

WANTED = (
    *("load", "--share", "--status", "all"),
    *("--since", iso(FROZEN - 2 * DAY), "--until", iso(FROZEN)),
)
SOON = 40.0

RUNNER = """
import json, os, sys
from pipelines import cli
cli.use_project_settings()
from pipelines import shared_load
for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        _, status = os.waitpid(order["wait"], 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
        continue
    child = os.fork()
    if child == 0:
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1), os.dup2(output, 2), os.close(0)
        status = cli.main(order["arguments"])
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(status)
    print(child, flush=True)
"""
"""Starts loaders, each a process of its own. It imports once: dlt takes seconds to import."""

Window = tuple[str, int, int, int]
"""Market, interval, start and end."""


@dataclass
class Loader:
    """One process."""

    machine: "Machine"
    pid: int
    output: Path

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        return self.machine.order(wait=self.pid)

    def must_end_well(self) -> str:
        """Returns what it said."""
        status = self.wait()
        assert status == 0, self.said
        return self.said

    @property
    def said(self) -> str:
        return self.output.read_text()

    def wait_until_it_says(self, text: str) -> None:
        wait_until(lambda: text in self.said, text)


@dataclass
class Machine:
    """Starts loaders that share a folder."""

    project: Project
    folder: Path
    process: "subprocess.Popen[str]"
    started: int = 0

    def order(self, **order: Any) -> int:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def start(self, *arguments: str) -> Loader:
        self.started += 1
        output = self.folder / f"output {self.started}"
        output.touch()
        pid = self.order(arguments=arguments or WANTED, output=str(output))
        return Loader(self, pid, output)

    @property
    def slots(self) -> set[str]:
        return {path.name for path in self.folder.glob("dlt/pipelines/*/loaders/*/")}


@contextmanager
def machine(project: Project, folder: Path, **settings: object) -> Iterator[Machine]:
    folder.mkdir(parents=True, exist_ok=True)
    values = {"RATE": 40, "REQUESTS_PER_PACKAGE": 4, "SECONDS_PER_PACKAGE": 0, "LEASE_SECONDS": 2}
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER],
        env={
            **os.environ,
            "DATABASE_URL": project.database_url,
            "KALSHI_API_URL": project.simulator.url,
            "DLT_DATA_DIR": str(folder / "dlt"),
            **{f"SOURCES__KALSHI__{name}": str(value) for name, value in values.items()},
            **{f"SOURCES__KALSHI__{name}": str(value) for name, value in settings.items()},
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Machine(project, folder, process)


def wait_until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(tmp_path_factory.mktemp("pg"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def exchange() -> Exchange:
    return Exchange.generate(
        events=20, markets_per_event=9, multivariate=3, pace="quiet", clock=lambda: FROZEN
    )


@pytest.fixture
def project(server: EmbeddedServer, exchange: Exchange, dbt_work: Path) -> Iterator[Project]:
    with Simulator(exchange) as simulator:
        yield Project(new_database(server.start()), simulator, dbt_work)


@pytest.fixture
def here(project: Project, tmp_path: Path) -> Iterator[Machine]:
    with machine(project, tmp_path / "here") as running:
        yield running


def is_open(project: Project) -> bool:
    """Whether a shared load is planned and under way."""
    if project.query("select to_regclass('kalshi_ops.crawls') is null")[0][0]:
        return False
    return project.query("select exists (select from kalshi_ops.crawls where state = 'open')")[0][0]


def leased_by_the_dead(project: Project) -> set[Window]:
    """What loaders that are no more have claimed."""
    return windows_of(
        project,
        "select unnest(market_tickers) as market_ticker, interval_min, window_start, window_end "
        "from kalshi_ops.crawl_requests inner join kalshi_ops.crawl_loaders using (loader_id) "
        f"where backend_pid::text not in ({HOLDERS})",
        *LOCK,
    )


def windows_of(project: Project, query: str, *values: object) -> set[Window]:
    return {
        (ticker, int(interval), int(start), int(end))
        for ticker, interval, start, end in project.query(
            "select market_ticker, interval_min, extract(epoch from window_start), "
            f"extract(epoch from window_end) from ({query}) as windows",
            *values,
        )
    }


LANDED = "select market_ticker, interval_min, window_start, window_end from kalshi_raw.candlesticks"
TWICE = f"{LANDED} group by 1, 2, 3, 4 having count(*) > 1"


def asked_twice(project: Project) -> set[Window]:
    """Windows that Kalshi was asked for more than once."""
    asked: Counter[Window] = Counter()
    for request in project.simulator.requests.all():
        # what only the historical tier knows is asked there after the live one
        if request.path != "/markets/candlesticks":
            continue
        start, end = int(request.query["start_ts"]) - 1, int(request.query["end_ts"])
        interval = int(request.query["period_interval"])
        asked.update((t, interval, start, end) for t in request.query["market_tickers"].split(","))
    assert asked
    return {window for window, times in asked.items() if times > 1}


def assert_all_landed(project: Project, but: set[Window] = frozenset()) -> None:  # type: ignore[assignment]
    """Nothing is missing, and nothing landed twice `but` these."""
    assert project.query("select count(*) from kalshi_ops.coverage where has_gap") == [(0,)]
    assert project.query("select count(*) > 150 from kalshi_ops.coverage") == [(True,)]
    assert windows_of(project, TWICE) <= but
    assert asked_twice(project) <= but
    assert project.query("select state from kalshi_ops.crawls") == [("ended",)]
    assert project.query("select count(*) from kalshi_ops.crawl_requests") == [(0,)]
    assert project.query(
        "select count(*) from (select load_id from kalshi_raw._dlt_loads "
        "group by load_id having count(*) > 1) as loads"
    ) == [(0,)]


def test_four_loaders_share_a_load_and_one_of_them_is_killed(here: Machine) -> None:
    loaders = [here.start() for _ in range(4)]
    wait_until(lambda: is_open(here.project), "a plan")
    victim = next(one for one in loaders if "leading" not in one.said)
    victim.wait_until_it_says("left to all loaders")
    victim.signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    lost = leased_by_the_dead(here.project)
    others = [one.must_end_well() for one in loaders if one is not victim]

    assert_all_landed(here.project, but=lost)
    assert lost, "the case did not come about"
    assert all("left to all loaders" in said for said in others), "all had a share"
    assert all("3 other loaders landed" in said for said in others)
    assert here.slots == {"1", "2", "3"}


def test_what_a_killed_loader_left_pending_lands_with_the_next_load(here: Machine) -> None:
    """Its folder is nobody's any more: also a load that shares nothing settles it."""
    project = here.project
    loaders = [here.start() for _ in range(2)]
    for one in loaders:
        one.wait_until_it_says("left to all loaders")
    victim = next(one for one in loaders if "leading" not in one.said)
    with closing(psycopg2.connect(project.database_url)) as blocker, blocker.cursor() as cursor:
        cursor.execute("lock table kalshi_raw.candlesticks in exclusive mode")
        pending = here.folder / "dlt" / "pipelines"
        wait_until(lambda: len(list(pending.rglob("load/normalized/*/"))) == 2, "two packages")
        victim.signal(signal.SIGKILL)
        victim.wait()
    next(one for one in loaders if one is not victim).must_end_well()
    lost = windows_of(project, TWICE)
    assert_all_landed(project, but=lost)

    said = here.start("load", *WANTED[2:]).must_end_well()

    if here.slots or "left pending" not in said:
        # the victim may have had the first folder, whose packages are any load's own
        assert here.slots == set(), said
    assert not list(pending.rglob("load/normalized/*/"))


def test_another_one_leads_when_the_leader_is_killed(here: Machine) -> None:
    leader = here.start()
    leader.wait_until_it_says("leading shared load")
    others = [here.start() for _ in range(2)]
    for one in others:
        one.wait_until_it_says("left to all loaders")
    leader.signal(signal.SIGKILL)
    leader.wait()
    lost = leased_by_the_dead(here.project)
    said = [one.must_end_well() for one in others]

    assert_all_landed(here.project, but=lost)
    assert lost, "the case did not come about"
    assert sum("as its leader has gone" in text for text in said) == 1
    listings = here.project.simulator.requests.all("/events")
    assert len(listings) == len({str(one.query) for one in listings}), "listed once"


def test_another_one_lists_when_the_leader_is_killed_while_it_lists(here: Machine) -> None:
    faults = here.project.simulator.faults
    hang = faults.add("hang", path="/events", count=1, seconds=600)
    leader = here.start()
    wait_until(lambda: hang.hits == 1, "the listing")
    other = here.start()
    other.wait_until_it_says("joined shared load")
    leader.signal(signal.SIGKILL)
    leader.wait()
    faults.clear()

    assert "leading shared load" in other.must_end_well()

    assert_all_landed(here.project)


def test_what_a_dead_load_left_undone_is_planned_anew(here: Machine) -> None:
    """Nobody works on its requests any more, so the next load may be about something else."""
    leader = here.start()
    leader.wait_until_it_says("left to all loaders")
    leader.signal(signal.SIGKILL)
    leader.wait()
    here.project.simulator.requests.clear()
    others = [here.start("load", "--share", *WANTED[2:], "--min-volume", "0.5") for _ in range(2)]
    for one in others:
        one.must_end_well()
    here.start().must_end_well()

    assert_all_landed(here.project, but=windows_of(here.project, TWICE))


def test_a_loader_that_is_stopped_gives_back_what_it_claimed(
    project: Project, tmp_path: Path
) -> None:
    with machine(project, tmp_path, LEASE_SECONDS=600) as here:
        loaders = [here.start() for _ in range(2)]
        for one in loaders:
            one.wait_until_it_says("left to all loaders")
        leader, other = sorted(loaders, key=lambda one: "leading" not in one.said)
        other.signal(signal.SIGTERM)
        assert other.wait() == 130
        assert leased_by_the_dead(project) == set()
        leader.must_end_well()

    assert "Traceback" not in other.said
    # a package that was landing when it was stopped lands with the next load
    assert_all_landed(project, but=windows_of(project, TWICE) | asked_twice(project))


def test_a_leader_that_is_stopped_leaves_the_rest_to_the_others(
    project: Project, tmp_path: Path
) -> None:
    with machine(project, tmp_path, LEASE_SECONDS=600) as here:
        leader = here.start()
        leader.wait_until_it_says("leading shared load")
        other = here.start()
        other.wait_until_it_says("left to all loaders")
        leader.signal(signal.SIGINT)
        assert leader.wait() == 130
        assert "as its leader has gone" in other.must_end_well()

    assert project.query("select count(*) from kalshi_ops.coverage where has_gap") == [(0,)]


def test_four_loaders_together_keep_the_pace(
    server: EmbeddedServer, exchange: Exchange, dbt_work: Path, tmp_path: Path
) -> None:
    """Kalshi refuses what is more than a second's burst, a quarter second's turns of each loader
    and the rate."""
    rate = 20
    with Simulator(exchange, rate_limit=rate * 1.02, burst=rate + 4 * rate // 4) as simulator:
        project = Project(new_database(server.start()), simulator, dbt_work)
        with machine(project, tmp_path, RATE=rate) as here:
            loaders = [here.start() for _ in range(4)]
            wait_until(lambda: is_open(project), "a plan")
            began, before = time.monotonic(), len(simulator.requests)
            wait_until(lambda: not is_open(project), "the end")
            seconds, sent = time.monotonic() - began, len(simulator.requests) - before
            for one in loaders:
                one.must_end_well()
        assert [one for one in simulator.requests if one.status == 429] == []
    assert sent / seconds > rate / 2, "the pace is used"
    assert_all_landed(project)


def test_a_refusal_slows_all_of_them(project: Project, here: Machine) -> None:
    project.simulator.faults.add("rate_limited", path="/markets/candlesticks", count=3)
    loaders = [here.start() for _ in range(2)]
    slowest = 40.0
    while any(not one.said.strip().splitlines()[-1:] or "landed" not in one.said for one in loaders):
        found = (
            project.query("select rate from kalshi_ops.pace") if is_open(project) else [(slowest,)]
        )
        slowest = min(slowest, *(rate for (rate,) in found))
        if project.query("select to_regclass('kalshi_ops.crawls') is not null")[0][
            0
        ] and project.query("select exists (select from kalshi_ops.crawls where state = 'ended')")[
            0
        ][0]:
            break
    for one in loaders:
        one.must_end_well()

    assert slowest <= 20.0
    assert_all_landed(project, but=asked_twice(project))


def test_a_loader_that_asks_for_something_else_is_refused_in_one_line(here: Machine) -> None:
    leader = here.start()
    leader.wait_until_it_says("leading shared load")
    wait_until(lambda: is_open(here.project), "a plan")

    other = here.start(*WANTED[:-1], iso(FROZEN - 60))

    assert other.wait() == 3
    assert other.said.count("\n") == 1
    assert "the shared load under way asks for another until" in other.said
    leader.must_end_well()
    assert_all_landed(here.project)


def test_loads_that_share_and_one_that_does_not_exclude_each_other(project: Project) -> None:
    project.must("load", "--no-candles", "--event", "NONE") if False else None
    warehouse = open_warehouse(project.database_url, Path("unused"))
    with share_lock(warehouse, wait=False):
        refused = project.run("load")
        assert refused.status == 3
        assert refused.err.count("\n") == 1
        assert "another load is running" in refused.err
        assert project.run("prune", "--raw-older-than", "1d").status == 3
