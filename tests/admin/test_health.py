"""`status --check` and `--format prometheus`: for monitors."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kalshi_elt.admin.health import Limits, broken_promises, free_bytes_of
from kalshi_elt.admin.metrics import render_prometheus
from kalshi_elt.admin.status import LastRun, Status
from kalshi_elt.ops.gaps import Coverage
from kalshi_elt.warehouse.citus import Cluster, Node
from kalshi_elt.warehouse.sizes import Size
from tests.conftest import Project

pytestmark = pytest.mark.one_server

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LIMITS = Limits(oldest_data=3600, most_gaps=0, most_rejects=0, least_disk=2e9)
RUN = LastRun(7, "succeeded", NOW - timedelta(minutes=2), NOW, None, [], {"200": 12, "429": 1})
COVERAGE = Coverage(1, 10, NOW - timedelta(days=1), NOW, 0, 0, 0)
SOUND = Status(
    warehouse="kalshi@host:5432/kalshi",
    rows={},
    sizes={"kalshi.candles": Size(1_000, 320_000)},
    last_load=NOW,
    open_markets=10,
    settled_markets=2,
    gone_markets=1,
    known_markets=13,
    coverage=[COVERAGE],
    rejects={"market": 0},
    newest_data=NOW - timedelta(minutes=10),
    partitions=["2026_11", "2026_12"],
    last_run=RUN,
)


NODES = [Node("w1", 5432, True, True, 14, 240), Node("w2", 5433, False, True, 14, 640)]
CLUSTER = Cluster(NODES, shards=2, bytes=880, node_skew=1.45, shard_skew=None)


def check(status: Status, free_bytes: int | None = 10**11, now: datetime = NOW) -> list[str]:
    return broken_promises(status, LIMITS, now=now, free_bytes=free_bytes)


def test_a_sound_warehouse_breaks_no_promise() -> None:
    assert check(SOUND) == []


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"newest_data": NOW - timedelta(hours=3)}, "the newest data is 180 min old, 60 min are"),
        ({"newest_data": None}, "no candle has landed yet"),
        ({"coverage": [replace(COVERAGE, gaps=3)]}, "3 gaps in what was asked for, 0 allowed"),
        ({"rejects": {"market": 2, "candle": 3}}, "5 rejects, 0 allowed"),
        ({"partitions": ["2026_10"]}, "kalshi.candles has no partition for 2026_11"),
        (
            {"last_run": replace(RUN, outcome="failed", error="dbt build failed: x")},
            "run 7 failed: dbt build failed: x",
        ),
        ({"last_run": replace(RUN, outcome="killed")}, "run 7 killed"),
        ({"last_run": replace(RUN, tests_failed=["a", "b"])}, "run 7: 2 tests failed (a, b)"),
        ({"cluster": CLUSTER}, "node w2:5433 of the Citus cluster is not active"),
    ],
)
def test_each_broken_promise_is_a_line(broken: dict[str, object], says: str) -> None:
    (line,) = check(replace(SOUND, **broken))  # type: ignore[arg-type]

    assert line.startswith(says)


def test_the_month_to_come_needs_its_partition_a_week_ahead() -> None:
    sound = replace(SOUND, partitions=["2026_11"], newest_data=None)

    assert not any(
        "partition" in line for line in check(sound, now=datetime(2026, 11, 20, tzinfo=UTC))
    )
    assert any("2026_12" in line for line in check(sound, now=datetime(2026, 11, 28, tzinfo=UTC)))


def test_a_full_disk_is_a_broken_promise_where_it_can_be_seen() -> None:
    assert check(SOUND, free_bytes=None) == []
    assert check(SOUND, free_bytes=10**9)[0].startswith("1.0 GB are free on the disk, 2.0 GB")


def test_the_disk_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert free_bytes_of(tmp_path / "not" / "yet") == pytest.approx(free_bytes_of(tmp_path), 0.01)


def test_who_has_no_runs_breaks_no_promise_by_it() -> None:
    assert check(replace(SOUND, last_run=None)) == []


def test_metrics_are_what_the_status_says() -> None:
    families = text_string_to_metric_families(render_prometheus(SOUND) + "\n")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }

    assert samples[("kalshi_table_bytes", "kalshi.candles")] == 320_000
    assert samples[("kalshi_markets", "open")] == 10
    assert samples[("kalshi_coverage_gaps", "1")] == 0
    assert samples[("kalshi_rejects", "market")] == 0
    assert samples[("kalshi_newest_data_timestamp_seconds",)] == (NOW.timestamp() - 600)
    assert samples[("kalshi_last_run_success",)] == 1
    assert samples[("kalshi_last_run_duration_seconds",)] == 120
    assert samples[("kalshi_last_run_requests", "429")] == 1


def test_what_is_not_there_yet_has_no_metric() -> None:
    empty = replace(SOUND, last_run=None, newest_data=None, last_load=None, coverage=[], sizes={})

    said = render_prometheus(empty)

    assert "kalshi_last_run" not in said
    assert "kalshi_newest_data_timestamp_seconds" not in said


@pytest.mark.clock
def test_the_command_ends_with_1_and_a_line_for_each_broken_promise(project: Project) -> None:
    project.must("run", "--since", "1h")
    assert project.must("status", "--check").out == "all promises are kept\n"
    project.query("update kalshi_ops.runs set outcome = 'failed', error = 'no way'")
    # next month's too, as this one may end before the command looks
    project.query(
        "do $$ declare month timestamptz; begin "
        "foreach month in array array[now(), now() + interval '1 month'] loop "
        "execute format('drop table kalshi.candles_%s', "
        "to_char(month at time zone 'UTC', 'YYYY_MM')); end loop; end $$"
    )

    result = project.run("status", "--check", "--max-age", "1s", "--min-disk", "1e9")

    assert result.status == 1
    assert [line.split(" ", 2)[:2] for line in result.out.splitlines()] == [
        ["the", "newest"],
        ["run", "1"],
        ["kalshi.candles", "has"],
        [result.out.splitlines()[-1].split()[0], "GB"],
    ]


def test_the_command_speaks_prometheus(project: Project) -> None:
    project.must("run", "--since", "1h")
    project.query("analyze")

    said = project.must("status", "--format", "prometheus").out

    assert "kalshi_last_run_success 1.0\n" in said
    assert 'kalshi_table_rows_estimate{table="kalshi_raw.markets"} 10.0\n' in said
    (candles,) = (line for line in said.splitlines() if "bytes{" in line and "i.candles" in line)
    assert float(candles.split()[1]) > 0


def test_an_empty_warehouse_breaks_its_promise_of_data(project: Project) -> None:
    result = project.run("status", "--check")

    assert (result.status, result.out) == (1, "no candle has landed yet: run `kalshi-elt run`\n")


def test_metrics_of_a_cluster_name_its_nodes() -> None:
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(
            render_prometheus(replace(SOUND, cluster=CLUSTER))
        )
        for sample in family.samples
    }

    assert (found["kalshi_node_active", "w1:5432"], found["kalshi_node_active", "w2:5433"]) == (
        1,
        0,
    )
    assert found["kalshi_node_bytes", "w2:5433"] == 640
    assert (found["kalshi_shards",], found["kalshi_skew", "node"]) == (2, 1.45)
    assert ("kalshi_skew", "shard") not in found
    assert not any("node" in name for name in render_prometheus(SOUND).split())
