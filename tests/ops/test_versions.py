"""A warehouse says which version it is of; older ones are carried forward, newer ones refused.

`tests/ops/warehouses/version_N.sql.gz` are dumps of small warehouses as version N left them: the
simulator's demo event after one load and one transform.
"""

import gzip
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import psycopg2
import pytest

from kalshi_elt.ops.versions import FOLDER, VERSION
from simulator import Simulator
from tests.conftest import Project, copied, empty_project

WAREHOUSES = Path(__file__).parent / "warehouses"
OLD = range(1, VERSION)

COLUMNS = """
select
    c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
    pg_get_expr(d.adbin, d.adrelid), obj_description(c.oid)
from pg_class as c
inner join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef as d on a.attrelid = d.adrelid and a.attnum = d.adnum
where c.relnamespace = 'kalshi_ops'::regnamespace and c.relkind = 'r'
order by c.relname, a.attnum
"""
CONSTRAINTS = """
select conrelid::regclass::text, conname, pg_get_constraintdef(oid)
from pg_constraint where connamespace = 'kalshi_ops'::regnamespace and contype <> 'n' order by 1, 2
"""
INDEXES = "select indexdef from pg_indexes where schemaname = 'kalshi_ops' order by 1"
TYPED = ("series", "events", "markets", "candles", "market_history", "field_drift")


Restored = Callable[[int], Project]


@pytest.fixture
def restored(server_url: str, simulator: Simulator, dbt_work: Path) -> Iterator[Restored]:
    """Makes the warehouse of a version's dump."""
    with ExitStack() as stack:

        def restore(version: int) -> Project:
            project = stack.enter_context(empty_project(server_url, simulator, dbt_work))
            dump = gzip.decompress((WAREHOUSES / f"version_{version}.sql.gz").read_bytes())
            with (
                closing(psycopg2.connect(project.database_url)) as connection,
                connection,
                connection.cursor() as cursor,
            ):
                cursor.execute(dump.decode())
            return project

        yield restore


@pytest.fixture(scope="module")
def new(server_url: str, simulator: Simulator, dbt_work: Path) -> Iterator[Project]:
    """A warehouse of this version. For tests that only read."""
    with empty_project(server_url, simulator, dbt_work) as project:
        project.must("load", "--since", "10m")
        yield project


@pytest.fixture
def old(restored: Restored) -> Project:
    return restored(1)


def test_a_new_warehouse_is_of_this_version(new: Project) -> None:
    assert new.query("select version from kalshi_ops.warehouse_version") == [(VERSION,)]


def test_there_is_a_way_and_a_dump_for_each_older_version() -> None:
    assert {path.name for path in FOLDER.glob("upgrade_to_*.sql")} == {
        f"upgrade_to_{version + 1}.sql" for version in OLD
    }
    assert {f"version_{version}.sql.gz" for version in OLD} <= {
        path.name for path in WAREHOUSES.iterdir()
    }


@pytest.mark.parametrize("version", OLD)
def test_an_upgraded_warehouse_is_like_a_new_one(
    new: Project, restored: Restored, version: int
) -> None:
    upgraded = restored(version)

    result = upgraded.must("upgrade")

    assert result.out.endswith(
        f"is of version {VERSION} now, and was of {version}; every row is kept\n"
    )
    for query in (COLUMNS, CONSTRAINTS, INDEXES):
        assert upgraded.query(query) == new.query(query)


@pytest.mark.one_server
@pytest.mark.parametrize("version", OLD)
def test_an_upgrade_keeps_every_row_and_the_next_run_goes_on(
    restored: Restored, version: int
) -> None:
    project = restored(version)
    raw = ("kalshi_raw.candlesticks", "kalshi_raw.markets")
    tables = [*raw, *(f"kalshi.{name}" for name in TYPED)]
    before = {table: rows(project, table) for table in tables}
    project.must("upgrade")

    assert {table: rows(project, table) for table in tables} == before
    keys = project.query("select market_ticker, end_ts from kalshi.candles")
    run_on(project)
    for table in raw:
        assert before[table] <= rows(project, table), f"{table}: rows were lost or changed"
    found = project.query("select market_ticker, end_ts from kalshi.candles")
    assert set(keys) <= set(found)
    assert project.query("select min(build) from kalshi_ops.loads") == [(1,)], "typed once more"


def run_on(project: Project) -> None:
    """A run for the half hour around a dump's end, whenever the test runs; without data tests."""
    ((end,),) = project.query("select max(end_ts) from kalshi.candles")
    since, until = (end + timedelta(minutes=minutes) for minutes in (-15, 15))
    project.must(
        *("run", "--since", since.isoformat(), "--until", until.isoformat()),
        DBT_RESOURCE_TYPES="model",
    )


def rows(project: Project, table: str) -> set[str]:
    return {row for (row,) in project.query(f"select to_jsonb(t)::text from {table} t")}


@pytest.mark.one_server
def test_an_older_warehouse_is_told_apart_in_one_line(old: Project) -> None:
    for command in ("load", "run", "transform", "status", "check"):
        result = old.run(command)

        assert (command, result.status, result.err.count("\n")) == (command, 1, 1)
        assert f"is of version 1, and this kalshi-elt works with {VERSION}" in result.err
        assert "run `kalshi-elt upgrade`" in result.err


@pytest.mark.one_server
def test_a_newer_warehouse_is_refused_in_one_line(new: Project) -> None:
    newer = f"is of version 99, and this kalshi-elt knows {VERSION}: update the program"
    with copied(new) as project:
        project.query("update kalshi_ops.warehouse_version set version = 99")

        for command in ("load", "run", "transform", "status", "upgrade"):
            result = project.run(command)

            assert (command, result.status, result.err.count("\n")) == (command, 1, 1)
            assert newer in result.err


@pytest.mark.one_server
def test_an_upgrade_that_fails_changes_nothing(old: Project) -> None:
    """What stands in the way here is a table of the user's."""
    old.query("create table kalshi_ops.warehouse_versions_of_mine (version integer)")
    old.query("alter table kalshi_ops.warehouse_versions_of_mine rename to dbt_runs")
    before = old.query(COLUMNS)

    result = old.run("upgrade")

    assert result.status == 1
    assert result.err.count("\n") == 1
    assert old.query(COLUMNS) == before
    old.query("drop table kalshi_ops.dbt_runs")
    old.must("upgrade")


@pytest.mark.one_server
def test_a_warehouse_of_this_version_goes_on(restored: Restored) -> None:
    """A dump of each version is kept, from which later versions are tested."""
    project = restored(VERSION)
    keys = project.query("select market_ticker, end_ts from kalshi.candles")

    run_on(project)

    found = project.query("select market_ticker, end_ts from kalshi.candles")
    assert set(keys) <= set(found)
    assert project.query("select min(build) from kalshi_ops.loads") == [(1,)], "typed once more"


def test_what_is_of_this_version_stays_as_it_is(new: Project) -> None:
    assert f"is of version {VERSION} already" in new.must("upgrade").out


@pytest.mark.one_server
def test_there_is_nothing_to_upgrade_where_nothing_is(project: Project) -> None:
    result = project.run("upgrade")

    assert result.status == 1
    assert "is not a warehouse yet: `make load` makes one" in result.err
