"""A backup holds the whole warehouse, and a restored one goes on where the other stood."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg2
import pytest

from kalshi_elt.admin.backup import SCHEMAS
from kalshi_elt.base.errors import WarehouseError
from kalshi_elt.ops.lock import hold_lock
from kalshi_elt.warehouse.client_programs import client_program
from simulator import Simulator
from tests.conftest import Project, empty_project
from tests.support.clock import HOUR
from tests.support.landing import Landing, Window, candle, event, land, market
from tests.support.processes import end_of, start_command
from tests.support.tables import typed_rows
from tests.support.world import World, world_at_noon

FOUND = (
    "select count(*) from pg_class where relnamespace in "
    "(select oid from pg_namespace where nspname = any (%s)) and relkind in ('r', 'p', 'v')"
)
WAITING = "select count(*) from pg_locks where not granted"
SOON = 60.0

RAW = (
    "select md5(string_agg(t::text, '|' order by t::text)) from kalshi_raw.candlesticks as t",
    "select md5(string_agg(t::text, '|' order by t::text)) from kalshi_raw.markets as t",
    "select md5(string_agg(t::text, '|' order by t::text)) from kalshi_ops.objects as t",
    "select md5(string_agg(t::text, '|' order by t::text)) from kalshi_ops.coverage as t",
)

PROBABILITIES = (
    "select count(probability) from kalshi.event_probabilities("
    "'E', 1, '2026-11-01 00:00+00', '2026-11-01 00:05+00')"
)


@pytest.fixture(scope="module")
def small(server_url: str, simulator: Simulator, dbt_work: Path) -> Iterator[Project]:
    """A warehouse with a few rows. For tests that only read it."""
    with empty_project(server_url, simulator, dbt_work) as project:
        land(
            project,
            Landing(
                events=[event()], markets=[market()], windows=[Window("M", [candle(1), candle(2)])]
            ),
        )
        project.must("dbt", "run")
        yield project


@pytest.fixture(scope="module")
def saved(small: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it. For tests that only read it."""
    folder = tmp_path_factory.mktemp("backups") / "saved"
    assert "backed up" in small.must("backup", str(folder)).out
    return folder


TYPE_CANDLES = ("dbt", "run", "-s", "+candles")


def typed_candles(project: Project) -> list[tuple[object, ...]]:
    return project.query(
        "select to_jsonb(candles) - 'created_at' from kalshi.candles "
        "order by market_ticker, interval_min, end_ts"
    )


@pytest.fixture
def target(server_url: str, simulator: Simulator, dbt_work: Path) -> Iterator[Project]:
    """Another, empty warehouse."""
    with empty_project(server_url, simulator, dbt_work) as project:
        yield project


def fingerprints(project: Project) -> list[object]:
    return [project.query(query) for query in RAW]


def definitions(project: Project) -> list[tuple[object, ...]]:
    """Keys, indexes and partitions of all tables, settings and comments."""
    return project.query(
        "select relnamespace::regnamespace::text, relname, relkind::text, reloptions, "
        "obj_description(pg_class.oid, 'pg_class'), pg_get_expr(relpartbound, pg_class.oid), "
        "array(select pg_get_constraintdef(oid) from pg_constraint "
        "where conrelid = pg_class.oid and contype <> 'n' order by 1), "
        "array(select pg_get_indexdef(indexrelid) from pg_index where indrelid = pg_class.oid "
        "order by 1) from pg_class where relnamespace::regnamespace::text = any (%s) "
        "and relkind in ('r', 'p', 'v', 'i', 'I', 'S') order by 1, 2",
        list(SCHEMAS),
    )


def test_a_restored_warehouse_is_as_the_other_one(
    small: Project, saved: Path, target: Project
) -> None:
    out = target.must("restore", str(saved)).out

    assert out.startswith("restored ") and out.count("\n") == 1
    assert fingerprints(target) == fingerprints(small)
    assert definitions(target) == definitions(small)
    assert typed_rows(target) == typed_rows(small)
    # its body names no database
    (minutes,) = small.query(PROBABILITIES)
    assert target.query(PROBABILITIES) == [minutes]
    assert minutes > (0,)


@pytest.mark.one_server
@pytest.mark.slow
def test_a_restored_warehouse_goes_on_where_the_other_stood(
    project: Project, target: Project, tmp_path: Path
) -> None:
    with world_at_noon(project) as world:
        world.load("--since", "2h")
        project = world.project
        project.must("dbt", "run")
        project.must("backup", str(tmp_path / "saved"))
        restored = World(replace(project, database_url=target.database_url), world.clock)
        restored.project.must("restore", str(tmp_path / "saved"))
        assert typed_rows(restored.project) == typed_rows(project)
        assert len(typed_rows(restored.project)["candles"]) > 100

        world.clock.pass_by(HOUR)
        tickers = [t for (t,) in project.query("select market_ticker from kalshi.markets")]
        both = []
        for one in (world, restored):
            one.load()
            both.append([one.asked(ticker) for ticker in tickers])
            one.project.must("dbt", "run")

        # nothing that the backup covers is asked for again
        assert both[0] == both[1]
        assert any(both[1])
        assert typed_rows(restored.project) == typed_rows(project)
        restored.project.must("dbt", "test", "-s", "path:dbt_project/tests/integrity")


@pytest.mark.one_server
@pytest.mark.slow
def test_restored_into_the_same_place_the_folder_of_later_loads_does_no_harm(
    project: Project, tmp_path: Path
) -> None:
    with world_at_noon(project) as world:
        project = world.project
        world.load("--since", "1h")
        project.must("backup", str(tmp_path / "saved"))
        world.clock.pass_by(HOUR)
        world.load()
        project.must(*TYPE_CANDLES)
        rows = typed_candles(project)
        for schema in SCHEMAS:
            project.query(f"drop schema {schema} cascade")

        project.must("restore", str(tmp_path / "saved"))
        world.load()
        project.must(*TYPE_CANDLES)

    assert typed_candles(project) == rows


@pytest.mark.one_server
def test_a_warehouse_with_something_in_it_is_not_restored_over(small: Project, saved: Path) -> None:
    before = fingerprints(small)

    result = small.run("restore", str(saved))

    assert (result.status, result.err.count("\n")) == (1, 1)
    assert "already holds kalshi." in result.err and "empty database" in result.err
    assert fingerprints(small) == before


@pytest.mark.one_server
def test_a_restore_that_fails_leaves_nothing_and_the_next_one_works(
    small: Project, saved: Path, target: Project, tmp_path: Path
) -> None:
    saved = Path(shutil.copytree(saved, tmp_path / "saved"))
    largest = max(saved.glob("*.dat.gz"), key=lambda file: file.stat().st_size)
    whole = largest.read_bytes()
    largest.write_bytes(whole[: len(whole) // 2])

    result = target.run("restore", str(saved))

    assert (result.status, result.err.count("\n")) == (1, 1)
    assert "(pg_restore, " in result.err
    assert target.query(FOUND, list(SCHEMAS)) == [(0,)]
    largest.write_bytes(whole)
    target.must("restore", str(saved))
    assert fingerprints(target) == fingerprints(small)


@pytest.mark.one_server
def test_what_is_no_backup_is_told(small: Project, tmp_path: Path) -> None:
    result = small.run("restore", str(tmp_path))

    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "that is not a backup" in result.err


@pytest.mark.one_server
def test_a_backup_does_not_mind_a_load_and_a_restore_does(
    small: Project, tmp_path: Path, target: Project
) -> None:
    with hold_lock(small.warehouse(), wait=False):
        small.must("backup", str(tmp_path / "saved"))
    with hold_lock(target.warehouse(), wait=False):
        assert target.run("restore", str(tmp_path / "saved")).status == 3
    target.must("restore", str(tmp_path / "saved"))


@pytest.mark.one_server
def test_a_folder_that_is_there_is_left_alone(small: Project, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")

    result = small.run("backup", str(tmp_path))

    assert (result.status, result.err.count("\n")) == (2, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.one_server
def test_a_folder_that_can_not_be_made_is_named(small: Project, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    result = small.run("backup", str(tmp_path / "file" / "saved"))

    assert (result.status, result.err.count("\n")) == (1, 1)
    assert str(tmp_path / "file") in result.err


def wait_for_pg_dump(project: Project) -> None:
    """Until it waits for a table that the test has locked."""
    deadline = time.monotonic() + SOON
    while project.query(WAITING) == [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.one_server
def test_a_failed_backup_leaves_nothing(small: Project, tmp_path: Path) -> None:
    def end_it() -> None:
        wait_for_pg_dump(small)
        small.query(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where application_name = 'pg_dump' and datname = current_database()"
        )

    with closing(psycopg2.connect(small.database_url)) as blocker:
        blocker.cursor().execute("lock table kalshi.events in access exclusive mode")
        ender = threading.Thread(target=end_it)
        ender.start()
        result = small.run("backup", str(tmp_path / "saved"))
        ender.join()

    assert (result.status, result.err.count("\n")) == (1, 1)
    assert "(pg_dump, " in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.one_server
def test_a_killed_backup_leaves_no_folder_and_the_next_one_is_whole(
    small: Project, tmp_path: Path, target: Project
) -> None:
    with closing(psycopg2.connect(small.database_url)) as blocker:
        # pg_dump waits for this lock, and goes on by itself when we are killed
        blocker.cursor().execute("lock table kalshi.events in access exclusive mode")
        command = ("backup", str(tmp_path / "saved"))
        run = start_command(command, {"DATABASE_URL": small.database_url})
        wait_for_pg_dump(small)
        run.kill()
        assert end_of(run) == -signal.SIGKILL
        assert not (tmp_path / "saved").exists()
        second = small.run("backup", str(tmp_path / "saved"))
        assert (second.status, "another backup" in second.err) == (3, True)

    deadline = time.monotonic() + SOON
    while (result := small.run("backup", str(tmp_path / "saved"))).status == 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)

    assert result.status == 0
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    target.must("restore", str(tmp_path / "saved"))
    assert fingerprints(target) == fingerprints(small)


@pytest.mark.one_server
def test_the_password_is_in_no_process_list(small: Project, tmp_path: Path) -> None:
    password = small.warehouse().password or "trusted"
    with patch("kalshi_elt.admin.backup.subprocess.run", wraps=subprocess.run) as spy:
        small.must("backup", str(tmp_path / "saved"))

    commands = [" ".join(call.args[0]) for call in spy.call_args_list]
    assert any("pg_dump --format=directory" in command for command in commands)
    assert not any(password in command for command in commands)


@pytest.mark.one_server
def test_before_anything_landed_the_next_step_is_named(project: Project, tmp_path: Path) -> None:
    result = project.run("backup", str(tmp_path / "saved"))

    assert result.status == 1
    assert "run `make load`" in result.last_line
    assert list(tmp_path.iterdir()) == []


def test_of_several_programs_the_oldest_that_is_not_older_than_the_server_is_taken(
    tmp_path: Path,
) -> None:
    for version in (14, 16, 17):
        program = tmp_path / str(version) / "bin" / "pg_dump"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}.3'\n")
        program.chmod(0o755)

    def path(*versions: int) -> Any:
        folders = [str(tmp_path / str(version) / "bin") for version in versions]
        return patch.dict(os.environ, {"PATH": ":".join([*folders, "/nowhere"])})

    with (
        path(),
        patch("kalshi_elt.warehouse.client_programs.INSTALLED", tmp_path),
        patch("kalshi_elt.warehouse.client_programs.is_packaged", return_value=False),
    ):
        assert client_program("pg_dump", 15) == str(tmp_path / "16" / "bin" / "pg_dump")
        with path(17), patch("kalshi_elt.warehouse.client_programs.INSTALLED", Path("/nowhere")):
            assert client_program("pg_dump", 17) == str(tmp_path / "17" / "bin" / "pg_dump")
        with pytest.raises(WarehouseError, match=r"pg_dump 18 or newer.*pg_dump 17 is there"):
            client_program("pg_dump", 18)
        with pytest.raises(WarehouseError, match="pg_none 15 or newer is needed, as the server"):
            client_program("pg_none", 15)
