"""One load at a time on a warehouse; the second says so, or waits."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psycopg2
import pytest

from kalshi_elt.warehouse.names import LOADER
from simulator import Exchange, Simulator
from tests.conftest import Project, empty_project
from tests.support.processes import end_of, start_command

SOON = 60.0


@pytest.fixture
def project(raw_project: Project) -> Project:
    """Quicker to load into than one without tables, and no different."""
    return raw_project


@pytest.fixture
def slow(project: Project) -> Iterator[Project]:
    """A project whose Kalshi never answers the first request."""
    with Simulator(Exchange.demo()) as simulator:
        simulator.faults.add("hang", path="/events", count=1, seconds=600)
        yield Project(project.database_url, simulator, project.work)


@contextmanager
def another_load(project: Project) -> Iterator[ForkServerProcess]:
    """A load in a process of its own, in the middle of its listing when the block begins."""
    process = start_command(("load", "--since", "1h"), environment(project))
    try:
        deadline = time.monotonic() + SOON
        while not holds_lock(project):
            assert process.is_alive(), "the other load ended"
            assert time.monotonic() < deadline, "the other load never took the lock"
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.join()


def environment(project: Project) -> dict[str, str]:
    """With a folder of its own for dlt."""
    return {
        "DATABASE_URL": project.database_url,
        "KALSHI_API_URL": project.simulator.url,
        "DLT_DATA_DIR": tempfile.mkdtemp(dir=project.work),
    }


def holds_lock(project: Project) -> bool:
    """Whether somebody holds an advisory lock on this database."""
    return project.query(
        "select count(*) > 0 from pg_locks where locktype = 'advisory' and granted "
        "and database = (select oid from pg_database where datname = current_database())"
    ) == [(True,)]


def test_a_second_load_says_so_in_one_line_and_ends_with_3(slow: Project) -> None:
    with another_load(slow):
        started = time.monotonic()

        result = slow.run("load")

        assert time.monotonic() - started < 5
        assert slow.simulator.requests.all("/markets") == []
    assert result.status == 3
    assert result.out == ""
    assert result.err.count("\n") == 1
    assert "another load is running" in result.err
    assert "--wait" in result.err


@pytest.mark.one_server
def test_other_commands_do_not_mind_a_load(slow: Project) -> None:
    with another_load(slow):
        assert slow.run("status").status == 0


@pytest.mark.one_server
def test_a_killed_load_leaves_no_lock(slow: Project) -> None:
    with another_load(slow) as process:
        process.kill()
        process.join()
    slow.simulator.faults.clear()
    deadline = time.monotonic() + 5
    while holds_lock(slow):
        assert time.monotonic() < deadline
        time.sleep(0.02)

    slow.must("load", "--since", "1h")

    assert slow.query("select count(*) from kalshi_raw.markets") == [(10,)]


@pytest.mark.one_server
def test_with_wait_a_second_load_begins_when_the_first_one_ends(
    slow: Project, tmp_path: Path
) -> None:
    with another_load(slow) as first:
        output = tmp_path / "output"
        second = start_command(
            ("load", "--since", "1h", "--wait"), environment(slow), out=output, err=output
        )
        wait_for_two_connections(slow)
        # it would have begun or ended by then
        second.join(0.5)
        assert second.is_alive(), "it waits"
        slow.simulator.faults.clear()
        first.kill()
        first.join()
        status = end_of(second)

    assert status == 0, output.read_text()
    assert slow.query("select count(*) from kalshi_raw.markets") == [(10,)]


def wait_for_two_connections(project: Project) -> None:
    """Until both loads are connected."""
    deadline = time.monotonic() + SOON
    while project.query(
        "select count(*) < 2 from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid()"
    ) == [(True,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.one_server
def test_loads_of_two_warehouses_do_not_mind_each_other(slow: Project, server_url: str) -> None:
    with (
        empty_project(server_url, slow.simulator, slow.work) as other,
        another_load(slow),
    ):
        slow.simulator.faults.clear()

        other.must("load", "--since", "1h")


def test_what_a_killed_load_left_running_in_the_server_is_ended(project: Project) -> None:
    """Its statements would make the same tables, or copy the same files, as the next load."""
    project.must("load", "--since", "1h")
    url = project.database_url
    with (
        closing(psycopg2.connect(url, application_name=LOADER)) as left_behind,
        closing(psycopg2.connect(url, application_name="psql")) as somebody_else,
    ):
        for connection in (left_behind, somebody_else):
            with connection.cursor() as cursor:
                cursor.execute("select 1")
        with left_behind.cursor() as cursor:
            cursor.execute("lock table kalshi_raw.candlesticks in access exclusive mode")

        project.must("load", "--since", "1h")

        with pytest.raises(psycopg2.OperationalError), left_behind.cursor() as cursor:
            cursor.execute("select 1")
        with somebody_else.cursor() as cursor:
            cursor.execute("select 1")


@pytest.mark.one_server
def test_a_load_leaves_no_notes_of_landed_packages(project: Project, tmp_path: Path) -> None:
    """dlt keeps ten files of each; a job of every minute lands two million packages a year."""
    folder = {"DLT_DATA_DIR": str(tmp_path)}
    for _ in range(2):
        project.must("load", "--since", "1h", "--again", **folder)
    before = len(list(tmp_path.rglob("*")))

    for _ in range(2):
        project.must("load", "--since", "1h", "--again", **folder)

    assert len(list(tmp_path.rglob("*"))) == before
