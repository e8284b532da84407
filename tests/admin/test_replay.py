"""`replay` makes the typed tables from raw alone; `--verify` finds every row that was not so."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from kalshi_elt.admin.replay import BUILT_AT
from kalshi_elt.ops.lock import hold_lock
from tests.conftest import Project, copied
from tests.support.landing import Landing, Window, candle, event, land, market
from tests.support.tables import KEYED_TABLES, typed_rows

pytestmark = pytest.mark.slow  # dbt builds everything once or twice in each

LANDINGS = (
    Landing(
        events=[event()],
        markets=[market(), market("N"), market("BAD", yes_bid_dollars="x")],
        windows=[Window("M", [candle(1), candle(2)]), Window("N", [candle(1)])],
    ),
    Landing(
        minute=70,
        events=[event(title="Who now?")],
        markets=[market(status="closed"), market("LATE", "UNKNOWN")],
        windows=[Window("M", [candle(2, volume_fp="5.00"), candle(3)])],
    ),
)


@pytest.fixture(scope="module")
def template(raw_template: Project) -> Iterator[Project]:
    """A warehouse after two loads, each typed, that the tests copy."""
    with copied(raw_template) as project:
        for landing in LANDINGS:
            land(project, landing)
            project.must("dbt", "run")
        yield project


@pytest.fixture
def built(template: Project) -> Iterator[Project]:
    """A copy of it."""
    with copied(template) as project:
        yield project


def report(out: str) -> dict[str, str]:
    """What is said of each table, without the number of rows."""
    lines = [line.partition(" ") for line in out.splitlines()]
    return {name: rest.strip() for name, _, rest in lines if name in KEYED_TABLES}


def test_rows_that_are_not_what_raw_says_are_named_and_mended(built: Project) -> None:
    right = typed_rows(built)
    built.query("update kalshi.candles set volume_fp = 7 where market_ticker = 'N'")
    built.query(
        "insert into kalshi.candles select (jsonb_populate_record(c, "
        """'{"interval_min": 60}')).* from kalshi.candles c where market_ticker = 'N'"""
    )
    built.query("delete from kalshi.candles where market_ticker = 'M' and volume_fp = 5")
    built.query("update kalshi.events set title = ''")
    built.query("update kalshi.field_drift set seen_count = 77")

    result = built.run("replay", "--verify")

    assert result.status == 1
    said = report(result.out)
    assert said["events"] == "1 row of 1 differs: E (changed)"
    assert said["candles"] == (
        "3 rows of 4 differ: M 1 2026-11-01 00:02:00+00 (new), "
        "N 1 2026-11-01 00:01:00+00 (changed), N 60 2026-11-01 00:01:00+00 (gone)"
    )
    assert said["markets"].startswith("equal, ")
    # of many rows a few are named
    many = len(right["field_drift"])
    assert said["field_drift"].startswith(f"{many} rows of {many} differ: ")
    assert said["field_drift"].count("(changed)") == 3 and said["field_drift"].endswith(", ...")
    assert result.last_line.startswith(
        "kalshi-elt: replay: rows were not as kalshi_raw says in "
        f"candles (3), events (1), field_drift ({many}); "
    )
    assert typed_rows(built) == right


def test_tables_that_are_what_raw_says_are_equal_and_what_waits_to_be_typed_makes_no_difference(
    built: Project,
) -> None:
    land(built, Landing(minute=80, windows=[Window("N", [candle(4), candle(5)])]))

    said = report(built.must("replay", "--verify").out)

    assert said.keys() == KEYED_TABLES.keys()
    assert said["candles"] == "equal, 6 rows"
    assert all(line.startswith("equal, ") for line in said.values()), said


@pytest.mark.one_server
def test_replay_alone_mends_too_and_ends_well(built: Project) -> None:
    right = typed_rows(built)
    built.query("update kalshi.candles set volume_fp = 7")

    out = built.must("replay").out

    assert out.splitlines()[-1].startswith("rebuilt 11 tables from kalshi_raw (")
    assert typed_rows(built) == right


@pytest.mark.one_server
def test_candles_whose_raw_rows_were_pruned_are_kept_and_counted(built: Project) -> None:
    built.must("prune", "--raw-older-than", "1h")
    now = (datetime.now(UTC) - datetime(2026, 11, 1, tzinfo=UTC)).total_seconds() / 60
    land(built, Landing(minute=now, windows=[Window("M", [candle(9)])]))
    candles = typed_rows(built)["candles"]

    result = built.must("replay", "--verify")

    said = report(result.out)
    kept = "of which 4 candles are kept, as their raw rows were pruned"
    assert said["candles"] == f"equal, 5 rows, {kept}"
    assert said["field_drift"].endswith(
        "; those of candles are not compared, as raw rows were pruned"
    )
    assert [row for row in typed_rows(built)["candles"] if row not in candles] == [
        row for row in typed_rows(built)["candles"] if "00:09" in row[0]["end_ts"]
    ]
    assert kept in built.must("replay").out.splitlines()[-1]


@pytest.mark.one_server
def test_no_load_lands_in_between(built: Project) -> None:
    with hold_lock(built.warehouse(), wait=False):
        assert built.run("replay").status == 3
        assert built.run("replay", "--verify").status == 3


@pytest.mark.one_server
@pytest.mark.parametrize("arguments", [(), ("--verify",)])
def test_before_anything_landed_the_next_step_is_named(
    project: Project, arguments: tuple[str, ...]
) -> None:
    result = project.run("replay", *arguments)

    assert (result.status, result.err.count("\n")) == (1, 1)
    assert "make load" in result.last_line


def test_all_that_is_not_compared_is_a_time_of_building(dbt_nodes: list[dict[str, Any]]) -> None:
    metas = [node["config"]["meta"] for node in dbt_nodes if node["name"] in KEYED_TABLES]

    assert len(metas) == len(KEYED_TABLES)
    assert {name for meta in metas for name in meta.get("written_always", [])} <= BUILT_AT
    assert {name for meta in metas for name in meta.get("written_once", [])} - BUILT_AT == {
        "gone_at"
    }
