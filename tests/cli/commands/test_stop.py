"""`kalshi-elt stop`."""

from pathlib import Path

from tests.cli.conftest import Run


def test_stop_says_when_there_is_nothing_to_stop(run: Run, tmp_path: Path) -> None:
    outcome = run("stop")

    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == f"no server is running in {tmp_path / 'pgdata'}\n"
    assert not (tmp_path / "pgdata").exists()
