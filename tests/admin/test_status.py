"""`status`: what is there, how new, what is missing; for people and for machines."""

import json

from tests.conftest import Project

FEW_TRIES = {"SOURCES__KALSHI__ATTEMPTS": "1", "SOURCES__KALSHI__WORKERS": "1"}


def machine_status(project: Project) -> dict[str, object]:
    found: dict[str, object] = json.loads(project.must("status", "--format", "json").out)
    return found


def test_an_empty_warehouse_has_nothing(project: Project) -> None:
    out = project.must("status").out

    assert "not there yet" in out
    assert "last load    none yet" in out


def test_it_counts_rows_markets_and_coverage(project: Project) -> None:
    project.must("load", "--interval", "1", "--interval", "60", "--since", "3h")

    found = machine_status(project)

    assert found["rows"] | {} == {  # type: ignore[operator]
        "kalshi_raw.series": 1,
        "kalshi_raw.events": 1,
        "kalshi_raw.markets": 10,
        "kalshi_raw.candlesticks": 20,
        "kalshi.series": None,
        "kalshi.events": None,
        "kalshi.markets": None,
        "kalshi.candles": None,
    }
    assert (found["open_markets"], found["known_markets"], found["gone_markets"]) == (10, 10, 0)
    coverage = found["coverage"]
    assert isinstance(coverage, list)
    assert [(one["interval_min"], one["markets"], one["gaps"]) for one in coverage] == [
        (1, 10, 0),
        (60, 10, 0),
    ]
    assert str(found["newest_data"]) <= str(found["last_load"])


def test_what_failed_is_a_gap_until_it_is_taken_up(project: Project) -> None:
    faults = project.simulator.faults
    fault = faults.add("server_error", path="/markets/candlesticks")
    try:
        assert project.run("load", **FEW_TRIES).status == 1
    finally:
        faults.remove(fault)

    out = project.must("status").out

    assert "10 gaps of" in out
    assert "in 10 markets: the next load asks for them" in out
    project.must("load")
    assert "no gaps" in project.must("status").out


def test_progress_and_summary_as_json_lines(project: Project) -> None:
    result = project.must("load", "--since", "1h", "--log-format", "json")

    lines = [json.loads(line) for line in result.err.splitlines()]
    summary = json.loads(result.out)
    assert all({"time", "message"} <= line.keys() for line in lines)
    assert (summary["events"], summary["markets"], summary["problems"]) == (1, 10, [])
    assert summary["candles"] > 0
