"""`kalshi-elt run`: what it is asked to do, and what it says. What it does: `tests/job`."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from kalshi_elt.base.problems import Problem
from kalshi_elt.base.times import TimeRange
from kalshi_elt.job.record import Job
from kalshi_elt.load.settings import LoadSettings
from kalshi_elt.load.summary import LoadSummary
from kalshi_elt.warehouse.connection import Warehouse
from tests.cli.conftest import OpenWarehouse, Run


@pytest.fixture(autouse=True)
def dbt_calls() -> None:
    """No stand-in for dbt: a run's record needs what it says."""


@dataclass
class Runs:
    """In place of the job: what it was asked, and what it shall answer."""

    job: Job = field(default_factory=lambda: Job(7, outcome="succeeded"))
    settings: list[LoadSettings] = field(default_factory=list)

    def run(self, settings: LoadSettings, wanted: TimeRange, warehouse: Warehouse) -> Job:
        self.settings.append(settings)
        return self.job


@pytest.fixture
def runs(opened: OpenWarehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    found = Runs()
    opened()
    monkeypatch.setattr("kalshi_elt.job.run.run", found.run)
    before = signal.getsignal(signal.SIGTERM)
    yield found
    signal.signal(signal.SIGTERM, before)


def test_it_takes_the_settings_of_a_load_and_its_own(run: Run, runs: Runs) -> None:
    outcome = run("run", "--event", "A", "--rate", "3", "--budget", "4m")

    (settings,) = runs.settings
    assert outcome.status == 0
    assert (settings.events, settings.rate, settings.budget) == (("A",), 3.0, "4m")


def test_a_dry_run_that_the_environment_asks_for_is_refused(
    run: Run, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__KALSHI__DRY_RUN", "true")

    outcome = run("run")

    assert outcome.status == 2
    assert outcome.line == "run has no dry run: use `kalshi-elt load --dry-run`"
    assert runs.settings == []


def test_a_run_that_succeeded_is_one_line_for_people_and_an_object_for_machines(
    run: Run, runs: Runs
) -> None:
    said = run("run")
    object_ = run("run", "--log-format", "json")

    assert (said.status, said.out, said.err) == (0, f"{runs.job}\n", "")
    assert json.loads(object_.out) == runs.job.fields()


def test_a_run_that_failed_is_status_1_and_says_each_thing_that_went_wrong(
    run: Run, runs: Runs
) -> None:
    problems = [Problem("event A", "no")]
    runs.job = Job(7, LoadSummary(problems=problems), errors=["dbt build failed"], outcome="failed")

    outcome = run("run")

    assert outcome.status == 1
    assert outcome.err.splitlines() == [
        "kalshi-elt: not landed: event A: no",
        "kalshi-elt: dbt build failed",
    ]
