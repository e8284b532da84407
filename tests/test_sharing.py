"""`load --share`: several loaders share one load, and any of them may die.

Every case with several loaders ends the same way: each wanted window has landed, and none of them
twice but for those that a killed loader had claimed.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection  # noqa: N812

from pipelines.api import SLOWEST, STEP
from pipelines.embedded import EmbeddedServer
from pipelines.errors import WarehouseError
from pipelines.ops import hold_lock, share_lock
from pipelines.plan import CandleRequest
from pipelines.settings import load_settings
from pipelines.shared_pace import BATCH_SECONDS, SharedPace
from pipelines.sharing import Leases, begin, open_again, plan, take_over
from pipelines.warehouse import LOADER
from tests.clock import iso
from tests.conftest import Project, empty_project
from tests.simulator import Exchange, Simulator

pytestmark = pytest.mark.slow

DAY = 86_400
FROZEN = int(time.time()) // DAY * DAY - DAY - DAY // 2
"""The simulator's only moment."""


def wanted(days: int) -> tuple[str, ...]:
    """The arguments of a load that asks for some 15 requests a day."""
    since, until = iso(FROZEN - days * DAY), iso(FROZEN)
    return "load", "--share", "--status", "all", "--since", since, "--until", until


WANTED = wanted(2)
LONG = wanted(4)
ALONE = ("load", *WANTED[2:])
SHARES = "of shared load"
"""What a loader says when it joins."""

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
        os.environ.update(order["environment"])
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

    @property
    def is_leader(self) -> bool:
        return "leading" in self.said

    @property
    def number(self) -> int:
        """Its number in kalshi_ops.crawl_loaders."""
        return int(re.findall(r"loader (\d+) of", self.said)[-1])

    def stop(self, number: int) -> set[Window]:
        """Send it a signal while it has claimed something; returns what that was."""
        deadline = time.monotonic() + SOON
        while True:
            self.signal(signal.SIGSTOP)
            claimed = windows_of(self.machine.project, CLAIMED, self.number)
            if claimed:
                break
            self.signal(signal.SIGCONT)
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)
        self.signal(number)
        self.signal(signal.SIGCONT)
        return claimed

    def kill(self) -> set[Window]:
        """The same without a chance to tidy up."""
        claimed = self.stop(signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL
        return claimed

    def wait_until_it_says(self, text: str) -> None:
        wait_until(lambda: text in self.said, text)


@dataclass
class Machine:
    """Starts loaders that share a folder."""

    project: Project
    folder: Path
    process: "subprocess.Popen[str]"
    settings: dict[str, object] = field(default_factory=dict)
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
        settings = {**SETTINGS, **self.settings}
        environment = {
            "DATABASE_URL": self.project.database_url,
            "KALSHI_API_URL": self.project.simulator.url,
            "DLT_DATA_DIR": str(self.folder / "dlt"),
            **{f"SOURCES__KALSHI__{name}": str(value) for name, value in settings.items()},
        }
        pid = self.order(arguments=arguments, output=str(output), environment=environment)
        return Loader(self, pid, output)

    @property
    def pending(self) -> list[Path]:
        """Packages that have not landed."""
        return [
            path
            for folder in ("kalshi", "loaders/*/kalshi")
            for path in self.folder.glob(f"dlt/pipelines/*/{folder}/load/normalized/*/")
        ]

    @property
    def slots(self) -> set[str]:
        """Further working folders."""
        return {path.name for path in self.folder.glob("dlt/pipelines/*/loaders/*/")}


SETTINGS = {"RATE": 40, "REQUESTS_PER_PACKAGE": 8, "SECONDS_PER_PACKAGE": 0, "LEASE_SECONDS": 2}


@pytest.fixture(scope="module")
def runner() -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture(scope="module")
def exchange() -> Exchange:
    return Exchange.generate(
        events=20, markets_per_event=9, multivariate=3, pace="quiet", clock=lambda: FROZEN
    )


@pytest.fixture
def project(server: EmbeddedServer, exchange: Exchange, dbt_work: Path) -> Iterator[Project]:
    with (
        Simulator(exchange) as simulator,
        empty_project(server.start(), simulator, dbt_work) as project,
    ):
        yield project
        server.start()


@pytest.fixture
def here(project: Project, runner: "subprocess.Popen[str]", tmp_path: Path) -> Machine:
    return Machine(project, tmp_path, runner)


def state(project: Project) -> str | None:
    """Of the shared load under way, or the last one."""
    if project.query("select to_regclass('kalshi_ops.crawls') is null") == [(True,)]:
        return None
    found = project.query("select state from kalshi_ops.crawls")
    return str(found[0][0]) if found else None


def wait_for_the_plan(project: Project) -> None:
    wait_until(lambda: state(project) == "open", "a plan")


CLAIMED = """
select unnest(market_tickers) as market_ticker, interval_min, window_start, window_end
from kalshi_ops.crawl_requests
where loader_id = %s
"""


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


def assert_all_landed(project: Project, but: Set[Window] = frozenset()) -> None:
    """Nothing is missing, and nothing landed twice `but` these."""
    assert project.query("select count(*) from kalshi_ops.coverage where has_gap") == [(0,)]
    assert project.query("select count(*) > 100 from kalshi_ops.coverage") == [(True,)]
    assert windows_of(project, TWICE) <= but
    assert asked_twice(project) <= but
    assert project.query("select state from kalshi_ops.crawls") == [("ended",)]
    assert project.query("select count(*) from kalshi_ops.crawl_requests") == [(0,)]
    assert project.query(
        "select count(*) from (select load_id from kalshi_raw._dlt_loads "
        "group by load_id having count(*) > 1) as loads"
    ) == [(0,)]


def test_four_loaders_share_a_load_and_one_of_them_is_killed(here: Machine) -> None:
    """Two on this machine, two on another one."""
    elsewhere = replace(here, folder=here.folder / "elsewhere")
    elsewhere.folder.mkdir()
    loaders = [one.start(*LONG) for one in (here, elsewhere, here, elsewhere)]
    for one in loaders:
        one.wait_until_it_says(SHARES)
    status = here.project.must("status").out
    victim = next(one for one in loaders if not one.is_leader)
    lost = victim.kill()
    others = [one.must_end_well() for one in loaders if one is not victim]

    assert_all_landed(here.project, but=lost)
    assert all(re.search("[23] other loaders landed", said) for said in others)
    assert sum("leading shared load" in said for said in others) == 1
    assert re.search(r"shared load  1: \d+ of \d+ requests left, 4 loaders at work", status)
    assert "shared load" not in here.project.must("status").out


def test_what_a_killed_loader_left_pending_lands_with_the_next_load(here: Machine) -> None:
    """Its folder is nobody's any more: also a load that shares nothing settles it."""
    project = here.project
    loaders = [here.start(*LONG) for _ in range(2)]
    for one in loaders:
        one.wait_until_it_says(SHARES)
    leader, victim = sorted(loaders, key=lambda one: not one.is_leader)
    with closing(psycopg2.connect(project.database_url)) as blocker, blocker.cursor() as cursor:
        cursor.execute("lock table kalshi_raw.candlesticks in exclusive mode")
        wait_until(lambda: len(here.pending) == 2, "two packages that can't land")
        lost = victim.kill()
    leader.must_end_well()
    assert_all_landed(project, but=lost)
    assert len(here.pending) == 1

    assert (
        "landed 1 package that an earlier load left pending" in here.start(*ALONE).must_end_well()
    )

    assert here.pending == []
    assert here.slots == set()
    assert_all_landed(project, but=lost)


def test_another_one_leads_when_the_leader_is_killed(here: Machine) -> None:
    loaders = [here.start(*LONG) for _ in range(3)]
    for one in loaders:
        one.wait_until_it_says(SHARES)
    leader, *others = sorted(loaders, key=lambda one: not one.is_leader)
    lost = leader.kill()
    said = [one.must_end_well() for one in others]

    assert_all_landed(here.project, but=lost)
    assert sum("as its leader has gone" in text for text in said) == 1
    listings = here.project.simulator.requests.all("/events")
    assert len(listings) == len({str(one.query) for one in listings}), "listed once"


def test_another_one_lists_when_the_leader_is_killed_while_it_lists(here: Machine) -> None:
    faults = here.project.simulator.faults
    hang = faults.add("hang", path="/events", count=1, seconds=600)
    leader = here.start(*WANTED)
    wait_until(lambda: hang.hits == 1, "the listing")
    other = here.start(*WANTED)
    other.wait_until_it_says(SHARES)
    leader.signal(signal.SIGKILL)
    leader.wait()
    faults.clear()

    assert "leading shared load" in other.must_end_well()

    assert_all_landed(here.project)


def test_what_a_dead_load_left_undone_is_planned_anew(here: Machine) -> None:
    """Nobody works on its requests any more, so the next load may be about something else."""
    leader = here.start(*WANTED)
    leader.wait_until_it_says(SHARES)
    leader.kill()
    here.project.simulator.requests.clear()
    others = [here.start("load", "--share", *WANTED[2:], "--min-volume", "0.5") for _ in range(2)]
    for one in others:
        one.must_end_well()
    here.start(*WANTED).must_end_well()

    assert_all_landed(here.project, but=windows_of(here.project, TWICE))


def test_a_loader_that_is_stopped_gives_back_what_it_claimed(here: Machine) -> None:
    project = here.project
    here.settings["LEASE_SECONDS"] = 600
    loaders = [here.start(*LONG) for _ in range(2)]
    for one in loaders:
        one.wait_until_it_says(SHARES)
    leader, other = sorted(loaders, key=lambda one: not one.is_leader)
    other.stop(signal.SIGTERM)
    assert other.wait() == 130
    assert windows_of(project, CLAIMED, other.number) == set()
    leader.must_end_well()

    assert "Traceback" not in other.said
    # what it had fetched and not landed is asked for again
    assert_all_landed(project, but=windows_of(project, TWICE) | asked_twice(project))


def test_a_leader_that_is_stopped_leaves_the_rest_to_the_others(here: Machine) -> None:
    here.settings["LEASE_SECONDS"] = 600
    loaders = [here.start(*LONG) for _ in range(2)]
    for one in loaders:
        one.wait_until_it_says(SHARES)
    leader, other = sorted(loaders, key=lambda one: not one.is_leader)
    leader.stop(signal.SIGINT)
    assert leader.wait() == 130
    assert "as its leader has gone" in other.must_end_well()

    assert_all_landed(here.project, but=asked_twice(here.project))


def test_four_loaders_together_keep_the_pace(
    server: EmbeddedServer,
    exchange: Exchange,
    dbt_work: Path,
    runner: "subprocess.Popen[str]",
    tmp_path: Path,
) -> None:
    """This Kalshi refuses what is more than the rate, a second's burst and what four loaders may
    have taken and not used yet: a quarter second's turns each."""
    rate = 16
    with (
        Simulator(exchange, rate_limit=rate, burst=rate + 4 * rate * BATCH_SECONDS) as simulator,
        empty_project(server.start(), simulator, dbt_work) as project,
    ):
        here = Machine(project, tmp_path, runner, {"RATE": rate})
        loaders = [here.start(*LONG) for _ in range(4)]
        for one in loaders:
            one.must_end_well()
        assert [one for one in simulator.requests if one.status != 200] == []
        assert_all_landed(project)


def test_a_loader_that_asks_for_something_else_is_refused_in_one_line(here: Machine) -> None:
    leader = here.start(*WANTED)
    leader.wait_until_it_says("leading shared load")
    wait_for_the_plan(here.project)

    other = here.start(*WANTED[:-1], iso(FROZEN - 60))

    assert other.wait() == 3
    assert other.said.count("\n") == 1
    assert "the shared load under way asks for another until" in other.said
    leader.must_end_well()
    assert_all_landed(here.project)


def test_a_load_of_its_own_and_loads_that_share_exclude_each_other(project: Project) -> None:
    warehouse = project.warehouse()
    with share_lock(warehouse, wait=False):
        refused = project.run("load")
    with hold_lock(warehouse, wait=False):
        also_refused = project.run("load", "--share")

    for result in (refused, also_refused):
        assert result.status == 3
        assert result.err.count("\n") == 1
        assert "another load is running" in result.err


def test_a_load_of_its_own_does_not_touch_what_is_shared(project: Project) -> None:
    project.must(*ALONE)
    with closing(psycopg2.connect(project.database_url)) as blocker, blocker.cursor() as cursor:
        for table in ("crawls", "crawl_requests", "crawl_loaders", "pace"):
            cursor.execute(f"lock table kalshi_ops.{table} in access exclusive mode")

        project.must(*ALONE)


def test_a_dry_run_shares_nothing(project: Project) -> None:
    assert "landed nothing" in project.must(*WANTED, "--dry-run").out

    assert project.query("select count(*) from kalshi_ops.crawls") == [(0,)]


def test_run_does_not_share(project: Project) -> None:
    result = project.run("run", "--share")

    assert result.status == 2
    assert result.err.count("\n") == 1
    assert "kalshi-elt load --share" in result.err


def test_one_loader_alone_may_share_too(project: Project) -> None:
    result = project.must(*WANTED)

    assert "other loader" not in result.out
    assert_all_landed(project)


@contextmanager
def another_loader(project: Project) -> Iterator[Connection]:
    """A loader that shares, lives, and does nothing."""
    warehouse = project.warehouse()
    with share_lock(warehouse, wait=False) as connection:
        yield connection


def test_loads_that_another_loader_is_still_landing_are_not_adopted(project: Project) -> None:
    """Their rows are in, and `_dlt_loads` does not name them yet."""
    project.must(*WANTED)
    project.query("update kalshi_raw.candlesticks set _dlt_load_id = '9999999999.9'")
    is_named = "select count(*) from kalshi_raw._dlt_loads where load_id = '9999999999.9'"

    with another_loader(project):
        assert "adopted" not in project.must(*WANTED).err
        assert project.query(is_named) == [(0,)]

    assert "adopted 1 load" in project.must(*WANTED).err
    assert project.query(is_named) == [(1,)]


def test_connections_of_dead_loaders_are_ended_and_those_of_others_stay(project: Project) -> None:
    project.must(*ALONE)
    url = project.database_url
    with another_loader(project) as other:
        pid = other.info.backend_pid
        with (
            closing(psycopg2.connect(url, application_name=f"{LOADER} {pid}")) as landing,
            closing(psycopg2.connect(url, application_name=f"{LOADER} 1")) as left_behind,
        ):
            project.must(*WANTED)

            with landing.cursor() as cursor:
                cursor.execute("select 1")
            with pytest.raises(psycopg2.OperationalError), left_behind.cursor() as cursor:
                cursor.execute("select 1")


# Leases


def make_tables(project: Project) -> None:
    """An empty warehouse, as a loader makes it."""
    with another_loader(project):
        pass


@contextmanager
def leases(project: Project, seconds: float) -> Iterator[Leases]:
    """A loader of the shared load under way that claims two requests at a time."""
    settings = load_settings({"lease_seconds": seconds, "workers": 2})
    with (
        closing(psycopg2.connect(project.database_url)) as connection,
        closing(psycopg2.connect(project.database_url)) as beside,
    ):
        connection.autocommit = beside.autocommit = True
        ((crawl_id,),) = project.query("select crawl_id from kalshi_ops.crawls")
        yield Leases(connection, beside, crawl_id, settings)


@pytest.fixture
def planned(project: Project) -> Project:
    """A shared load of five requests."""
    make_tables(project)
    requests = [CandleRequest((f"M{number}", "N"), 0, 60, 1) for number in range(5)]
    with closing(psycopg2.connect(project.database_url)) as connection:
        plan(connection, begin(connection, load_settings({})), requests)
    return project


def first_of(claimed: Iterator[CandleRequest]) -> list[str]:
    return [request.tickers[0] for request in claimed]


def test_no_request_is_claimed_by_two(planned: Project) -> None:
    with leases(planned, 60) as one, leases(planned, 60) as other:
        assert one.has_more()
        assert first_of(other.package(2, 0)) == ["M2", "M3"]
        assert first_of(one.package(9, 0)) == ["M0", "M1", "M4"]
        assert not one.has_more()
        assert not other.has_more()


def test_a_lease_that_nobody_renews_ends(planned: Project) -> None:
    with leases(planned, 0.2) as dead, leases(planned, 60) as other:
        lost = list(dead.package(2, 0))
        time.sleep(0.3)

        assert first_of(other.package(9, 0)) == ["M0", "M1", "M2", "M3", "M4"]

        dead.landed(lost, 2, 2)
        assert planned.query("select count(*) from kalshi_ops.crawl_requests") == [(5,)]


def test_a_lease_that_is_renewed_does_not_end_and_is_given_back(planned: Project) -> None:
    with leases(planned, 0.6) as one, leases(planned, 60) as other:
        with one.renewed():
            done, _ = one.package(2, 0)
            time.sleep(1)
            assert first_of(other.package(9, 0)) == ["M2", "M3", "M4"]
            one.landed([done], 2, 7)

        assert first_of(other.package(9, 0)) == ["M1"]
        assert other.others() == (1, 2, 7)


def test_nobody_claims_while_another_one_takes_the_lead(planned: Project) -> None:
    with (
        leases(planned, 60) as one,
        closing(psycopg2.connect(planned.database_url)) as connection,
    ):
        connection.autocommit = True
        take_over(connection, one.crawl_id)
        assert not one.has_more()

        open_again(connection, one.crawl_id)

        assert one.has_more()


# The shared pace


@pytest.fixture
def paced(project: Project) -> Iterator[list[SharedPace]]:
    """The pace of two loaders, at 8 requests a second together."""
    make_tables(project)
    with ExitStack() as stack:
        paces = []
        for _ in range(2):
            connection = stack.enter_context(closing(psycopg2.connect(project.database_url)))
            connection.autocommit = True
            paces.append(SharedPace(connection, "http://kalshi.test", sleep=lambda seconds: None))
        paces[0].set_rate(8.0)
        for pace in paces:
            pace.wait()
        yield paces


def test_what_one_loader_uses_the_other_has_not(project: Project, paced: list[SharedPace]) -> None:
    """Without sleeping: two seconds' requests of both leave a second's debt."""
    for _ in range(7):
        for pace in paced:
            pace.wait()

    assert [pace.count for pace in paced] == [8, 8]
    ((tokens,),) = project.query("select tokens from kalshi_ops.pace")
    assert -10 <= tokens <= -4


def test_four_loaders_that_never_rest_use_the_whole_pace_and_no_more(project: Project) -> None:
    make_tables(project)
    rate, seconds = 40.0, 2.0
    counts = []

    def use(until: float) -> None:
        with closing(psycopg2.connect(project.database_url)) as connection:
            connection.autocommit = True
            pace = SharedPace(connection, "http://kalshi.test")
            while time.monotonic() < until:
                pace.wait()
            counts.append(pace.count)

    with closing(psycopg2.connect(project.database_url)) as connection:
        connection.autocommit = True
        SharedPace(connection, "http://kalshi.test").set_rate(rate)
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, [until] * 4))

    allowed = rate + rate * seconds
    assert 0.7 * allowed < sum(counts) < allowed + 4 * (rate * BATCH_SECONDS + 1)
    assert min(counts) > 0


def test_a_refusal_slows_the_others_too_and_answers_of_all_bring_it_back(
    paced: list[SharedPace],
) -> None:
    one, other = paced
    one.slow_down()
    for _ in range(3):
        other.wait()
    assert (one.rate, other.rate) == (4.0, 4.0)

    for _ in range(20):
        other.speed_up()
    for _ in range(3):
        one.wait()
        other.wait()

    assert other.rate == pytest.approx(4.0 + 20 * STEP * 8)
    assert one.rate == other.rate
    for _ in range(20):
        one.slow_down()
    assert one.rate == pytest.approx(8 * SLOWEST)


def test_turns_that_were_not_used_in_time_are_lost(project: Project) -> None:
    """Else a loader that was busy landing would add its turns to a full bucket."""
    make_tables(project)
    now = [0.0]
    with closing(psycopg2.connect(project.database_url)) as connection:
        connection.autocommit = True
        pace = SharedPace(connection, "u", clock=lambda: now[0], sleep=lambda seconds: None)
        pace.set_rate(100.0)
        for _ in range(8):
            pace.wait()
        taken = "select 100 - tokens from kalshi_ops.pace where api_url = 'u'"
        project.query("update kalshi_ops.pace set tokens = 100, filled_at = 'infinity'")
        now[0] = 60.0

        pace.wait()

        ((new,),) = project.query(taken)
    assert new >= 1, "a new turn is taken, not one of a minute ago"


def test_a_loader_without_a_pace_says_so(project: Project) -> None:
    make_tables(project)
    with closing(psycopg2.connect(project.database_url)) as connection:
        connection.autocommit = True
        with pytest.raises(WarehouseError, match=r"is gone from kalshi_ops\.pace"):
            SharedPace(connection, "http://another.test").wait()
