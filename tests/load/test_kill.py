"""A load may die at any moment: the next ones go on, and nothing is lost, doubled or left over.

Every case ends the same way: the loads go on until one ends with 0, dbt types what landed, and the
typed tables are, row by row, those of a load that nothing disturbed.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from kalshi_elt.warehouse.embedded import EmbeddedServer
from kalshi_elt.warehouse.names import RAW_TABLES, TYPED_TABLES
from simulator import Exchange, Simulator
from tests.conftest import Project, empty_project, new_database
from tests.support.processes import end_of, start_command

pytestmark = pytest.mark.slow

DAY = 86_400
FROZEN = int(time.time()) // DAY * DAY - DAY - DAY // 2
"""The simulator's only moment: quotes and candles are the same in every load."""

KILLS_A_WAREHOUSE = 7
LONGEST_LIFE = 1.6
"""Seconds after which a load is killed at the latest; undisturbed it takes longer."""

DLT_TABLES = {"_dlt_loads", "_dlt_pipeline_state", "_dlt_version"}
NOT_COMPARED = ("fetched_at", "created_at", "updated_at")

SMALL_PACKAGES = {"kalshi_elt.load.crawl.OBJECTS_PER_PACKAGE": 30}


def wanted() -> list[str]:
    """Many small requests of every kind: 2 intervals, both tiers, 90 markets."""
    start, end = (
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
        for moment in (FROZEN - 2 * DAY, FROZEN)
    )
    return [
        *("load", "--status", "all", "--since", start, "--until", end),
        *("--interval", "1", "--interval", "60"),
    ]


@dataclass
class Load:
    """One load under way."""

    process: ForkServerProcess

    @property
    def status(self) -> int | None:
        return self.process.exitcode

    def kill_after(self, seconds: float) -> bool:
        """Kill it then; False when it had ended by itself."""
        self.process.join(seconds)
        self.process.kill()
        return self.wait() == -signal.SIGKILL

    def wait(self) -> int:
        return end_of(self.process)

    def kill(self) -> None:
        self.process.kill()
        assert self.wait() == -signal.SIGKILL


@dataclass(frozen=True)
class Loader:
    """Starts loads on one warehouse, one after the other, with small packages."""

    project: Project
    folder: Path
    """dlt's data folder and the loads' output are in here."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "output").touch()

    def start(self) -> Load:
        variables, output = environment(self.project, self.folder), self.folder / "output"
        return Load(
            start_command(wanted(), variables, out=output, err=output, patches=SMALL_PACKAGES)
        )

    def finish(self) -> None:
        """A load that nothing disturbs ends with 0, whatever was before."""
        status = self.start().wait()
        assert status == 0, self.output[-3000:]

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text()

    @property
    def data(self) -> Path:
        return self.folder / "dlt"


def environment(project: Project, folder: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": project.database_url,
        "KALSHI_API_URL": project.simulator.url,
        "DLT_DATA_DIR": str(folder / "dlt"),
        "SOURCES__KALSHI__RATE": "25",
        "SOURCES__KALSHI__REQUESTS_PER_PACKAGE": "4",
        "SOURCES__KALSHI__SECONDS_PER_PACKAGE": "0",
    }


@pytest.fixture(scope="module")
def frozen() -> Iterator[Simulator]:
    exchange = Exchange.generate(
        events=10, markets_per_event=9, multivariate=3, pace="quiet", clock=lambda: FROZEN
    )
    with Simulator(exchange) as simulator:
        yield simulator


@pytest.fixture
def project(server: EmbeddedServer, frozen: Simulator, dbt_work: Path) -> Iterator[Project]:
    with empty_project(server.start(), frozen, dbt_work) as project:
        yield project
        server.start()


@pytest.fixture
def loads(project: Project, tmp_path: Path) -> Loader:
    return Loader(project, tmp_path / "loads")


Rows = dict[str, set[str]]


@pytest.fixture(scope="module")
def undisturbed(
    server: EmbeddedServer,
    frozen: Simulator,
    dbt_work: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Rows:
    """The typed tables of a load in peace."""
    with empty_project(server.start(), frozen, dbt_work) as project:
        Loader(project, tmp_path_factory.mktemp("peace")).finish()
        rows = typed_rows(project)
    assert len(rows["events"]) == 10
    assert len(rows["markets"]) == 90
    assert len(rows["candles"]) > 2_000
    return rows


def typed_rows(project: Project) -> Rows:
    """Every row of every typed table, as text."""
    project.must("dbt", "run", "--select", *(f"+{table}" for table in TYPED_TABLES))
    minus = " ".join(f"- '{column}'" for column in NOT_COMPARED)
    return {
        table: {
            row
            for (row,) in project.query(f"select (to_jsonb(t) {minus})::text from kalshi.{table} t")
        }
        for table in TYPED_TABLES
    }


def assert_as_undisturbed(loads: Loader, undisturbed: Rows) -> None:
    """Nothing is lost, doubled or left over."""
    project = loads.project
    typed = typed_rows(project)
    for table, rows in undisturbed.items():
        assert typed[table] - rows == set(), f"{table}: rows that should not be"
        assert rows - typed[table] == set(), f"{table}: rows that are missing"
    assert_nothing_left_over(project)


def assert_nothing_left_over(project: Project) -> None:
    tables = project.query(
        "select schemaname, tablename from pg_tables where schemaname like 'kalshi_raw%'"
    )
    assert set(tables) == {("kalshi_raw", table) for table in {*RAW_TABLES, *DLT_TABLES}}
    for table in RAW_TABLES:
        assert orphans(project, table) == [], f"{table}: loads that were never finished"
        assert project.query(
            "select count(*) from pg_indexes where schemaname = 'kalshi_raw' and indexname = %s",
            f"idx_{table}_dlt_load_id",
        ) == [(1,)]
    assert project.query("select count(*) from kalshi_ops.coverage where has_gap") == [(0,)]


def orphans(project: Project, table: str) -> list[tuple[Any, ...]]:
    """Loads whose rows are there but whose end dlt never noted."""
    return project.query(
        f"select distinct _dlt_load_id from kalshi_raw.{table} "
        "except select load_id from kalshi_raw._dlt_loads where status = 0"
    )


def wait_for_candles(project: Project) -> None:
    """Until a first package of candles has landed."""
    for query in (
        "select to_regclass('kalshi_raw.candlesticks') is not null",
        "select exists (select from kalshi_raw.candlesticks)",
    ):
        wait_until(query, project)


def wait_until(condition: str, project: Project, *values: object) -> None:
    """Until a query's first value is true."""
    deadline = time.monotonic() + 15
    while not project.query(condition, *values)[0][0]:
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


def kill_again_and_again(loads: Loader, dice: random.Random) -> int:
    """Kill loads at random moments until one ends by itself, or enough is enough."""
    for kills in range(KILLS_A_WAREHOUSE):
        load = loads.start()
        if not load.kill_after(dice.uniform(0.05, LONGEST_LIFE)):
            assert load.status == 0, loads.output[-3000:]
            return kills
    loads.finish()
    return KILLS_A_WAREHOUSE


def test_loads_killed_at_random_moments_end_like_one_in_peace(
    request: pytest.FixtureRequest,
    server: EmbeddedServer,
    frozen: Simulator,
    dbt_work: Path,
    tmp_path: Path,
    undisturbed: Rows,
) -> None:
    """Warehouse after warehouse, two at a time, until there were as many kills as asked for."""
    points: int = request.config.getoption("--kill-points")
    url = server.start()

    def ruin(seed: int) -> tuple[Loader, int]:
        project = Project(new_database(url), frozen, dbt_work)
        loads = Loader(project, tmp_path / str(seed))
        return loads, kill_again_and_again(loads, random.Random(seed))

    kills = seed = 0
    with ThreadPoolExecutor(2) as pool:
        while kills < points:
            missing = -(-(points - kills) // KILLS_A_WAREHOUSE)
            for loads, killed in pool.map(ruin, range(seed, seed + missing)):
                kills += killed
                assert_as_undisturbed(loads, undisturbed)
            seed += missing


def test_the_working_folder_may_be_lost_with_the_load(loads: Loader, undisturbed: Rows) -> None:
    dice = random.Random(1)
    for _ in range(2):
        loads.start().kill_after(dice.uniform(0.8, LONGEST_LIFE))
        shutil.rmtree(loads.data, ignore_errors=True)
    loads.finish()

    assert_as_undisturbed(loads, undisturbed)


@pytest.mark.parametrize("is_folder_lost", [False, True], ids=["folder kept", "folder lost"])
def test_a_kill_before_dlt_notes_the_end_of_a_package(
    loads: Loader, undisturbed: Rows, is_folder_lost: bool
) -> None:
    """The rows are committed, `_dlt_loads` does not name them. Without the folder only their load
    ids tell of them: they are adopted, not fetched again."""
    project = loads.project
    load = loads.start()
    wait_for_candles(project)
    with closing(psycopg2.connect(project.database_url)) as blocker, blocker.cursor() as cursor:
        cursor.execute("lock table kalshi_raw._dlt_loads in exclusive mode")
        wait_until(IS_WAITING_FOR_TABLE, project)
        load.kill()
        # else it would still note the end, as a server does not look whether its client lives
        cursor.execute(f"select pg_terminate_backend(pid) {OTHERS} and wait_event = 'relation'")
    wait_until(IS_ALONE, project)
    (orphan,) = orphans(project, "candlesticks")
    if is_folder_lost:
        shutil.rmtree(loads.data)
    loads.finish()

    assert ("adopted 1 load" if is_folder_lost else "left pending") in loads.output
    assert_as_undisturbed(loads, undisturbed)
    assert project.query(
        "select count(*) > 0 and count(*) = count(distinct (market_ticker, interval_min, "
        "window_start)) from kalshi_raw.candlesticks where _dlt_load_id = %s",
        orphan[0],
    ) == [(True,)]


def test_a_kill_between_a_files_commit_and_dlts_note_of_it(
    loads: Loader, undisturbed: Rows
) -> None:
    """dlt copies the file once more: its rows are there twice, and count once."""
    project = loads.project
    load = loads.start()
    wait_for_candles(project)
    with closing(psycopg2.connect(project.database_url)) as blocker, blocker.cursor() as cursor:
        cursor.execute("select pg_advisory_lock(%s)", [COMMIT_LOCK])
        blocker.commit()
        project.query(SLOW_COMMIT)
        wait_until(IS_WAITING_IN_COMMIT, project)
        load.kill()
    wait_until(IS_ALONE, project)
    project.query("drop trigger slow_commit on kalshi_raw.candlesticks")
    loads.finish()

    assert project.query(
        "select count(*) > count(distinct (market_ticker, interval_min, window_start)) "
        "from kalshi_raw.candlesticks"
    ) == [(True,)], "the case did not come about"
    assert_as_undisturbed(loads, undisturbed)


COMMIT_LOCK = 4711
SLOW_COMMIT = f"""
create function public.wait_in_commit() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared({COMMIT_LOCK});
    return null;
end $$;
create constraint trigger slow_commit after insert on kalshi_raw.candlesticks
deferrable initially deferred for each row execute function public.wait_in_commit();
"""
OTHERS = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
IS_ALONE = f"select count(*) = 0 {OTHERS}"
IS_WAITING_IN_COMMIT = (
    f"select count(*) > 0 {OTHERS} and wait_event = 'advisory' and query ilike '%commit%'"
)
IS_WAITING_FOR_TABLE = (
    f"select count(*) > 0 {OTHERS} and wait_event = 'relation' and query ilike 'insert%_dlt_loads%'"
)

IS_WAITING_FOR_COPY = (
    f"select count(*) > 0 {OTHERS} and wait_event = 'relation' and query ilike 'copy%candlesticks%'"
)


def fetched_files(loads: Loader) -> list[Path]:
    """The files that a load under way writes; folders may go while we look."""
    try:
        return list(loads.data.rglob("candlesticks.*.pgcopy"))
    except FileNotFoundError:
        return []


def test_the_files_of_killed_loads_do_not_pile_up(loads: Loader) -> None:
    """A package of candles is up to 300 MB; dlt's folder keeps none that no load will land."""
    load = loads.start()
    deadline = time.monotonic() + 30
    while not fetched_files(loads):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    load.kill()
    loads.finish()

    assert list(loads.data.rglob("*.pgcopy")) == []


def test_what_dlt_had_half_written_or_half_deleted_stops_no_load(
    loads: Loader, undisturbed: Rows
) -> None:
    loads.finish()
    (schema,) = loads.data.glob("pipelines/*/kalshi/schemas/kalshi.schema.json")
    (schema.parent / "1ee7856c39ab3884").write_text(schema.read_text()[:100])
    package = schema.parent.parent / "normalize" / "extracted" / "1795578184.511293"
    (package / "new_jobs").mkdir(parents=True)

    loads.finish()

    assert [file.name for file in schema.parent.iterdir()] == [schema.name]
    assert not package.exists()
    assert_as_undisturbed(loads, undisturbed)


def test_a_kill_before_dlt_writes_the_schema_that_its_state_names(
    loads: Loader, undisturbed: Rows
) -> None:
    loads.finish()
    (schema,) = loads.data.glob("pipelines/*/kalshi/schemas/kalshi.schema.json")
    schema.unlink()
    # as it is at the first start: what was landed would bring the schema with it
    loads.project.query("drop schema kalshi_raw cascade")

    loads.finish()

    assert schema.exists()
    assert_as_undisturbed(loads, undisturbed)


def test_a_kill_before_dlt_deletes_what_it_normalized(loads: Loader, undisturbed: Rows) -> None:
    """The package is there twice, before and after its normalizing: it lands once."""
    project = loads.project
    load = loads.start()
    wait_for_candles(project)
    with closing(psycopg2.connect(project.database_url)) as blocker, blocker.cursor() as cursor:
        cursor.execute("lock table kalshi_raw.candlesticks in exclusive mode")
        wait_until(IS_WAITING_FOR_COPY, project)
        load.kill()
        cursor.execute(f"select pg_terminate_backend(pid) {OTHERS} and wait_event = 'relation'")
    wait_until(IS_ALONE, project)
    (normalized,) = loads.data.glob("pipelines/*/kalshi/load/normalized/*/")
    extracted = normalized.parents[2] / "normalize" / "extracted" / normalized.name
    shutil.copytree(normalized, extracted)
    loads.finish()

    assert not extracted.exists()
    assert_as_undisturbed(loads, undisturbed)
    assert project.query(
        "select count(*) > 0 and count(*) = count(distinct (market_ticker, interval_min, "
        "window_start)) from kalshi_raw.candlesticks where _dlt_load_id = %s",
        normalized.name,
    ) == [(True,)]


def test_postgres_may_die_and_come_back_under_the_load(
    server: EmbeddedServer, loads: Loader, undisturbed: Rows
) -> None:
    dice = random.Random(2)
    for _ in range(2):
        load = loads.start()
        time.sleep(dice.uniform(0.6, LONGEST_LIFE))
        postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
        server.start()
        assert load.wait() in (0, 1)
    loads.finish()

    assert "Traceback" not in loads.output
    assert "kalshi-elt: unexpected" not in loads.output
    assert_as_undisturbed(loads, undisturbed)


def test_the_command_itself_may_be_killed_in_any_second(
    project: Project, tmp_path: Path, undisturbed: Rows
) -> None:
    """With packages of the size that users have, and kills while Python is still importing too."""
    command = [sys.executable, "-m", "kalshi_elt", *wanted()]
    variables = {**os.environ, **environment(project, tmp_path)}
    for seconds in (0.5, 2.5):
        with subprocess.Popen(
            command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            time.sleep(seconds)
            process.kill()
    result = subprocess.run(command, env=variables, capture_output=True, text=True)

    assert result.returncode == 0, result.stderr
    typed = typed_rows(project)
    assert typed == undisturbed
    assert_nothing_left_over(project)
