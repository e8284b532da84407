"""Telling how a run ended: one POST, asked again after growing pauses, never a run's failure.

That a run tells at all: `tests/job/test_run.py`.
"""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from kalshi_elt.base.errors import BusyError, KalshiEltError
from kalshi_elt.job.notify import FIRST_PAUSE, LONGEST_PAUSE, TRIES, tell, telling
from kalshi_elt.job.record import Job
from tests.support.monitor import Monitor, running_monitor

JOB = Job(7, outcome="succeeded")


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    with running_monitor() as monitor:
        yield monitor


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each pause would have been; none is taken."""
    taken: list[float] = []
    monkeypatch.setattr("kalshi_elt.job.notify.sleep", taken.append)
    return taken


def test_a_monitor_that_answers_is_told_once(monitor: Monitor, pauses: list[float]) -> None:
    tell(monitor.url, "all is well")

    (body,) = monitor.bodies
    assert body.keys() == {"text"}
    assert body["text"].endswith(": all is well")
    assert pauses == []


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_monitor_that_is_back_soon_is_told_after_a_pause(
    monitor: Monitor, pauses: list[float], capsys: pytest.CaptureFixture[str], status: int
) -> None:
    monitor.statuses = [status]

    tell(monitor.url, "all is well")

    assert len(monitor.bodies) == 2
    assert len(pauses) == 1
    assert capsys.readouterr().err == ""


def test_pauses_grow_differ_and_have_an_end(monitor: Monitor, pauses: list[float]) -> None:
    rounds = []
    for _ in range(20):
        monitor.statuses = [500] * TRIES
        tell(monitor.url, "all is well")
        rounds.append(tuple(pauses))
        pauses.clear()

    assert len(monitor.bodies) == 20 * TRIES
    assert all(len(taken) == TRIES - 1 for taken in rounds)
    assert all(list(taken) == sorted(set(taken)) for taken in rounds)
    assert all(taken[0] >= FIRST_PAUSE and taken[-1] <= LONGEST_PAUSE for taken in rounds)
    assert len(set(rounds)) > 1


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_monitor_that_refuses_is_not_asked_again(
    monitor: Monitor, pauses: list[float], capsys: pytest.CaptureFixture[str], status: int
) -> None:
    monitor.statuses = [status]

    tell(monitor.url, "all is well")

    assert (len(monitor.bodies), pauses) == (1, [])
    assert f"({status})" in capsys.readouterr().err


def test_a_monitor_that_is_away_fails_nothing_and_its_url_stays_secret(
    monitor: Monitor, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor.statuses = [500] * TRIES

    with telling(None, monitor.url) as listeners:
        listeners.job = JOB

    assert capsys.readouterr().err == (
        "kalshi-elt: 127.0.0.1 could not be told how the run ended (500)\n"
    )


def test_where_nobody_listens_it_is_one_line_too(
    pauses: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]

    tell(f"http://127.0.0.1:{port}/s3cr3t", "all is well")

    assert len(pauses) == TRIES - 1
    assert capsys.readouterr().err == (
        "kalshi-elt: 127.0.0.1 could not be told how the run ended (ConnectionError)\n"
    )


@pytest.mark.parametrize(
    ("outcome", "fails"), [("succeeded", False), ("out of time", False), ("failed", True)]
)
def test_who_is_told_is_decided_by_how_the_run_ended(
    monitor: Monitor, outcome: str, fails: bool
) -> None:
    urls = (monitor.url, None) if fails else (None, monitor.url)

    with telling(*urls) as listeners:
        listeners.job = Job(7, outcome=outcome)
    with telling(*reversed(urls)) as listeners:
        listeners.job = Job(8, outcome=outcome)

    (body,) = monitor.bodies
    assert f"run 7 {outcome}" in body["text"]


def test_an_error_is_told_without_passwords_and_goes_on(monitor: Monitor) -> None:
    with (
        pytest.raises(KalshiEltError, match="away"),
        telling(monitor.url, None),
    ):
        raise KalshiEltError("postgresql://kalshi:pa55word@db.test is away")

    (body,) = monitor.bodies
    assert "run failed: postgresql://kalshi:***@db.test is away" in body["text"]


def test_a_run_beside_another_one_has_not_failed(monitor: Monitor) -> None:
    with pytest.raises(BusyError), telling(monitor.url, monitor.url):
        raise BusyError("another run is under way")

    assert monitor.bodies == []
