"""`kalshi-elt grant`: the pipeline works under roles that may do no more than they need."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from simulator import Simulator
from tests.conftest import Project, empty_project

USERS = {
    "loads_only": "kalshi_loader",
    "transforms_only": "kalshi_transformer",
    "reads_only": "kalshi_reader",
    "does_both": "kalshi_loader, kalshi_transformer",
    "nobody_special": None,
}


@pytest.fixture(scope="module")
def users(server_url: str) -> Iterator[None]:
    """Users who can log in; they get their roles when a project is granted."""
    with closing(psycopg2.connect(server_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for user in USERS:
                cursor.execute(f"create role {user} login password 'secret'")
        yield
        with connection.cursor() as cursor:
            for user in USERS:
                cursor.execute(f"drop role {user}")


@pytest.fixture
def granted(project: Project, users: None) -> Project:
    """An empty warehouse with roles, as its owner sees it."""
    project.must("grant")
    for user, roles in USERS.items():
        if roles:
            project.query(f"grant {roles} to {user}")
    return project


def as_user(project: Project, user: str) -> Project:
    """The same warehouse under another user."""
    info = psycopg2.extensions.parse_dsn(project.database_url)
    url = f"postgresql://{user}:secret@{info['host']}:{info['port']}/{info['dbname']}"
    return Project(url, project.simulator, project.work)


def may(project: Project, statement: str) -> bool:
    try:
        project.query(statement)
    except psycopg2.errors.InsufficientPrivilege:
        return False
    return True


def test_each_role_does_its_part_and_no_more(granted: Project) -> None:
    loader, transformer, reader = (
        as_user(granted, user) for user in ("loads_only", "transforms_only", "reads_only")
    )
    loader.must("load", "--since", "1h")
    transformer.must("transform")

    assert granted.query("select count(*) from kalshi.markets") == [(10,)]
    assert not may(loader, "select from kalshi.markets")
    assert not may(loader, "create table kalshi.mine ()")
    assert not may(transformer, "delete from kalshi_raw.markets")
    assert not may(transformer, "truncate kalshi_ops.coverage")
    assert not may(transformer, "create table kalshi_raw.mine ()")
    assert may(reader, "select from kalshi.candles")
    assert may(reader, "select from kalshi.settlements")
    assert may(reader, "select from kalshi.market_summary")
    assert may(reader, "select from kalshi.candles_filled('M', 60, now() - interval '1d', now())")
    assert may(
        reader, "select from kalshi.event_probabilities('E', 5, now() - interval '1d', now())"
    )
    assert may(reader, "select from kalshi_ops.runs")
    assert not may(reader, "select from kalshi_raw.markets")
    assert not may(reader, "delete from kalshi.markets")
    assert not may(reader, "create table kalshi.mine ()")


@pytest.mark.one_server
def test_one_user_with_both_roles_runs_the_job(granted: Project, tmp_path: Path) -> None:
    """What the user makes later can be read too: partitions of other months, tables made anew."""
    job, reader = as_user(granted, "does_both"), as_user(granted, "reads_only")

    job.must("run", "--since", "1h")
    before = partitions(granted)
    job.must("load", "--since", "70d", "--interval", "1440", "--status", "all")
    granted.query("drop table kalshi.rejects")
    job.must("dbt", "run", "--full-refresh")
    job.must("run")
    job.must("check")
    job.must("status")
    job.must("prune", "--raw-older-than", "1d")
    job.must("replay", "--verify")
    job.must("export", "--to", str(tmp_path / "export"))
    job.must("backup", str(tmp_path / "backup"))

    new = partitions(granted) - before
    assert new
    for table in (*new, "kalshi.candles", "kalshi.rejects"):
        assert may(reader, f"select from {table}"), table
    owners = granted.query(
        "select schemaname, array_agg(distinct tableowner::text) from pg_tables "
        "where schemaname like 'kalshi%' group by 1 order by 1"
    )
    assert owners == [
        ("kalshi", ["kalshi_transformer"]),
        ("kalshi_ops", ["kalshi_loader"]),
        ("kalshi_raw", ["kalshi_loader"]),
    ]


def partitions(project: Project) -> set[str]:
    rows = project.query(
        "select inhrelid::regclass::text from pg_inherits "
        "where inhparent = 'kalshi.candles'::regclass"
    )
    return {name for (name,) in rows}


def test_a_warehouse_that_is_in_use_can_be_granted(project: Project, users: None) -> None:
    project.must("run", "--since", "1h")
    project.must("grant")
    project.query("grant kalshi_loader, kalshi_transformer to does_both")

    as_user(project, "does_both").must("run")
    project.must("load")
    project.must("dbt", "run", "-s", "+candles")
    project.must("grant")


def test_who_may_not_grant_is_told_in_one_line(granted: Project) -> None:
    result = as_user(granted, "does_both").run("grant")

    assert result.status == 1
    assert result.err.count("\n") == 1
    assert "only a superuser, or the owner of the database with CREATEROLE, can grant" in result.err


def test_roles_of_one_database_change_nothing_in_another(
    granted: Project, server_url: str, simulator: Simulator
) -> None:
    """Roles belong to the whole server."""
    with empty_project(server_url, simulator, granted.work) as other:
        other.must("load", "--since", "1h")
        other.must("dbt", "run", "-s", "+candles")

        assert other.query(
            "select distinct schemaname, tableowner from pg_tables "
            "where schemaname like 'kalshi%' order by 1"
        ) == [(schema, "kalshi") for schema in ("kalshi", "kalshi_ops", "kalshi_raw")]


def test_a_user_without_a_role_is_told_in_one_line(granted: Project) -> None:
    result = as_user(granted, "nobody_special").run("load")

    assert result.status == 1
    assert "permission denied" in result.err
    assert result.err.count("\n") == 1
