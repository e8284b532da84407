"""`kalshi-elt run`: load, then transform, under one lock, with one row in `kalshi_ops.runs`."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from kalshi_elt.ops.lock import hold_lock
from kalshi_elt.transform.build import require_raw_tables, transform
from simulator import Exchange, Simulator
from tests.conftest import Project, empty_project
from tests.support.clock import DAY, iso
from tests.support.databases import is_cluster
from tests.support.monitor import Monitor, running_monitor
from tests.support.processes import end_of, start_command

pytestmark = pytest.mark.one_server

NOBODY = "http://127.0.0.1:1/trade-api/v2"
"""Where no API is."""

SMALL = ("-s", "+candles", "+series", "+rejects", "rejects_none", "raw_is_fresh")
ALONE = ("--indirect-selection", "empty")
"""The tests that are named, and no others."""


@pytest.fixture(autouse=True)
def small_transform(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few models and tests: what a transform builds is not what these tests are about."""
    monkeypatch.setattr(
        "kalshi_elt.job.run.transform", partial(transform, arguments=(*SMALL, *ALONE))
    )


@pytest.fixture
def project(raw_project: Project) -> Project:
    """Quicker to load into than one without tables, and no different."""
    return raw_project


@pytest.fixture
def own(project: Project) -> Iterator[Project]:
    """A project whose Kalshi a test may change."""
    with Simulator(Exchange.demo()) as simulator:
        yield Project(project.database_url, simulator, project.work)


def last_run(project: Project) -> dict[str, Any]:
    """The newest row of kalshi_ops.runs."""
    ((row,),) = project.query(
        "select to_jsonb(r) from kalshi_ops.runs r order by run_id desc limit 1"
    )
    assert isinstance(row, dict)
    return row


# What a run does


def test_a_run_loads_and_types_and_notes_what_it_did(project: Project) -> None:
    with patch("kalshi_elt.transform.build.require_raw_tables", wraps=require_raw_tables) as looks:
        result = project.must("run", "--since", "2h")

    assert looks.call_count == 1
    row = last_run(project)
    candles = project.query("select count(*) from kalshi.candles")[0][0]
    assert row["outcome"] == "succeeded"
    assert row["started_at"] < row["ended_at"]
    assert row["selection"]["events"] == ["KXPRESPERSON-28"]
    assert row["selection"]["since"] == "2h"
    assert {"kalshi-elt", "dlt", "dbt-core", "dbt-postgres", "postgres"} <= row["versions"].keys()
    assert sum(row["requests"].values()) == row["requests"]["200"] > 0
    assert row["rows_landed"]["markets"] == row["rows_typed"]["markets"] == 10
    assert row["rows_landed"]["candles"] == row["rows_typed"]["candles"] == candles > 0
    assert (row["rejects"], row["gaps"], row["error"]) == (0, 0, None)
    assert (row["tests_failed"], row["tests_warned"]) == ([], [])
    assert row["load_seconds"] > 0 and row["transform_seconds"] > 0
    assert result.out.count("\n") == 1
    assert result.out.startswith("run 1 succeeded: landed 1 event, 10 markets")
    assert f"{candles:,} candles" in result.out


def test_machines_get_the_summary_as_one_json_object_with_requests_by_what_came_of_them(
    own: Project,
) -> None:
    own.simulator.faults.add("rate_limited", count=1)
    own.simulator.faults.add("server_error", count=1)

    result = own.must("run", "--since", "1h", "--log-format", "json")

    said = json.loads(result.out)
    row = last_run(own)
    assert said == {name: row[name] for name in said}
    assert row["requests"]["429"] == row["requests"]["500"] == 1


def test_no_other_job_may_run_beside_it(project: Project) -> None:
    warehouse = project.warehouse()
    with hold_lock(warehouse, wait=False):
        result = project.run("run")

    assert result.status == 3
    assert result.err.count("\n") == 1
    assert project.query("select count(*) from kalshi_ops.runs") == [(0,)]


# What goes wrong


def test_what_landed_is_typed_also_when_kalshi_is_away(project: Project) -> None:
    project.must("load", "--since", "1h")

    result = project.run("run", KALSHI_API_URL=NOBODY, SOURCES__KALSHI__ATTEMPTS="2")

    row = last_run(project)
    assert result.status == 1
    assert row["outcome"] == "failed"
    assert "can't be reached" in row["error"] and "\n" not in row["error"]
    assert row["requests"] == {"unreachable": 2}
    assert row["rows_typed"]["markets"] == 10
    assert "can't be reached" in result.last_line


def test_a_failed_test_fails_the_run_and_is_named(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.must("run", "--since", "1h")
    models = ("-s", "+events", "rejects_keys_enforced", *ALONE)
    monkeypatch.setattr("kalshi_elt.job.run.transform", partial(transform, arguments=models))
    project.query("alter table kalshi.rejects drop constraint pk_rejects")

    result = project.run("run", "--no-candles")

    row = last_run(project)
    assert result.status == 1
    assert row["outcome"] == "failed"
    assert row["tests_failed"] == ["rejects_keys_enforced"]
    assert "rejects_keys_enforced" in row["error"]


def test_a_run_that_was_killed_is_found_by_the_next(project: Project) -> None:
    with Simulator(Exchange.demo()) as slow:
        slow.faults.add("hang", path="/events", count=1, seconds=600)
        given = Project(project.database_url, slow, project.work)
        process = start_command(("run", "--since", "1h"), environment(given))
        wait_until_running(given)
        process.kill()
        assert end_of(process) == -signal.SIGKILL
    project.must("run", "--since", "1h")

    assert project.query("select outcome from kalshi_ops.runs order by run_id") == [
        ("killed",),
        ("succeeded",),
    ]


def test_a_run_that_is_stopped_says_so(project: Project) -> None:
    with Simulator(Exchange.demo()) as slow:
        slow.faults.add("hang", path="/events", count=1, seconds=5)
        with started(Project(project.database_url, slow, project.work)) as process:
            assert stop(process) == 130

    row = last_run(project)
    assert (row["outcome"], row["error"]) == ("interrupted", "stopped")
    assert row["ended_at"] is not None


def stop(process: "subprocess.Popen[bytes]") -> int:
    """As a service manager does, and again: a signal may come within a callback, where Python
    passes over what it raises."""
    for _ in range(4):
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            return process.wait(15)
    raise AssertionError("a run that is stopped goes on")


@contextmanager
def started(project: Project) -> Iterator["subprocess.Popen[bytes]"]:
    """A run in a process of its own that has noted its start."""
    with subprocess.Popen(
        [sys.executable, "-m", "kalshi_elt", "run", "--since", "1h"],
        env={**os.environ, **environment(project)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_until_running(project)
        try:
            yield process
        finally:
            process.kill()


def environment(project: Project) -> dict[str, str]:
    return {
        "DATABASE_URL": project.database_url,
        "KALSHI_API_URL": project.simulator.url,
        "DLT_DATA_DIR": tempfile.mkdtemp(dir=project.work),
    }


def wait_until_running(project: Project) -> None:
    """Until a run has noted its start."""
    wait_for(project, "select to_regclass('kalshi_ops.runs') is not null")
    wait_for(project, "select exists (select from kalshi_ops.runs where outcome = 'running')")


def wait_for(project: Project, condition: str) -> None:
    deadline = time.monotonic() + 60
    while project.query(condition) != [(True,)]:
        assert time.monotonic() < deadline, condition
        time.sleep(0.05)


# The budget


@pytest.fixture
def busy(server_url: str, dbt_work: Path) -> Iterator[Project]:
    """A warehouse of an exchange whose candles take 40 requests, at 2 a second 20 seconds."""
    exchange = Exchange.generate(events=40, markets_per_event=2, pace="quiet")
    with (
        Simulator(exchange) as simulator,
        empty_project(server_url, simulator, dbt_work) as project,
    ):
        yield project


@pytest.mark.slow
def test_a_run_ends_before_its_budget_and_the_next_ones_go_on(busy: Project) -> None:
    # the same moment for both runs
    since = iso(time.time() - 40 * DAY)
    arguments = ("run", "--status", "all", "--interval", "1", "--since", since)
    settings = {"SOURCES__KALSHI__RATE": "2", "SOURCES__KALSHI__SECONDS_PER_PACKAGE": "1"}
    started_at = time.monotonic()

    result = busy.must(*arguments, "--budget", "20s", **settings)

    assert time.monotonic() - started_at < 20
    row = last_run(busy)
    assert row["outcome"] == "out of time"
    assert "the budget is used up, the next run goes on" in result.out
    assert row["gaps"] > 0
    assert row["rows_landed"]["candles"] > 0
    # on a busy machine the budget may have ended the transform, too
    assert row["rows_typed"] is None or row["rows_typed"]["candles"] > 0
    busy.must(*arguments)
    assert last_run(busy)["outcome"] == "succeeded"
    assert last_run(busy)["gaps"] == 0


def test_a_transform_is_cut_off_at_the_budget_in_good_order(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The models that could not be built are built by the next run."""
    if is_cluster(project.database_url):
        pytest.skip("a trigger makes it slow, which a distributed table can't have")
    project.must("run", "--since", "1h")
    project.query(SLOW_CANDLES)
    monkeypatch.setattr("kalshi_elt.job.run.LAST_SECONDS", 16.0)

    result = project.run("run", "--budget", "20s")

    assert result.status == 0, result.err
    assert last_run(project)["outcome"] == "out of time"
    assert "Traceback" not in result.err
    project.query("drop trigger slow on kalshi.markets")
    project.must("run")
    assert last_run(project)["outcome"] == "succeeded"


SLOW_CANDLES = """
create function public.slow() returns trigger language plpgsql as $$
begin
    perform pg_sleep(20);
    return null;
end $$;
create trigger slow before insert on kalshi.markets for each statement
execute function public.slow();
"""


@pytest.mark.parametrize("budget", ["4", "soon", "0m", "-1m", "1w", "5s"])
def test_a_budget_that_is_none_is_refused(project: Project, budget: str) -> None:
    result = project.run("run", f"--budget={budget}")

    assert result.status == 2
    assert "--budget" in result.err and result.err.count("\n") == 1


# Telling


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    with running_monitor() as monitor:
        yield monitor


def test_a_monitor_hears_of_each_run_that_succeeded(project: Project, monitor: Monitor) -> None:
    project.must("run", "--since", "1h", "--on-success", monitor.url, "--on-failure", NOBODY)

    (body,) = monitor.bodies
    assert body.keys() == {"text"}
    assert "run 1 succeeded: landed 1 event" in body["text"]


def test_a_monitor_hears_of_a_failed_run_from_a_setting(project: Project, monitor: Monitor) -> None:
    project.run(
        *("run", "--on-success", NOBODY),
        KALSHI_API_URL=NOBODY,
        SOURCES__KALSHI__ATTEMPTS="1",
        KALSHI_ON_FAILURE=monitor.url,
    )

    (body,) = monitor.bodies
    assert "failed" in body["text"] and "can't be reached" in body["text"]


def test_a_monitor_hears_of_a_server_that_is_away_and_no_password(
    project: Project, monitor: Monitor
) -> None:
    result = project.run(
        *("run", "--on-failure", monitor.url),
        DATABASE_URL="postgresql://kalshi:pa55word@127.0.0.1:1/kalshi",
    )

    (body,) = monitor.bodies
    assert result.status == 1
    assert "run failed: DATABASE_URL" in body["text"]
    assert "pa55word" not in body["text"] + result.err


def test_a_run_beside_another_one_tells_nobody(project: Project, monitor: Monitor) -> None:
    warehouse = project.warehouse()
    with hold_lock(warehouse, wait=False):
        project.run("run", "--on-failure", monitor.url, "--on-success", monitor.url)

    assert monitor.bodies == []
