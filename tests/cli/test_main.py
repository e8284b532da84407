"""The command line: its exit status, and one line on standard error for whatever goes wrong."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kalshi_elt.base.errors import BusyError, KalshiEltError, UsageError
from kalshi_elt.base.paths import PROJECT_ROOT
from tests.cli.conftest import EVENT, PASSWORD, OpenWarehouse, Run


@pytest.mark.parametrize("command", [["load", *EVENT], ["status"], ["psql"], ["dbt", "ls"]])
@pytest.mark.parametrize(
    "url",
    [
        pytest.param(f"mysql://kalshi:{PASSWORD}@h/d", id="mysql"),
        pytest.param(f"postgresql://kalshi:{PASSWORD}@[::1/d", id="unreadable"),
    ],
)
def test_a_database_url_that_is_not_one_is_status_2_and_never_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: list[str], url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)

    outcome = run(*command)

    assert outcome.status == 2
    assert outcome.line.startswith("DATABASE_URL ")
    assert PASSWORD not in outcome.err


# What can't be done: status 1


@pytest.mark.parametrize("command", [["load", *EVENT], ["status"], ["psql"], ["dbt", "ls"]])
def test_a_warehouse_out_of_reach_is_status_1_and_one_line(
    run: Run, refused_port: int, command: list[str]
) -> None:
    outcome = run(*command)

    assert outcome.status == 1
    assert outcome.line.startswith("DATABASE_URL: connection to server at")
    assert f"port {refused_port} failed: Connection refused" in outcome.line
    assert PASSWORD not in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        pytest.param(KalshiEltError("not today"), 1, "not today", id="an error of ours"),
        pytest.param(UsageError("not like this"), 2, "not like this", id="wrong usage"),
        pytest.param(BusyError("not now"), 3, "not now", id="another load is running"),
        pytest.param(
            RuntimeError("out of luck\nin detail"),
            1,
            "unexpected RuntimeError: out of luck; --verbose shows where",
            id="anything else",
        ),
        pytest.param(
            KeyboardInterrupt(),
            130,
            "interrupted; what landed is kept, run it again to go on",
            id="control-C",
        ),
    ],
)
def test_every_error_has_its_exit_status_and_one_line(
    run: Run, opened: OpenWarehouse, error: BaseException, status: int, line: str
) -> None:
    opened(error)

    outcome = run("status")

    assert outcome.status == status
    assert outcome.line == line


def test_a_reader_that_goes_away_is_no_news(run: Run, opened: OpenWarehouse) -> None:
    opened(BrokenPipeError())

    outcome = run("status")

    assert (outcome.status, outcome.err) == (1, "")


# --verbose


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        pytest.param(["load", *EVENT, "--interval", "5", "--verbose"], 2, id="wrong setting"),
        pytest.param(["status", "--verbose"], 1, id="warehouse out of reach"),
    ],
)
def test_verbose_shows_where_it_went_wrong_and_says_the_same_last(
    run: Run, arguments: list[str], status: int
) -> None:
    silent = run(*(argument for argument in arguments if argument != "--verbose"))

    outcome = run(*arguments)

    assert outcome.status == silent.status == status
    assert outcome.err.startswith("Traceback (most recent call last):\n")
    assert 'pipelines/kalshi_elt/cli/main.py", line ' in outcome.err
    assert outcome.err.splitlines()[-1] == f"kalshi-elt: {silent.line}"
    assert PASSWORD not in outcome.err


# Surroundings


def test_dlt_never_writes_into_the_home_folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DLT_PROJECT_DIR")
    monkeypatch.delenv("DLT_DATA_DIR")

    run("stop")

    assert Path(os.environ["DLT_PROJECT_DIR"]) == PROJECT_ROOT
    assert PROJECT_ROOT in Path(os.environ["DLT_DATA_DIR"]).parents


def test_starting_imports_nothing_that_takes_long() -> None:
    """dlt takes 2 s, dbt and pyarrow 1 s each; what a command needs it imports itself."""
    program = (
        "import sys; from kalshi_elt.cli.parser import parse; parse(['run', '--since', '1h']);"
        "print(sorted({name.split('.')[0] for name in sys.modules}))"
    )

    said = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout

    loaded = set(ast.literal_eval(said))
    assert "kalshi_elt" in loaded
    slow = {"dlt", "dbt", "pyarrow", "vl_convert", "plotext", "jinja2", "prometheus_client"}
    assert not loaded & slow
