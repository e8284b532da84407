"""The Dagster definitions, materialised against the simulator. `make test-dagster` runs them."""

import importlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest

from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.ops.lock import hold_lock
from simulator import Exchange, Simulator
from simulator.servers import embedded_server
from tests.conftest import Project, new_database

dg = pytest.importorskip("dagster", reason="Dagster is an extra: `make test-dagster`")

if TYPE_CHECKING:
    import dagster as dg

pytestmark = pytest.mark.slow

RAW = ("kalshi_raw/series", "kalshi_raw/events", "kalshi_raw/markets", "kalshi_raw/candlesticks")
DAYS = "kalshi_raw/candlesticks_by_day"
TWO_HOURS = {"SOURCES__KALSHI__SINCE": "2h"}
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Orchestrated:
    """A warehouse, a simulated Kalshi and a Dagster instance over both."""

    project: Project
    instance: "dg.DagsterInstance"
    defs: "dg.Definitions"

    def run(self, job: str, **arguments: Any) -> "dg.ExecuteInProcessResult":
        """Run a job in this process."""
        variables = {**TWO_HOURS, "DATABASE_URL": self.project.database_url}
        with patch.dict(os.environ, variables):
            return self.defs.resolve_job_def(job).execute_in_process(
                instance=self.instance, raise_on_error=False, **arguments
            )

    def must(self, job: str, **arguments: Any) -> "dg.ExecuteInProcessResult":
        """Run a job that has to succeed."""
        result = self.run(job, **arguments)
        assert result.success, failures(result)
        return result

    def count(self, table: str) -> int:
        [(rows,)] = self.project.query(f"select count(*) from {table}")
        return int(rows)


def failures(result: "dg.ExecuteInProcessResult") -> dict[str, str]:
    """What the failed steps say, by step."""
    return {
        str(event.step_key): str(event.step_failure_data.user_failure_data.description)
        if event.step_failure_data.user_failure_data
        else str(event.step_failure_data.error)
        for event in result.get_step_failure_events()
    }


def materialized(result: "dg.ExecuteInProcessResult") -> set[str]:
    return {
        event.asset_key.to_user_string()
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dagster's home, with the project's settings of an instance."""
    folder = tmp_path_factory.mktemp("dagster")
    (folder / "dagster.yaml").write_bytes(
        (PROJECT_ROOT / "orchestration" / "dagster.yaml").read_bytes()
    )
    return folder


@pytest.fixture(scope="module")
def first(
    home: Path, tmp_path_factory: pytest.TempPathFactory, simulator: Simulator
) -> Iterator[Orchestrated]:
    """An empty warehouse on the embedded server."""
    work = tmp_path_factory.mktemp("work")
    variables = {
        "DAGSTER_HOME": str(home),
        "KALSHI_API_URL": simulator.url,
        "DBT_TARGET_PATH": str(work / "target"),
        "DBT_LOG_PATH": str(work / "logs"),
        "DLT_DATA_DIR": str(work / "dlt"),
        "SOURCES__KALSHI__RATE": "1000",
        "SOURCES__KALSHI__ATTEMPTS": "1",
    }
    with (
        embedded_server(tmp_path_factory.mktemp("pg")) as server,
        patch.dict(os.environ, variables),
        dg.DagsterInstance.get() as instance,
    ):
        project = Project(new_database(server), simulator, work)
        defs = importlib.import_module("orchestration.definitions").defs
        yield Orchestrated(project, instance, defs)


@pytest.fixture(scope="module")
def refreshed(first: Orchestrated) -> "tuple[Orchestrated, dg.ExecuteInProcessResult]":
    """A warehouse after one run of the job `refresh`."""
    return first, first.must("refresh")


@pytest.fixture
def empty(first: Orchestrated) -> Orchestrated:
    """An empty warehouse for one test."""
    project = replace(first.project, database_url=new_database(first.project.database_url))
    return replace(first, project=project)


@pytest.fixture
def graph(first: Orchestrated) -> Any:
    return first.defs.resolve_asset_graph()


def key(text: str) -> "dg.AssetKey":
    return dg.AssetKey(text.split("/"))


def test_raw_tables_and_models_are_one_graph(graph: Any) -> None:
    keys = {asset.to_user_string() for asset in graph.get_all_asset_keys()}
    models = {asset for asset in keys if not asset.startswith("kalshi_raw/")}

    assert keys - models == {*RAW, DAYS}
    assert {"kalshi/events", "kalshi/markets", "kalshi/candles"} < models
    assert all(graph.get(key(asset)).is_materializable for asset in keys)
    for model in models:
        upstream = {a.to_user_string() for a in graph.get_ancestor_asset_keys(key(model))}
        assert upstream & set(RAW), model


@pytest.mark.parametrize(
    ("model", "parents"),
    [
        ("kalshi_staging/stg_kalshi__series", {"kalshi_raw/series"}),
        ("kalshi_staging/stg_kalshi__events", {"kalshi_raw/events"}),
        ("kalshi_staging/stg_kalshi__markets", {"kalshi_raw/markets"}),
        ("kalshi_staging/stg_kalshi__candlesticks", {"kalshi_raw/candlesticks", DAYS}),
        ("kalshi/markets", {"kalshi/events", "kalshi_staging/stg_kalshi__markets"}),
        ("kalshi/candles", {"kalshi/markets", "kalshi_staging/stg_kalshi__candlesticks"}),
    ],
)
def test_the_graphs_edges_are_dbts(graph: Any, model: str, parents: set[str]) -> None:
    assert {asset.to_user_string() for asset in graph.get(key(model)).parent_keys} == parents


def test_raw_tables_are_described_as_dlt_lands_them(graph: Any) -> None:
    for name in RAW:
        asset = graph.get(key(name))
        columns = {c.name: c for c in asset.metadata["dagster/column_schema"].columns}
        assert asset.kinds == {"dlt", "postgres"}
        assert asset.description.startswith("One row per ")
        assert columns["payload"].type == "json"
        assert not columns["payload"].constraints.nullable
        assert columns["payload"].description


def test_every_test_of_dbt_is_a_check_of_an_asset(graph: Any) -> None:
    manifest = importlib.import_module("orchestration.dbt_manifest").MANIFEST
    tests = {n["name"] for n in manifest["nodes"].values() if n["resource_type"] == "test"}

    checks = {check.name: check.asset_key.to_user_string() for check in graph.asset_check_keys}

    assert set(checks) == tests
    assert checks["landed_rows_are_typed_or_rejected"] == "kalshi/rejects"
    assert checks["typed_sums_equal_landed_sums"] == "kalshi/candles"


def test_refresh_lands_types_and_tests_everything(
    refreshed: "tuple[Orchestrated, dg.ExecuteInProcessResult]", graph: Any
) -> None:
    world, result = refreshed
    checks = result.get_asset_check_evaluations()

    assert world.count("kalshi.events") == 1
    assert world.count("kalshi.markets") == 10
    assert world.count("kalshi.candles") > 100
    assert materialized(result) == {
        a.to_user_string() for a in graph.get_all_asset_keys() if a != key(DAYS)
    }
    assert {check.asset_check_key for check in checks} == graph.asset_check_keys
    assert [check.check_name for check in checks if not check.passed] == []


def test_the_figures_of_a_load_stand_with_its_tables(
    refreshed: "tuple[Orchestrated, dg.ExecuteInProcessResult]",
) -> None:
    world, result = refreshed
    figures = {
        m.asset_key.to_user_string(): {name: value.value for name, value in m.metadata.items()}
        for m in (e.materialization for e in result.get_asset_materialization_events())
    }

    assert figures["kalshi_raw/events"]["events"] == 1
    assert figures["kalshi_raw/markets"]["markets"] == 10
    assert figures["kalshi_raw/candlesticks"]["candles"] == world.count("kalshi.candles")


def test_no_password_is_written_by_dagster(
    refreshed: "tuple[Orchestrated, dg.ExecuteInProcessResult]", home: Path
) -> None:
    world, _ = refreshed
    password = (urlsplit(world.project.database_url).password or "").encode()
    target = Path(os.environ["DBT_TARGET_PATH"])
    files = [file for folder in (home, target) for file in folder.rglob("*") if file.is_file()]

    assert len(password) > 8
    assert len(files) > 3
    assert [file for file in files if password in file.read_bytes()] == []


def test_a_day_of_the_backfill_lands_that_days_candles_alone(empty: Orchestrated) -> None:
    start = today() - 2 * DAY

    result = empty.must("backfill", partition_key=f"{start:%Y-%m-%d}")

    assert candles(empty) == simulated(empty, start, start + DAY)
    assert empty.project.query(
        "select distinct window_start, window_end from kalshi_raw.candlesticks "
        "where not (window_start >= %s and window_end <= %s)",
        start,
        start + DAY,
    ) == []  # fmt: skip
    assert DAYS in materialized(result)
    assert [check for check in result.get_asset_check_evaluations() if not check.passed] == []


def test_several_days_of_the_backfill_share_a_run(empty: Orchestrated) -> None:
    start = today() - 4 * DAY
    ends = {"start": start, "end": start + 2 * DAY}

    empty.must(
        "backfill",
        tags={f"dagster/asset_partition_range_{end}": f"{ends[end]:%Y-%m-%d}" for end in ends},
    )

    assert candles(empty) == simulated(empty, start, start + 3 * DAY)
    landed = empty.instance.get_materialized_partitions(key(DAYS))
    assert {f"{start + n * DAY:%Y-%m-%d}" for n in range(3)} <= landed


def test_what_cant_be_landed_fails_the_step_in_one_line_and_what_landed_is_kept(
    empty: Orchestrated, simulator: Simulator
) -> None:
    with fault(simulator, path="/markets/candlesticks"):
        result = empty.run("refresh")

    [(step, message)] = failures(result).items()
    assert step == "load"
    assert message.startswith("not landed: ")
    assert "\n" not in message
    assert empty.count("kalshi_raw.markets") == 10
    assert materialized(result) == set()


def test_an_api_that_never_answers_fails_the_step_in_one_line(
    empty: Orchestrated, simulator: Simulator
) -> None:
    with fault(simulator, path=""):
        result = empty.run("refresh")

    [(step, message)] = failures(result).items()
    assert (step, message.count("\n")) == ("load", 0)
    assert "500" in message


def test_a_warehouse_that_is_not_there_fails_the_step_without_its_password(
    empty: Orchestrated,
) -> None:
    url = "postgresql://somebody:s3cret-w0rd@127.0.0.1:1/nothing"
    gone = replace(empty, project=replace(empty.project, database_url=url))

    result = gone.run("refresh")

    assert failures(result)["load"].startswith("DATABASE_URL: ")
    logs = "".join(str(entry) for entry in empty.instance.all_logs(result.run_id))
    assert "STEP_FAILURE" in logs
    assert "s3cret-w0rd" not in logs


def test_typing_before_the_first_load_says_so(empty: Orchestrated, graph: Any) -> None:
    models = [asset for asset in graph.get_all_asset_keys() if asset.path[0] != "kalshi_raw"]

    result = empty.run("refresh", asset_selection=models)

    [(step, message)] = failures(result).items()
    assert (step, message.count("\n")) == ("transform", 0)
    assert message.startswith("nothing has landed in ")


def test_a_dbt_that_cant_begin_fails_the_step_in_dbts_words(empty: Orchestrated) -> None:
    empty.must("refresh", asset_selection=[key(name) for name in RAW])
    typed = importlib.import_module("orchestration.typed")
    with patch.object(typed, "WITHOUT_UNIT_TESTS", ("--profile", "unheard-of")):
        result = empty.run("refresh")

    [(step, message)] = failures(result).items()
    assert (step, message.count("\n")) == ("transform", 0)
    assert message.startswith("dbt build failed: ")
    assert "unheard-of" in message
    assert len(message) < 300


def test_a_failing_test_of_dbt_fails_the_step_and_its_check(empty: Orchestrated) -> None:
    empty.must("refresh")
    empty.project.query(WRONG_PRICES)
    # so that the markets land and are typed once more
    empty.project.query("update kalshi_ops.objects set payload_hash = null")

    result = empty.run("refresh")

    failed = [c.check_name for c in result.get_asset_check_evaluations() if not c.passed]
    assert failed == ["markets_prices_between_zero_and_one"]
    assert failures(result) == {
        "transform": "dbt build failed: markets_prices_between_zero_and_one; dbt's output says why"
    }


WRONG_PRICES = """
create function public.wrong() returns trigger language plpgsql as $$
begin
    new.last_price_dollars := 1.5;
    return new;
end $$;
create trigger wrong before insert or update on kalshi.markets
for each row execute function public.wrong();
"""


def test_a_load_waits_for_another_one(empty: Orchestrated) -> None:
    held, ended = threading.Event(), []

    def hold() -> None:
        with hold_lock(warehouse, wait=False):
            held.set()
            time.sleep(3)
            ended.append(time.monotonic())

    warehouse = empty.project.warehouse()
    other = threading.Thread(target=hold)
    other.start()
    held.wait(10)

    result = empty.run("refresh", asset_selection=[key(name) for name in RAW])
    finished = time.monotonic()

    other.join()
    assert result.success, failures(result)
    assert ended[0] < finished


def test_the_schedule_refreshes_every_five_minutes(first: Orchestrated) -> None:
    schedule = first.defs.resolve_schedule_def("refresh_schedule")

    assert schedule.cron_schedule == "*/5 * * * *"
    assert schedule.job_name == "refresh"
    with dg.build_schedule_context(first.instance) as context:
        assert len(schedule.evaluate_tick(context).run_requests or []) == 1


def test_the_schedule_is_a_setting(first: Orchestrated) -> None:
    jobs = importlib.import_module("orchestration.jobs")
    try:
        with patch.dict(os.environ, {"KALSHI_CRON": "0 * * * *"}):
            assert importlib.reload(jobs).refresh_schedule.cron_schedule == "0 * * * *"
    finally:
        importlib.reload(jobs)


def test_the_schedule_waits_for_the_last_refresh(first: Orchestrated) -> None:
    schedule = first.defs.resolve_schedule_def("refresh_schedule")
    job = first.defs.resolve_job_def("refresh")
    run = first.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    try:
        with dg.build_schedule_context(first.instance) as context:
            tick = schedule.evaluate_tick(context)
    finally:
        first.instance.delete_run(run.run_id)

    assert not tick.run_requests
    assert tick.skip_message == "the last refresh is not finished"


def test_runs_take_turns_and_no_telemetry_is_sent(first: Orchestrated) -> None:
    pools = first.instance.get_concurrency_config().pool_config

    assert not first.instance.telemetry_enabled
    assert pools.default_pool_limit == 1
    assert pools.pool_granularity and pools.pool_granularity.value == "run"
    for job in ("refresh", "backfill"):
        steps = first.defs.resolve_job_def(job).nodes
        assert {step.definition.pool for step in steps} == {"kalshi_warehouse"}
    assert first.defs.resolve_job_def("backfill").tags["dagster/priority"] == "-1"


@contextmanager
def fault(simulator: Simulator, path: str) -> Iterator[None]:
    """The simulator answers 500 under `path` for the time of the block."""
    rule = simulator.faults.add("server_error", path=path)
    try:
        yield
    finally:
        simulator.faults.remove(rule)


def today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def candles(world: Orchestrated) -> set[tuple[str, int]]:
    return set(
        world.project.query(
            "select market_ticker, extract(epoch from end_ts)::bigint from kalshi.candles"
        )
    )


def simulated(world: Orchestrated, start: datetime, end: datetime) -> set[tuple[str, int]]:
    """Candles that the simulator has after `start` and until `end`."""
    exchange: Exchange = world.project.simulator.exchange
    found = {
        (ticker, candle.end_ts)
        for (ticker,) in world.project.query("select market_ticker from kalshi.markets")
        for candle in exchange.candles(ticker, 1, int(start.timestamp()) + 1, int(end.timestamp()))
    }
    assert len(found) > 100
    return found
