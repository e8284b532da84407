"""A plain warehouse, restored on a Citus coordinator, becomes a distributed one with every row."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg2
import pytest

from kalshi_elt.admin.backup import SCHEMAS
from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.warehouse import citus
from simulator import Simulator
from tests.conftest import Project, new_database
from tests.support.clock import HOUR
from tests.support.databases import CITUS_URL, NO_CITUS, drop_database
from tests.support.landing import Landing, Window, candle, event, land, market
from tests.support.tables import DISTRIBUTED_TABLES, REFERENCE_TABLES, layout, typed_rows
from tests.support.world import World, world_at_noon

pytestmark = [pytest.mark.citus, pytest.mark.skipif(not CITUS_URL, reason=NO_CITUS)]

SOON = 60.0

NUMBERS = itertools.count(1)

ROWS = (
    "kalshi_raw.candlesticks",
    *("kalshi_raw.markets", "kalshi_raw.events", "kalshi_ops.coverage", "kalshi_ops.objects"),
)


@dataclass(frozen=True)
class Everything:
    """What must be the same before and after."""

    typed: dict[str, list[tuple[Any, ...]]]
    landed: list[list[tuple[Any, ...]]]
    definitions: list[tuple[Any, ...]]


def everything(project: Project) -> Everything:
    return Everything(
        typed_rows(project),
        [
            # a distribution column holds no NULL: what has no ticker has an empty one
            project.query(
                "select to_jsonb(landed) || jsonb_build_object('market_ticker', "
                f"coalesce(to_jsonb(landed) ->> 'market_ticker', '')) from {table} as landed "
                "order by 1"
            )
            for table in ROWS
        ],
        project.query(
            "select relnamespace::regnamespace::text, relname, relkind::text, reloptions, "
            "obj_description(pg_class.oid, 'pg_class'), "
            "relowner::regrole::text, pg_get_expr(relpartbound, pg_class.oid), relacl::text, "
            "array(select pg_get_constraintdef(oid) from pg_constraint "
            "where conrelid = pg_class.oid and contype <> 'n' order by 1), "
            "array(select pg_get_indexdef(indexrelid) from pg_index "
            "where indrelid = pg_class.oid order by 1), "
            "case when relkind = 'v' then pg_get_viewdef(oid) end, "
            "array(select objsubid || description from pg_description "
            "where objoid = pg_class.oid order by 1) from pg_class "
            "where relnamespace::regnamespace::text = any (%s) "
            "and relkind in ('r', 'p', 'v', 'i', 'I', 'S') order by 1, 2, 3",
            list(SCHEMAS),
        ),
    )


@contextmanager
def plain_database() -> Iterator[str]:
    """A database of the coordinator without the extension: plain Postgres. Yields its URL."""
    name = f"test_{os.getpid()}_plain_{next(NUMBERS)}"
    with closing(psycopg2.connect(str(CITUS_URL))) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(f"create database {name}")
        yield str(CITUS_URL).rpartition("/")[0] + f"/{name}"
        cursor.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="module")
def saved(
    simulator: Simulator, dbt_work: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Project, Path]]:
    """A plain warehouse and its backup. For tests that only read."""
    with plain_database() as url:
        plain = Project(url, simulator, dbt_work)
        fill(plain)
        folder = tmp_path_factory.mktemp("distribute") / "saved"
        plain.must("backup", str(folder))
        yield plain, folder


def fill(plain: Project) -> None:
    land(
        plain,
        Landing(
            events=[event("E"), event("F")],
            markets=[
                *(market(f"M{number}", "E") for number in range(8)),
                *(market("N", "F"), market("W", "G"), {"no": "ticker"}),
            ],
            windows=[
                *(Window(f"M{number}", [candle(1), candle(2)]) for number in range(8)),
                Window("M0", "no list"),
            ],
        ),
    )
    plain.must("dbt", "run")


@pytest.fixture
def restored(saved: tuple[Project, Path]) -> Iterator[Project]:
    """The backup, restored on the cluster: still plain."""
    plain, folder = saved
    project = replace(plain, database_url=new_database(str(CITUS_URL)))
    assert "`kalshi-elt distribute`" in project.must("restore", str(folder)).out
    yield project
    drop_database(project.database_url)


def test_every_row_and_key_is_kept_and_a_second_run_changes_nothing(
    restored: Project, saved: tuple[Project, Path]
) -> None:
    before = everything(restored)
    assert before.typed == typed_rows(saved[0])
    assert (len(before.typed["candles"]), len(before.typed["rejects"])) == (16, 2)

    lines = restored.must("distribute").out.splitlines()

    assert everything(restored) == before
    assert layout(restored) == {"distributed": DISTRIBUTED_TABLES, "reference": REFERENCE_TABLES}
    assert any(line.split()[:3] == ["kalshi.candles", "16", "rows,"] for line in lines)
    assert len(lines) == len(DISTRIBUTED_TABLES) + len(REFERENCE_TABLES) + 1
    assert lines[-1].startswith("distributed ") and "every row and key is there" in lines[-1]
    assert "is distributed already: nothing was changed" in restored.must("distribute").out
    assert "all is distributed already" in restored.must("distribute", "--dry-run").out
    assert everything(restored) == before


def test_a_dry_run_prints_what_psql_could_run_and_runs_nothing(
    restored: Project, tmp_path: Path
) -> None:
    before = everything(restored)

    script = restored.must("distribute", "--dry-run").out

    assert layout(restored) == {}
    assert everything(restored) == before
    assert script.startswith("begin;\nlock table kalshi_raw.candlesticks, ")
    (tmp_path / "script.sql").write_text(script)
    restored.must("psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-f", str(tmp_path / "script.sql"))
    assert everything(restored) == before
    assert layout(restored)["distributed"] == DISTRIBUTED_TABLES


def test_keys_are_enforced_and_cascade_over_the_nodes(restored: Project) -> None:
    restored.must("distribute")

    with pytest.raises(psycopg2.Error, match="violates foreign key constraint"):
        restored.query(
            "insert into kalshi.market_history "
            'select (jsonb_populate_record(one, \'{"market_ticker": "nobody"}\')).* '
            "from kalshi.market_history as one where market_ticker = 'M1'"
        )
    with pytest.raises(psycopg2.Error, match="violates unique constraint"):
        restored.query("insert into kalshi.markets select * from kalshi.markets")
    restored.query("delete from kalshi.events where event_ticker = 'E'")
    assert restored.query("select market_ticker from kalshi.markets") == [("N",)]
    assert restored.query("select count(*) from kalshi.candles") == [(0,)]


def test_views_on_raw_tables_come_back_with_owner_grants_and_comments(
    restored: Project,
) -> None:
    restored.query(
        "create view public.mine with (security_barrier = true) as "
        "select market_ticker, count(*) as windows from kalshi_raw.candlesticks group by 1"
    )
    restored.query("create view public.more as select windows from public.mine")
    restored.query("comment on column public.mine.windows is 'It''s mine: 100%%'")
    restored.query("grant select (windows) on public.mine to public")
    about = (
        "select relname, relowner, reloptions, relacl::text, pg_get_viewdef(oid), "
        "(select array_agg(attacl::text) from pg_attribute where attrelid = pg_class.oid), "
        "col_description(oid, 2) from pg_class where relname in ('mine', 'more') order by 1"
    )
    before = restored.query(about)

    restored.must("distribute")

    assert restored.query(about) == before
    assert restored.query("select sum(windows) from public.more") == [(9,)]


def test_a_materialized_view_in_the_way_is_named_and_nothing_is_changed(restored: Project) -> None:
    restored.query(
        "create materialized view public.frozen as select market_ticker from kalshi_raw.markets"
    )
    before = everything(restored)
    has_varchar = restored.query(
        "select count(*) > 0 from information_schema.columns where table_schema = 'kalshi_raw' "
        "and column_name = 'market_ticker' and data_type <> 'text'"
    ) == [(True,)]

    result = restored.run("distribute")

    if has_varchar:
        assert (result.status, result.err.count("\n")) == (1, 1)
        assert "public.frozen" in result.err
        assert everything(restored) == before
        assert layout(restored) == {}


def test_a_row_that_went_missing_undoes_all_of_it(restored: Project) -> None:
    before = everything(restored)
    statements = citus.Distribution.distribute.fget  # type: ignore[attr-defined]
    lose = "delete from kalshi.candles where market_ticker = 'M3'"

    losing = property(lambda distribution: [*statements(distribution), lose])
    with patch.object(citus.Distribution, "distribute", losing):
        result = restored.run("distribute")

    assert (result.status, result.err.count("\n")) == (1, 1)
    assert "kalshi.candles has 16 rows, and 14 on the nodes" in result.err
    assert layout(restored) == {}
    assert everything(restored) == before


@pytest.mark.parametrize(
    "moment",
    [
        "alter table %",
        "select create_distributed_table('kalshi_raw.candlesticks'%",
        "select create_distributed_table('kalshi.candles'%",
        "select create_distributed_table('kalshi_raw.markets'%",
        "alter table kalshi.candles add constraint %",
        "select count(*), %kalshi.candles %",
    ],
)
@pytest.mark.slow
def test_killed_in_the_middle_it_changed_nothing_and_the_next_one_completes(
    restored: Project, moment: str
) -> None:
    before = everything(restored)
    with subprocess.Popen(
        [sys.executable, "-m", "kalshi_elt", "distribute"],
        cwd=PROJECT_ROOT,
        env={**os.environ, "DATABASE_URL": restored.database_url},
        stdout=subprocess.DEVNULL,
    ) as process:
        wait_for_statement(restored, moment, process)
        process.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + SOON
    while (result := restored.run("distribute")).status == 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)

    assert result.status == 0, result.err
    assert everything(restored) == before
    assert layout(restored)["distributed"] == DISTRIBUTED_TABLES


def wait_for_statement(project: Project, pattern: str, process: "subprocess.Popen[bytes]") -> None:
    """Until the command's session is at that statement, or just past it."""
    with closing(psycopg2.connect(project.database_url)) as connection:
        # within a transaction the activity would stand still
        connection.autocommit = True
        cursor = connection.cursor()
        while process.poll() is None:
            cursor.execute(
                "select count(*) from pg_stat_activity where datname = current_database() "
                "and pid <> pg_backend_pid() and query like %s",
                [pattern],
            )
            if cursor.fetchone() != (0,):
                return
    raise AssertionError(f"it ended before `{pattern}` was seen")


def test_while_a_load_runs_it_says_so(restored: Project) -> None:
    with psycopg2.connect(restored.database_url) as connection, connection.cursor() as cursor:
        cursor.execute("select pg_advisory_lock(%s, %s)", [0x6B616C73, 0x68690001])
        result = restored.run("distribute")

    assert (result.status, result.err.count("\n")) == (3, 1)
    assert layout(restored) == {}


def test_an_empty_database_of_a_cluster_needs_no_distributing(saved: tuple[Project, Path]) -> None:
    project = replace(saved[0], database_url=new_database(str(CITUS_URL)))

    result = project.run("distribute")

    drop_database(project.database_url)
    assert (result.status, result.err.count("\n")) == (1, 1)
    assert "nothing has landed" in result.err and "make load" in result.err


def test_a_backup_of_a_distributed_warehouse_restores_on_plain_postgres_and_on_a_cluster(
    restored: Project, saved: tuple[Project, Path], tmp_path: Path
) -> None:
    restored.must("distribute")
    before = everything(restored)
    restored.must("backup", str(tmp_path / "saved"))

    with plain_database() as url:
        plain = replace(restored, database_url=url)
        assert "kalshi-elt distribute" not in plain.must("restore", str(tmp_path / "saved")).out
        assert everything(plain) == before
    again = replace(restored, database_url=new_database(str(CITUS_URL)))
    again.must("restore", str(tmp_path / "saved"))
    again.must("distribute")
    assert everything(again) == before
    drop_database(again.database_url)


@pytest.mark.slow
def test_load_and_transform_go_on_where_the_plain_warehouse_stood(
    saved: tuple[Project, Path], tmp_path: Path
) -> None:
    with plain_database() as url, world_at_noon(replace(saved[0], database_url=url)) as world:
        moved = replace(world.project, database_url=new_database(str(CITUS_URL)))
        twin = World(moved, world.clock)
        world.load("--since", "2h")
        world.project.must("transform")
        world.project.must("backup", str(tmp_path / "saved"))
        moved.must("restore", str(tmp_path / "saved"))
        moved.must("distribute")

        world.clock.pass_by(HOUR)
        for one in (world, twin):
            one.load()
            one.project.must("transform")

        assert typed_rows(moved) == typed_rows(world.project)
        assert len(typed_rows(moved)["candles"]) > 100
        assert layout(moved)["distributed"] == DISTRIBUTED_TABLES
        drop_database(moved.database_url)
