"""`kalshi-elt status --check`: the broken promises, for people and for machines."""

import json

import pytest

from kalshi_elt.admin.health import Limits
from tests.cli.conftest import OpenWarehouse, Run

BROKEN = ["3 gaps in what was asked for", "run 7 failed: no way"]


@pytest.fixture
def promises(opened: OpenWarehouse, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The promises that are broken, in place of those that a warehouse breaks."""
    broken: list[str] = []
    opened()
    monkeypatch.setattr("kalshi_elt.admin.status.read_status", lambda *_, **__: None)
    monkeypatch.setattr("kalshi_elt.admin.health.broken_promises", lambda *_, **__: broken)
    return broken


def test_promises_that_are_kept_are_status_0(run: Run, promises: list[str]) -> None:
    text, machines = run("status", "--check"), run("status", "--check", "--format", "json")

    assert (text.status, text.out) == (0, "all promises are kept\n")
    assert machines.status == 0
    assert json.loads(machines.out) == {"all_kept": True, "broken_promises": []}


def test_broken_promises_are_status_1_a_line_each_or_one_object(
    run: Run, promises: list[str]
) -> None:
    promises += BROKEN

    text, machines = run("status", "--check"), run("status", "--check", "--format", "json")

    assert (text.status, text.out.splitlines()) == (1, BROKEN)
    assert machines.status == 1
    assert json.loads(machines.out) == {"all_kept": False, "broken_promises": BROKEN}
    assert text.err == machines.err == ""


def test_metrics_are_no_answer_to_a_check(run: Run) -> None:
    outcome = run("status", "--check", "--format", "prometheus")

    assert outcome.status == 2
    assert outcome.line == (
        "--check answers as text or json, not as prometheus: leave out one of the two"
    )


def test_the_limits_are_what_the_options_say(
    run: Run, promises: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Limits] = []

    def broken_promises(status: object, limits: Limits, **_: object) -> list[str]:
        asked.append(limits)
        return []

    monkeypatch.setattr("kalshi_elt.admin.health.broken_promises", broken_promises)
    options = ("--max-age", "30m", "--max-gaps", "1", "--max-rejects", "2", "--min-disk", "0.5")

    run("status", "--check", *options)
    run("status", "--check")

    assert asked == [Limits(1_800, 1, 2, 5e8), Limits(7_200, 0, 0, 2e9)]
