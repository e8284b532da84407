"""The command line: its exit status, and one line on standard error for whatever goes wrong.

No server is started or reached: where a warehouse would be opened, DATABASE_URL names a port of
loopback that refuses.
"""

import os
import socket
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.cli import main
from pipelines.errors import KalshiEltError, UsageError
from pipelines.paths import PROJECT_ROOT
from pipelines.warehouse import Warehouse

PASSWORD = "correct-horse"
EVENT = ("--event", "KXPRESPERSON-28")


@pytest.fixture(autouse=True)
def refused_port(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int:
    """The port of a warehouse that is not there, in an environment without other settings."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = int(listener.getsockname()[1])
    for name in os.environ:
        if name == "KALSHI_API_URL" or name.startswith("SOURCES__"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DATABASE_URL", f"postgresql://kalshi:{PASSWORD}@127.0.0.1:{port}/markets")
    monkeypatch.setenv("PGDATA_DIR", str(tmp_path / "pgdata"))
    # main() sets these two where nothing else has
    monkeypatch.setenv("DLT_PROJECT_DIR", str(PROJECT_ROOT))
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    return port


@pytest.fixture(autouse=True)
def dbt_calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The arguments of dbt's calls. A stand-in takes them, as dbt takes seconds to import."""
    calls: list[list[str]] = []

    def run_dbt(warehouse: Any, arguments: Sequence[str]) -> None:
        calls.append(list(arguments))

    def transform(warehouse: Any, arguments: Sequence[str]) -> None:
        run_dbt(warehouse, ["build", *arguments])

    stand_in = SimpleNamespace(run_dbt=run_dbt, transform=transform)
    monkeypatch.setitem(sys.modules, "pipelines.transform", stand_in)
    return calls


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """All of standard error, which has to be one line of the program's own."""
        assert len(self.err.splitlines()) == 1, self.err
        assert self.err.startswith("kalshi-elt: ")
        assert self.err.endswith("\n")
        assert "Traceback" not in self.err
        return self.err.removeprefix("kalshi-elt: ").rstrip("\n")


class Run:
    """Runs the command line in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Outcome:
        self._capsys.readouterr()
        status = main(arguments)
        captured = self._capsys.readouterr()
        return Outcome(status, captured.out, captured.err)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


# Usage: status 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param([], "required: command", id="no command"),
        pytest.param(["laod"], "'laod'", id="unknown command"),
        pytest.param(["load", "--intervals", "1"], "--intervals", id="unknown argument"),
        pytest.param(["load", "--eve", "KX"], "--eve", id="abbreviated argument"),
        pytest.param(["load", "KXPRESPERSON-28"], "KXPRESPERSON-28", id="argument too many"),
        pytest.param(["status", "now"], "now", id="argument of a command without any"),
        pytest.param(["load", "--event"], "--event", id="argument without value"),
        pytest.param(["load", "--interval", "hour"], "'hour'", id="interval no number"),
        pytest.param(["dbt"], "kalshi-elt dbt ls", id="dbt without a command"),
    ],
)
def test_wrong_usage_is_status_2_and_one_line(run: Run, arguments: list[str], says: str) -> None:
    outcome = run(*arguments)

    assert outcome.status == 2
    assert says in outcome.line
    assert outcome.out == ""


def test_a_wrong_command_is_answered_with_the_right_ones(run: Run) -> None:
    line = run("laod").line

    for command in ("load", "transform", "docs", "dbt", "psql", "status", "stop"):
        assert f"'{command}'" in line
    assert "see kalshi-elt --help" in line


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        pytest.param(
            ["--interval", "5"],
            "--interval 5 is none of Kalshi's: choose 1, 60 or 1440",
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
            "--until 'soon' is no time: give an ISO date or time (2026-11-22, 2026-11-22T14:30Z), "
            "or how long ago (90m, 24h, 7d)",
            id="until no time",
        ),
        pytest.param(
            ["--event", " "],
            "nothing to load: name an event, as in --event KXPRESPERSON-28",
            id="an empty event",
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
    assert outcome.line == "KALSHI_API_URL 'kalshi.test' must begin with https:// or http://"


def test_an_unreadable_setting_is_status_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__KALSHI__RATE", "fast")

    outcome = run("load", *EVENT)

    assert outcome.status == 2
    assert "`rate`" in outcome.line


@pytest.mark.parametrize("command", [["load", *EVENT], ["status"], ["psql"], ["dbt", "ls"]])
@pytest.mark.parametrize(
    "url",
    [
        pytest.param(f"mysql://kalshi:{PASSWORD}@h/d", id="mysql"),
        pytest.param(f"postgresql://kalshi:{PASSWORD}@[::1/d", id="unreadable"),
    ],
)
def test_a_database_url_that_is_none_is_status_2_and_never_shown(
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
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, line: str
) -> None:
    _open_warehouse(monkeypatch, error)

    outcome = run("status")

    assert outcome.status == status
    assert outcome.line == line


def test_a_reader_that_goes_away_is_no_news(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _open_warehouse(monkeypatch, BrokenPipeError())

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
    assert 'pipelines/cli.py", line ' in outcome.err
    assert outcome.err.splitlines()[-1] == f"kalshi-elt: {silent.line}"
    assert PASSWORD not in outcome.err


# Help


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["--help"], "DATABASE_URL", id="of the program"),
        pytest.param(["load", "--help"], "--since", id="of a command"),
    ],
)
def test_help_is_status_0_and_on_standard_output(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)

    captured = capsys.readouterr()
    assert exit_.value.code == 0
    assert says in captured.out
    assert captured.err == ""


# Handing on


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(["ls"], id="a command"),
        pytest.param(["ls", "--select", "events+", "--output", "name"], id="options with values"),
        pytest.param(["--no-use-colors", "run", "--vars", "{a: 1}"], id="options before it"),
        pytest.param(["run", "--event", "x", "--since", "1h"], id="options of another command"),
    ],
)
def test_dbt_gets_its_arguments_as_they_were_written(
    run: Run, monkeypatch: pytest.MonkeyPatch, dbt_calls: list[list[str]], rest: list[str]
) -> None:
    _open_warehouse(monkeypatch)

    outcome = run("dbt", *rest)

    assert (outcome.status, outcome.err) == (0, "")
    assert dbt_calls == [rest]


def test_transform_hands_its_arguments_to_dbt_build(
    run: Run, monkeypatch: pytest.MonkeyPatch, dbt_calls: list[list[str]]
) -> None:
    _open_warehouse(monkeypatch)

    outcome = run("transform", "--full-refresh", "--select", "candles")

    assert (outcome.status, outcome.err) == (0, "")
    assert dbt_calls == [["build", "--full-refresh", "--select", "candles"]]


def test_psql_gets_its_arguments_the_password_by_environment_and_gives_its_status(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    _open_warehouse(monkeypatch)
    monkeypatch.setattr("pipelines.embedded.psql_program", lambda: "/usr/bin/psql")
    calls: list[tuple[Sequence[str], dict[str, str]]] = []

    def call(command: Sequence[str], env: dict[str, str]) -> int:
        calls.append((command, env))
        return 3

    monkeypatch.setattr("pipelines.cli.subprocess.call", call)

    outcome = run("psql", "-tA", "-c", "select 1")

    ((command, environment),) = calls
    assert outcome.status == 3
    assert command == ["/usr/bin/psql", "-tA", "-c", "select 1"]
    assert environment["PGPASSWORD"] == PASSWORD
    assert environment["PGHOST"] == "db.test"
    assert environment.keys() >= os.environ.keys()


# stop


def test_stop_says_when_there_is_nothing_to_stop(run: Run, tmp_path: Path) -> None:
    outcome = run("stop")

    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == f"no server is running in {tmp_path / 'pgdata'}\n"
    assert not (tmp_path / "pgdata").exists()


# Surroundings


def test_dlt_never_writes_into_the_home_folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DLT_PROJECT_DIR")
    monkeypatch.delenv("DLT_DATA_DIR")

    run("stop")

    assert Path(os.environ["DLT_PROJECT_DIR"]) == PROJECT_ROOT
    assert PROJECT_ROOT in Path(os.environ["DLT_DATA_DIR"]).parents


def _open_warehouse(monkeypatch: pytest.MonkeyPatch, error: BaseException | None = None) -> None:
    """Opening the warehouse succeeds without a server, or fails with `error`."""

    def open_(database_url: str | None, pgdata_dir: Path) -> Warehouse:
        if error is not None:
            raise error
        return Warehouse("db.test", 5432, "kalshi", PASSWORD, "markets", {}, Path("work"))

    monkeypatch.setattr("pipelines.cli.open_warehouse", open_)
