"""Keys and indexes survive every kind of run, and readers never find a table missing."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.transform.build import WITHOUT_UNIT_TESTS
from tests.conftest import Project, copied
from tests.support.landing import Landing, Window, candle, event, land, market
from tests.support.tables import KEYED_TABLES, NEVER_FILLED, typed_rows

CONSTRAINTS = {
    **{
        f"fk_{table}_market": "FOREIGN KEY (market_ticker) REFERENCES "
        "kalshi.markets(market_ticker) ON DELETE CASCADE"
        for table in (
            *("candles", "market_history", "prices_before_close"),
            *("candles_1h", "candles_1d", "candles_1d_utc"),
        )
    },
    "fk_markets_event": "FOREIGN KEY (event_ticker) REFERENCES kalshi.events(event_ticker) "
    "ON DELETE CASCADE",
    "pk_candles": "PRIMARY KEY (market_ticker, interval_min, end_ts)",
    "pk_candles_1d": "PRIMARY KEY (market_ticker, end_ts)",
    "pk_candles_1d_utc": "PRIMARY KEY (market_ticker, end_ts)",
    "pk_candles_1h": "PRIMARY KEY (market_ticker, end_ts)",
    "pk_events": "PRIMARY KEY (event_ticker)",
    "pk_field_drift": "PRIMARY KEY (entity, tier, field_path)",
    "pk_market_history": "PRIMARY KEY (market_ticker, valid_from)",
    "pk_markets": "PRIMARY KEY (market_ticker)",
    "pk_prices_before_close": "PRIMARY KEY (market_ticker, hours_before_close)",
    "pk_rejects": "PRIMARY KEY (entity, market_ticker, reject_key)",
    "pk_series": "PRIMARY KEY (series_ticker)",
}
INDEXES = {
    "idx_candles_fetched_at": "brin (fetched_at) WITH (autosummarize='on')",
    "idx_candles_market_interval_endts": "btree (market_ticker, interval_min, end_ts DESC)",
    "idx_market_history_current": "btree (market_ticker) WHERE is_current",
    "idx_markets_event_ticker": "btree (event_ticker)",
    "idx_markets_status": "btree (status)",
}
ROWS = Landing(
    events=[event()],
    markets=[market(), market("BAD", yes_bid_dollars="x")],
    windows=[Window("M", [candle(1), candle(2)])],
)
MORE_ROWS = Landing(
    minute=5,
    events=[event(title="Who now?", new_field=1)],
    markets=[market(status="closed"), market("N")],
    windows=[Window("M", [candle(2, volume_fp="5.00"), candle(3, price=1)])],
)


@pytest.fixture(scope="module")
def template(raw_template: Project) -> Iterator[Project]:
    """A warehouse after the first build."""
    with copied(raw_template) as project:
        land(project, ROWS)
        project.must("dbt", "run")
        yield project


@pytest.fixture
def built(template: Project) -> Iterator[Project]:
    """A copy of it."""
    with copied(template) as project:
        yield project


def _assert_keys(project: Project) -> None:
    constraints = project.query(
        "select conname, pg_get_constraintdef(oid), convalidated from pg_constraint "
        "where connamespace = 'kalshi'::regnamespace and contype in ('p', 'f') and conparentid = 0"
    )
    assert {name: definition for name, definition, _ in constraints} == CONSTRAINTS
    assert all(valid for *_, valid in constraints)
    indexes = project.query(
        "select relname, substring(pg_get_indexdef(indexrelid) from 'USING (.*)'), "
        "indisvalid and indisready from pg_index join pg_class on pg_class.oid = indexrelid "
        "where relnamespace = 'kalshi'::regnamespace and not relispartition"
    )
    assert all(valid for *_, valid in indexes)
    assert {
        name: definition for name, definition, _ in indexes if name.startswith("idx")
    } == INDEXES
    assert {name for name, *_ in indexes if not name.startswith("idx")} == {
        name for name in CONSTRAINTS if name.startswith("pk")
    }


def test_first_and_incremental_builds_and_full_refreshes_keep_keys_and_rows(
    built: Project,
) -> None:
    _assert_keys(built)

    land(built, MORE_ROWS)
    built.must("dbt", "run")
    _assert_keys(built)
    rows = typed_rows(built)
    assert all(rows[table] for table in KEYED_TABLES if table not in NEVER_FILLED)

    for arguments in (
        ("build", *WITHOUT_UNIT_TESTS, "--full-refresh"),
        ("run", "--full-refresh", "-s", "events"),
        ("run", "--full-refresh", "-s", "markets"),
        ("run", "--full-refresh", "-s", "candles", "market_history"),
        ("run",),
    ):
        built.must("dbt", *arguments)
        _assert_keys(built)
        assert typed_rows(built) == rows, arguments


@pytest.mark.one_server
def test_a_failed_run_changes_nothing_and_the_next_one_types_what_it_missed(
    built: Project,
) -> None:
    land(built, MORE_ROWS)
    built.query("alter table kalshi.candles add constraint no_trades check (volume_fp = 0)")

    assert built.run("dbt", "run").status == 1
    assert built.query("select count(*) from kalshi.candles") == [(2,)]
    built.query("alter table kalshi.candles drop constraint no_trades")
    _assert_keys(built)

    built.must("dbt", "run")
    _assert_keys(built)
    rows = typed_rows(built)
    built.must("dbt", "run", "--full-refresh")
    assert typed_rows(built) == rows


@pytest.mark.one_server
def test_a_killed_run_leaves_keys_and_the_next_one_ends_it(built: Project) -> None:
    land(built, MORE_ROWS)
    before = typed_rows(built)
    with closing(psycopg2.connect(built.database_url)) as blocker:
        # the run waits for this lock in the middle of its work, and is killed there
        blocker.cursor().execute("lock table kalshi.candles in share mode")
        run = subprocess.Popen(
            [sys.executable, "-m", "kalshi_elt", "dbt", "run", "--full-refresh"],
            cwd=PROJECT_ROOT,
            env={
                **os.environ,
                "DATABASE_URL": built.database_url,
                "DBT_TARGET_PATH": str(built.work / "killed" / "target"),
                "DBT_LOG_PATH": str(built.work / "killed" / "logs"),
                "DLT_DATA_DIR": str(built.work / "dlt"),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        waiting = (
            "select count(*) from pg_locks "
            "where not granted and relation = 'kalshi.candles'::regclass"
        )
        deadline = time.monotonic() + 120
        while built.query(waiting) == [(0,)]:
            assert run.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        run.send_signal(signal.SIGKILL)
        run.wait()
    _assert_keys(built)
    assert typed_rows(built)["candles"] == before["candles"]

    built.must("dbt", "run")
    _assert_keys(built)
    rows = typed_rows(built)
    built.must("dbt", "run", "--full-refresh")
    assert typed_rows(built) == rows


@pytest.mark.one_server
def test_readers_find_every_table_with_its_rows_while_it_is_rebuilt(built: Project) -> None:
    stop = threading.Event()
    missing: list[str] = []
    reads = 0

    def read() -> None:
        nonlocal reads
        with closing(psycopg2.connect(built.database_url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("set statement_timeout = '2s'")
                while not stop.is_set():
                    for table in ("events", "markets", "candles", "market_history", "settlements"):
                        try:
                            cursor.execute(f"select count(*) from kalshi.{table}")
                            (count,) = cursor.fetchone() or (0,)
                            if table != "settlements" and not count:
                                missing.append(f"{table} is empty")
                        except psycopg2.Error as error:
                            missing.append(str(error))
                    reads += 1
                    time.sleep(0.01)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        built.must("dbt", "run", "--full-refresh")
    finally:
        stop.set()
        reader.join()

    assert not missing
    assert reads > 10
