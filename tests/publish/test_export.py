"""What an export holds is what the warehouse holds, to the last digit, and a kill harms nothing."""

import csv
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.publish.export.export import export as run_export
from kalshi_elt.publish.export.folder import MANIFEST
from kalshi_elt.publish.export.pieces import NOT_EXPORTED, Piece, batches
from simulator import Simulator
from tests.conftest import Project, copied, empty_project
from tests.support.databases import is_cluster
from tests.support.landing import Landing, Window, candle, event, land, market
from tests.support.processes import end_of, start_command

# U+FFFD is what landing writes for NUL
STRANGE = 'He said "no",\nthen\r\nleft; \u202eRTL\u200f \U0001f389 \\N \\. NULL \ufffd end'
ROWS = Landing(
    minute=70,
    events=[event(title=STRANGE, sub_title=""), event("F", title="NaN", sub_title=None)],
    markets=[
        market(floor_strike=0.1, cap_strike=12345.678901, custom_strike={"a": STRANGE}),
        market("N", "F", status="finalized", result="yes", settlement_value_dollars="1.0000"),
        market("BAD", yes_bid_dollars="x"),
    ],
    windows=[
        Window("M", [candle(1, volume_fp="1234567890.12"), candle(2)]),
        Window("N", [candle(1)]),
        Window("N", [candle(60)], 60),
    ],
)
COPIED = "insert into kalshi.candles select (jsonb_populate_record(c, %s)).* from kalshi.candles c "
DAY_1 = "candles/interval_min=1/day=2026-11-01/part-0"
DAY_2 = "candles/interval_min=1/day=2026-11-02/part-0"


@pytest.fixture(scope="module")
def template(server_url: str, simulator: Simulator, dbt_work: Path) -> Iterator[Project]:
    """A warehouse that the tests copy, as that is quicker than building one."""
    with empty_project(server_url, simulator, dbt_work) as project:
        land(project, ROWS)
        project.must("dbt", "run")
        # one that ends at midnight
        project.query(
            COPIED + "where market_ticker = 'M' and end_ts = '2026-11-01 00:01+00'",
            json.dumps({"end_ts": "2026-11-02 00:00+00"}),
        )
        yield project


@pytest.fixture
def typed(template: Project) -> Iterator[Project]:
    """A copy of it."""
    with copied(template) as project:
        yield project


@dataclass(frozen=True)
class Exported:
    """A warehouse, and an export of it."""

    project: Project
    folder: Path
    said: str


@pytest.fixture(scope="module")
def as_parquet(template: Project, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """For tests that only read."""
    folder = tmp_path_factory.mktemp("exports") / "new" / "out"
    return Exported(template, folder, export(template, folder))


@pytest.fixture
def exported(as_parquet: Exported, typed: Project, tmp_path: Path) -> Exported:
    """A copy of both."""
    folder = tmp_path / "exported"
    shutil.copytree(as_parquet.folder, folder)
    return Exported(typed, folder, as_parquet.said)


def export(project: Project, folder: Path, file_format: str = "parquet") -> str:
    result = project.must("export", "--format", file_format, "--to", str(folder))
    assert result.out.count("\n") == 1
    return result.out


def files(folder: Path) -> set[str]:
    """All files but the manifest, without their suffix."""
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return {path.with_suffix("").as_posix() for path in found if path.name != MANIFEST}


def written(folder: Path) -> dict[str, tuple[int, int]]:
    """What tells a file that was written anew."""
    stats = {path: path.stat() for path in folder.rglob("part-0.*")}
    stats |= {path: path.stat() for path in folder.glob("[!.]*") if path.name != MANIFEST}
    return {
        path.relative_to(folder).with_suffix("").as_posix(): (stat.st_ino, stat.st_mtime_ns)
        for path, stat in stats.items()
        if path.is_file()
    }


@dataclass(frozen=True)
class Relation:
    """A table of the warehouse, with its columns' types."""

    name: str
    types: dict[str, str]

    def rows(self, project: Project) -> list[tuple[Any, ...]]:
        columns = ", ".join(
            f"{name}::text" if type == "jsonb" else name for name, type in self.types.items()
        )
        return sort(project.query(f"select {columns} from kalshi.{self.name}"))


def relations(project: Project) -> list[Relation]:
    found: dict[str, dict[str, str]] = {}
    for table, column, type_name in project.query(
        "select relname, attname, format_type(atttypid, atttypmod) from pg_attribute "
        "join pg_class on attrelid = pg_class.oid where relnamespace = 'kalshi'::regnamespace "
        "and relkind in ('r', 'p', 'v') and not relispartition and attnum > 0 "
        "and not attisdropped order by 1, attnum"
    ):
        found.setdefault(table, {})[column] = type_name
    return [Relation(name, types) for name, types in found.items() if name not in NOT_EXPORTED]


def sort(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=repr)


def parquet_rows(folder: Path, relation: Relation) -> list[tuple[Any, ...]]:
    whole = folder / relation.name
    table = pq.read_table(whole if whole.is_dir() else whole.with_suffix(".parquet"))
    return sort([tuple(row[name] for name in relation.types) for row in table.to_pylist()])


def same_moment(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Times in a form that does not show the zone in which a driver hands them over."""
    return sort(
        [tuple(v.timestamp() if isinstance(v, datetime) else v for v in row) for row in rows]
    )


def assert_equal_to_warehouse(project: Project, folder: Path) -> None:
    for relation in relations(project):
        expected = same_moment(relation.rows(project))
        if not expected and not (folder / f"{relation.name}.parquet").exists():
            assert not (folder / relation.name).exists()
            continue
        assert same_moment(parquet_rows(folder, relation)) == expected, relation.name


def test_parquet_holds_every_value_exactly_with_its_type(as_parquet: Exported) -> None:
    folder = as_parquet.folder
    assert_equal_to_warehouse(as_parquet.project, folder)
    assert "exported 15 tables" in as_parquet.said
    assert pq.read_table(folder / "events.parquet")["title"].to_pylist()[0].endswith("� end")
    schema = pq.read_schema(folder / f"{DAY_1}.parquet")
    assert schema.field("trade_open_dollars").type == pa.decimal128(10, 6)
    assert schema.field("volume_fp").type == pa.decimal128(20, 2)
    assert schema.field("trade_open").type == pa.int16()
    assert schema.field("volume").type == pa.int64()
    assert schema.field("end_ts").type == pa.timestamp("us", tz="UTC")
    assert "interval_min" not in schema.names
    markets = pq.read_table(folder / "markets.parquet").to_pylist()
    assert markets[0]["cap_strike"] == Decimal("12345.678901")
    assert json.loads(markets[0]["custom_strike"]) == {"a": STRANGE}
    drift = pq.read_schema(folder / "field_drift.parquet")
    assert drift.field("json_types").type == pa.list_(pa.string())


def test_no_column_is_a_float(as_parquet: Exported) -> None:
    for path in as_parquet.folder.rglob("*.parquet"):
        assert not [field for field in pq.read_schema(path) if pa.types.is_floating(field.type)], (
            path
        )


@pytest.fixture(scope="module")
def as_csv(template: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    """Of a database with settings of its own. For tests that only read."""
    folder = tmp_path_factory.mktemp("exports")
    with copied(template) as project:
        name = project.database_url.rpartition("/")[2]
        project.query(f"alter database {name} set timezone = 'America/New_York'")
        project.query(f"alter database {name} set datestyle = 'SQL, DMY'")
        yield Exported(project, folder, export(project, folder, "csv"))


def test_csv_copied_back_into_postgres_is_the_same(as_csv: Exported) -> None:
    typed, tmp_path = as_csv.project, as_csv.folder
    with closing(psycopg2.connect(typed.database_url)) as connection:
        cursor = connection.cursor()
        for relation in relations(typed):
            cursor.execute(f"create temporary table back (like kalshi.{relation.name})")
            whole = tmp_path / f"{relation.name}.csv"
            for path in [whole] if whole.exists() else (tmp_path / relation.name).rglob("*.csv"):
                with path.open(newline="") as file:
                    cursor.copy_expert("copy back from stdin with (format csv, header)", file)
            for one, other in permutations(("back", f"kalshi.{relation.name}")):
                cursor.execute(f"select * from {one} except all select * from {other}")
                assert cursor.fetchall() == [], relation.name
            cursor.execute(
                f"select (select count(*) from back), (select count(*) from kalshi.{relation.name})"
            )
            assert len(set(cursor.fetchone() or ())) == 1, relation.name
            cursor.execute("drop table back")


def test_csv_is_what_any_reader_of_csv_understands_and_times_are_utc_whatever_the_settings_are(
    as_csv: Exported,
) -> None:
    with (as_csv.folder / "events.csv").open(newline="") as file:
        events = list(csv.DictReader(file))
    assert [row["title"] for row in events] == [STRANGE, "NaN"]
    with (as_csv.folder / f"{DAY_1}.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    assert first["end_ts"] == "2026-11-01 00:01:00+00"
    assert (first["volume_fp"], first["interval_min"]) == ("1234567890.12", "1")
    assert (first["yes_bid_open_dollars"], first["trade_open"]) == ("0.340000", "")


def test_candles_lie_by_interval_and_the_day_of_their_end_and_history_by_day(
    as_parquet: Exported,
) -> None:
    assert files(as_parquet.folder) == {
        *(DAY_1, DAY_2, DAY_1.replace("min=1", "min=60")),
        "market_history/day=2026-11-01/part-0",
        *("series", "events", "markets", "rejects", "field_drift", "settlements"),
        *("candles_1h/day=2026-11-01/part-0", "candles_1d", "candles_1d_utc"),
        *("market_summary", "prices_before_close", "calibration", "coverage"),
    }
    # it ends at midnight, so it lies in the day that begins then
    (row,) = pq.ParquetFile(as_parquet.folder / f"{DAY_2}.parquet").read().to_pylist()
    assert row["end_ts"].isoformat() == "2026-11-02T00:00:00+00:00"


@pytest.mark.one_server
def test_every_typed_model_of_dbt_is_exported(
    as_parquet: Exported, dbt_nodes: list[dict[str, Any]]
) -> None:
    models = {
        node["name"]
        for node in dbt_nodes
        if node["resource_type"] == "model"
        and node["schema"] == "kalshi"
        and node["config"]["materialized"] != "table_function"
    }
    exported = json.loads((as_parquet.folder / MANIFEST).read_text())["tables"].keys()
    assert exported == models - NOT_EXPORTED


@pytest.mark.one_server
def test_small_pieces_and_chunks_give_the_same_rows(template: Project, tmp_path: Path) -> None:
    with (
        patch("kalshi_elt.publish.export.export.batches", partial(batches, most_rows=1)),
        patch("kalshi_elt.publish.export.files.CHUNK_BYTES", 1),
    ):
        export(template, tmp_path)

    assert_equal_to_warehouse(template, tmp_path)
    assert pq.ParquetFile(tmp_path / f"{DAY_1}.parquet").num_row_groups == 3


def test_batches_hold_each_piece_once_and_no_more_rows_than_asked() -> None:
    pieces = [
        Piece("candles", (interval, day), rows, "")
        for day, rows in (("2026-11-02", 4), ("2026-11-01", 3), ("2026-11-03", 90))
        for interval in ("1", "60")
    ]

    found = list(batches(pieces, most_rows=10))

    assert sorted(piece.values for batch in found for piece in batch) == sorted(
        piece.values for piece in pieces
    )
    assert [sum(piece.rows for piece in batch) for batch in found] == [10, 4, 90, 90]


@pytest.mark.parametrize("file_format", ["parquet", "csv"])
def test_a_second_export_writes_nothing_and_then_only_what_changed(
    typed: Project, tmp_path: Path, file_format: str
) -> None:
    export(typed, tmp_path, file_format)
    before = written(tmp_path)

    assert "0 files written (0 bytes), 17 unchanged (" in export(typed, tmp_path, file_format)
    assert written(tmp_path) == before

    # as many rows, and no time that tells it
    typed.query("update kalshi.candles set volume_fp = 9.99 where market_ticker = 'N'")
    typed.query(COPIED + "where interval_min = 60", json.dumps({"end_ts": "2026-11-03 05:00+00"}))
    out = export(typed, tmp_path, file_format)

    after = written(tmp_path)
    changed = {name for name in after if after[name] != before.get(name)}
    hour = DAY_1.replace("min=1", "min=60")
    # a settled market's newest candle is in its settlement, too, and in its summary
    views = ("settlements", "market_summary")
    assert changed == {DAY_1, hour, hour.replace("11-01", "11-03"), *views}
    assert "5 files written" in out and "13 unchanged" in out
    if file_format == "parquet":
        assert_equal_to_warehouse(typed, tmp_path)


@pytest.mark.one_server
def test_a_day_that_is_gone_leaves_the_export(exported: Exported) -> None:
    typed, folder = exported.project, exported.folder
    typed.query("delete from kalshi.candles where end_ts >= '2026-11-02'")

    assert ", 1 removed (" in export(typed, folder)

    assert not (folder / DAY_2).parent.exists()
    assert_equal_to_warehouse(typed, folder)


@pytest.mark.one_server
def test_a_new_column_writes_the_table_anew(exported: Exported) -> None:
    typed, folder = exported.project, exported.folder
    typed.query("alter table kalshi.events rename column sub_title to subtitle")

    assert "1 file written" in export(typed, folder)
    assert "subtitle" in pq.read_schema(folder / "events.parquet").names


@pytest.mark.one_server
def test_a_file_that_was_lost_or_cut_is_written_again(exported: Exported) -> None:
    typed, folder = exported.project, exported.folder
    (folder / "events.parquet").unlink()
    (folder / f"{DAY_1}.parquet").write_bytes(b"PAR1")

    assert "2 files written" in export(typed, folder)
    assert_equal_to_warehouse(typed, folder)


@pytest.mark.one_server
def test_what_a_kill_leaves_is_cleared_away(exported: Exported) -> None:
    typed, folder = exported.project, exported.folder
    stray = folder / "candles" / "interval_min=1" / "day=1999-01-01" / "part-0.parquet"
    stray.parent.mkdir()
    stray.write_text("renamed, and killed before it was noted")
    (stray.parent / ".part-0.parquet.unfinished").write_text("half")

    export(typed, folder)

    assert not stray.parent.exists()
    assert_equal_to_warehouse(typed, folder)


@pytest.mark.one_server
@pytest.mark.slow
def test_an_export_that_is_killed_in_the_middle_goes_on(typed: Project, tmp_path: Path) -> None:
    for day in range(1, 9):
        typed.query(
            "insert into kalshi.candles select (jsonb_populate_record(c, jsonb_build_object("
            "'end_ts', '2026-11-01'::timestamptz + interval '1 day' * %s + interval '1 s' * n"
            "))).* from kalshi.candles c, generate_series(1, 300) n "
            "where interval_min = 60 and end_ts < '2026-11-02'",
            day,
        )
    command = ("export", "--to", str(tmp_path))
    # each row by itself, so that a file takes long
    slow = {"kalshi_elt.publish.export.files.CHUNK_BYTES": 1}
    run = start_command(command, {"DATABASE_URL": typed.database_url}, patches=slow)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.rglob("part-0.parquet"))) < 3:
        assert run.is_alive() and time.monotonic() < deadline
        time.sleep(0.001)
    run.kill()
    assert end_of(run) == -signal.SIGKILL
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    assert not manifest["is_complete"]
    kept = written(tmp_path)
    assert 3 <= len(kept) < 12
    for path in tmp_path.rglob("part-0.parquet"):
        assert pq.ParquetFile(path).metadata.num_rows > 0

    out = export(typed, tmp_path)

    # at most the file that was renamed and not yet noted is written again
    assert f"{len(manifest['files'])} unchanged" in out
    assert len(manifest["files"]) >= len(kept) - 1
    assert json.loads((tmp_path / MANIFEST).read_text())["is_complete"]
    assert_equal_to_warehouse(typed, tmp_path)


@pytest.fixture
def waiting_export(typed: Project, tmp_path: Path) -> Iterator[Any]:
    """An export that waits for a lock on `events`; what is run on the lock's connection commits."""
    with closing(psycopg2.connect(typed.database_url)) as blocker:
        cursor = blocker.cursor()
        # who would wait for it in vain gets it in the end
        cursor.execute("set idle_in_transaction_session_timeout = '60s'")
        cursor.execute("lock table kalshi.events in access exclusive mode")
        warehouse = typed.warehouse()
        runner = threading.Thread(target=run_export, args=(warehouse, tmp_path, "parquet"))
        runner.start()
        waiting = "select count(*) from pg_locks where not granted"
        deadline = time.monotonic() + 60
        while typed.query(waiting) == [(0,)]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield cursor
        blocker.commit()
        runner.join()


def test_all_tables_are_of_one_moment(typed: Project, tmp_path: Path, waiting_export: Any) -> None:
    if is_cluster(typed.database_url):
        pytest.skip(
            "nodes share no snapshot: an export keeps jobs out (tests/deploy/test_on_a_cluster.py)"
        )
    waiting_export.execute(
        "insert into kalshi.markets select (jsonb_populate_record(m, "
        "'{\"market_ticker\": \"LATE\"}')).* from kalshi.markets m where market_ticker = 'M'"
    )
    waiting_export.execute(COPIED + "where interval_min = 60", ['{"market_ticker": "LATE"}'])
    second = typed.run("export", "--to", str(tmp_path))
    waiting_export.connection.commit()
    deadline = time.monotonic() + 60
    while not (tmp_path / "settlements.parquet").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)

    for table in ("candles", "markets.parquet", "market_history"):
        tickers = pq.read_table(tmp_path / table)["market_ticker"].to_pylist()
        assert set(tickers) == {"M", "N"}, table
    assert second.status == 3
    assert (
        second.last_line
        == f"kalshi-elt: another export is writing to {tmp_path}: run again " + ("when it ends")
    )


@pytest.mark.one_server
def test_a_number_that_no_decimal_holds_is_text_and_stops_nothing(
    typed: Project, tmp_path: Path
) -> None:
    typed.query("update kalshi.markets set floor_strike = 1e-30, cap_strike = 1e25")

    export(typed, tmp_path)

    (first, *_) = pq.read_table(tmp_path / "markets.parquet").to_pylist()
    assert Decimal(first["floor_strike"]) == Decimal("1e-30")
    assert Decimal(first["cap_strike"]) == Decimal("1e25")


@pytest.mark.one_server
def test_a_folder_with_something_else_in_it_is_left_alone(
    template: Project, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")

    result = template.run("export", "--to", str(tmp_path))

    assert result.status == 2
    assert result.err == (
        f"kalshi-elt: --to {tmp_path}: the folder is not empty and is not an export; choose "
        "another one\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.one_server
def test_a_folder_holds_one_format(exported: Exported) -> None:
    typed, folder = exported.project, exported.folder
    before = written(folder)

    result = typed.run("export", "--format", "csv", "--to", str(folder))

    assert (result.status, written(folder)) == (2, before)
    assert "it holds an export as parquet" in result.last_line


@pytest.mark.one_server
@pytest.mark.parametrize("content", ["", "[]", "{}", '{"made_by": "me", "format": 1, "files": {}}'])
def test_a_manifest_of_somebody_else_is_left_alone(
    template: Project, tmp_path: Path, content: str
) -> None:
    (tmp_path / MANIFEST).write_text(content)

    result = template.run("export", "--to", str(tmp_path))

    assert result.status == 2
    assert "is not ours" in result.last_line
    assert (tmp_path / MANIFEST).read_text() == content


@pytest.mark.one_server
def test_a_folder_that_can_not_be_made_is_named(template: Project, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    result = template.run("export", "--to", str(tmp_path / "file" / "out"))

    assert (result.status, result.err.count("\n")) == (1, 1)
    assert f"export: Not a directory ({tmp_path / 'file' / 'out'}); mend that" in result.err


@pytest.mark.one_server
def test_a_full_disk_is_one_line_and_the_next_export_goes_on(
    typed: Project, tmp_path: Path
) -> None:
    """A limit on the size of files stands in for the disk."""
    typed.query(
        "insert into kalshi.rejects select 'event', md5(n::text), null, null, '', null, null, "
        "null, repeat(md5(n::text), 30), '{}', now(), now(), 'x' from generate_series(1, 5000) n"
    )
    result = subprocess.run(
        [sys.executable, "-m", "kalshi_elt", "export", "--format", "csv", "--to", str(tmp_path)],
        cwd=PROJECT_ROOT,
        env={**os.environ, "DATABASE_URL": typed.database_url},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("kalshi-elt: export: File too large (")
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("*.unfinished"))

    # what was whole before the disk was full is kept
    assert re.search(r" [1-9]\d* unchanged", export(typed, tmp_path, "csv"))
    assert (tmp_path / "rejects.csv").stat().st_size > 1_000_000


@pytest.mark.one_server
def test_without_the_extra_there_is_csv_and_for_parquet_what_to_install(
    typed: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "kalshi_elt.publish.export.parquet", raising=False)
    # an import of it fails as where it is not installed
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    refused = typed.run("export", "--to", str(tmp_path / "parquet"))
    export(typed, tmp_path / "csv", "csv")

    assert refused.status == 1
    assert refused.err.count("\n") == 1
    assert "this needs the extra `parquet`, which is not installed: run `make setup" in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["csv"]


@pytest.mark.one_server
def test_before_anything_is_typed_the_next_step_is_named(project: Project, tmp_path: Path) -> None:
    result = project.run("export", "--to", str(tmp_path / "out"))

    assert result.status == 1
    assert "run `make load && make transform` first" in result.last_line
    assert not (tmp_path / "out").exists()


@pytest.mark.one_server
def test_wrong_usage_ends_with_2(project: Project) -> None:
    for arguments in ((), ("--to", "x", "--format", "xlsx")):
        result = project.run("export", *arguments)
        assert (result.status, result.err.count("\n")) == (2, 1)
