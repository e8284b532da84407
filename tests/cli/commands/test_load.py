"""`kalshi-elt load`: what it is asked to do, and what it says."""

import json
from dataclasses import dataclass, field

import pytest

from kalshi_elt.base.problems import MOST_PROBLEMS, Problem
from kalshi_elt.base.times import TimeRange
from kalshi_elt.load.settings import LoadSettings
from kalshi_elt.load.summary import LoadSummary
from kalshi_elt.warehouse.connection import Warehouse
from tests.cli.conftest import EVENT, OpenWarehouse, Run

# Wrong settings: status 2


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        pytest.param(
            ["--interval", "5"],
            "--interval 5 is not one of Kalshi's: choose 1, 60 or 1440",
            id="an interval that Kalshi has not",
        ),
        pytest.param(
            ["--since", "2026-11-21", "--until", "2026-11-20"],
            "--since 2026-11-21 (2026-11-21T00:00:00Z) is not before --until "
            "(2026-11-20T00:00:00Z); give an earlier --since or a later --until",
            id="since after until",
        ),
        pytest.param(
            ["--until", "soon"],
            "--until 'soon' is not a valid time: give an ISO date or time (2026-11-22, "
            "2026-11-22T14:30Z), or how long ago (90m, 24h, 7d)",
            id="until not a time",
        ),
        pytest.param(
            ["--event", " "],
            "--event has an empty name: give one as in --event KXPRESPERSON-28",
            id="an empty event",
        ),
        pytest.param(
            ["--series", ""],
            "--series has an empty name: give one as in --event KXPRESPERSON-28",
            id="an empty series",
        ),
        pytest.param(
            ["--status", "active"],
            "--status active is not one of unopened, open, paused, closed, settled, all",
            id="a status that Kalshi has not",
        ),
        pytest.param(
            ["--min-volume", "-5"],
            "--min-volume must be 0 or more, and finite",
            id="volume below zero",
        ),
        pytest.param(
            ["--workers", "0"], "--workers must be more than 0, and finite", id="no workers"
        ),
        pytest.param(
            ["--rate", "nan"], "--rate must be more than 0, and finite", id="rate no number"
        ),
        pytest.param(
            ["--log-format", "xml"], "--log-format xml is not one of text, json", id="log format"
        ),
        pytest.param(
            ["--since", "999999w"],
            "--since '999999w' is not a valid time: give an ISO date or time (2026-11-22, "
            "2026-11-22T14:30Z), or how long ago (90m, 24h, 7d), `open`",
            id="since before the calendar",
        ),
    ],
)
def test_a_wrong_setting_of_a_load_is_status_2_before_anything_is_opened(
    run: Run, arguments: list[str], line: str
) -> None:
    outcome = run("load", *EVENT, *arguments)

    assert outcome.status == 2
    assert outcome.line == line


def test_a_wrong_api_url_is_status_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_API_URL", "kalshi.test")

    outcome = run("load", *EVENT)

    assert outcome.status == 2
    assert outcome.line == (
        "KALSHI_API_URL 'kalshi.test' is not an address: it begins with https://"
    )


def test_an_unreadable_setting_is_status_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__KALSHI__RATE", "fast")

    outcome = run("load", *EVENT)

    assert outcome.status == 2
    assert "`rate`" in outcome.line


# What a load is asked to do

OPTIONS = [
    pytest.param(["--event", "A", "--event", "B"], "events", ("A", "B"), id="events"),
    pytest.param(["--market", "A", "--market", "B"], "markets", ("A", "B"), id="markets"),
    pytest.param(["--series", "A", "--series", "B"], "series", ("A", "B"), id="series"),
    pytest.param(["--category", "A b", "--category", "C"], "categories", ("A b", "C"), id="cat"),
    pytest.param(["--status", "open", "--status", "closed"], "status", ("open", "closed"), id="st"),
    pytest.param(["--interval", "60", "--interval", "1"], "intervals", (60, 1), id="intervals"),
    pytest.param(["--min-volume", "2.5"], "min_volume", 2.5, id="min-volume"),
    pytest.param(["--multivariate"], "multivariate", True, id="multivariate"),
    pytest.param(["--no-candles"], "candles", False, id="no-candles"),
    pytest.param(["--since", "7d"], "since", "7d", id="since"),
    pytest.param(["--until", "1h"], "until", "1h", id="until"),
    pytest.param(["--again"], "again", True, id="again"),
    pytest.param(["--rate", "3"], "rate", 3.0, id="rate"),
    pytest.param(["--workers", "2"], "workers", 2, id="workers"),
    pytest.param(["--wait"], "wait", True, id="wait"),
    pytest.param(["--dry-run"], "dry_run", True, id="dry-run"),
    pytest.param(["--log-format", "json"], "log_format", "json", id="log-format"),
]


@dataclass
class Loads:
    """In place of the load: what it was asked, and what it shall answer."""

    summary: LoadSummary = field(default_factory=LoadSummary)
    settings: list[LoadSettings] = field(default_factory=list)
    ranges: list[TimeRange] = field(default_factory=list)

    def load(self, settings: LoadSettings, wanted: TimeRange, warehouse: Warehouse) -> LoadSummary:
        self.settings.append(settings)
        self.ranges.append(wanted)
        return self.summary


@pytest.fixture
def loads(opened: OpenWarehouse, monkeypatch: pytest.MonkeyPatch) -> Loads:
    found = Loads()
    opened()
    monkeypatch.setattr("kalshi_elt.load.load.load", found.load)
    return found


@pytest.mark.parametrize(("arguments", "name", "value"), OPTIONS)
def test_each_option_is_a_setting_of_the_load(
    run: Run, loads: Loads, arguments: list[str], name: str, value: object
) -> None:
    assert run("load", *arguments).status == 0
    assert run("load").status == 0

    with_option, without = loads.settings
    assert getattr(with_option, name) == value
    assert getattr(without, name) != value


def test_a_load_without_arguments_is_the_files_and_goes_on_where_it_ended(
    run: Run, loads: Loads
) -> None:
    run("load")

    assert loads.settings[0].events == ("KXPRESPERSON-28",)
    assert loads.ranges[0].goes_on


def test_a_load_that_landed_all_is_status_0_and_says_what(run: Run, loads: Loads) -> None:
    loads.summary = LoadSummary(events=1, markets=10, windows=10, candles=2_000, requests=3)

    outcome = run("load")

    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == (
        "landed 1 event, 10 markets and 2,000 candles in 10 windows (3 requests, 0.0 s)\n"
    )


def test_a_load_with_problems_is_status_1_and_says_each_in_one_line(run: Run, loads: Loads) -> None:
    loads.summary = LoadSummary(problems=[Problem("event A", "no"), Problem("event B", "gone")])

    outcome = run("load")

    assert outcome.status == 1
    assert outcome.err.splitlines() == [
        "kalshi-elt: not landed: event A: no",
        "kalshi-elt: not landed: event B: gone",
    ]


def test_of_very_many_problems_the_first_are_shown_and_the_rest_counted(
    run: Run, loads: Loads
) -> None:
    loads.summary = LoadSummary(problems=[Problem(f"event {n}", "no") for n in range(1_234)])

    lines = run("load").err.splitlines()

    assert len(lines) == MOST_PROBLEMS + 1
    assert lines[0] == "kalshi-elt: not landed: event 0: no"
    assert lines[-1] == "kalshi-elt: not landed: 1,214 more; the next load tries all again"


def test_the_summary_is_one_json_object_for_machines(run: Run, loads: Loads) -> None:
    loads.summary = LoadSummary(markets=10, problems=[Problem("event A", "no")])

    outcome = run("load", "--log-format", "json")

    figures = json.loads(outcome.out)
    assert (outcome.status, outcome.err) == (1, "")
    assert (figures["markets"], figures["problems"]) == (10, ["event A: no"])
