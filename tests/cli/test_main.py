"""The command line: its exit status, and one line on standard error for whatever goes wrong.

No server is started or reached: where a warehouse would be opened, DATABASE_URL names a port of
loopback that refuses.
"""

import json
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kalshi_elt.base.errors import BusyError, KalshiEltError, UsageError
from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.base.problems import MOST_PROBLEMS, Problem
from kalshi_elt.base.times import TimeRange
from kalshi_elt.cli.main import main
from kalshi_elt.load.settings import LoadSettings
from kalshi_elt.load.summary import LoadSummary
from kalshi_elt.warehouse.connection import Warehouse

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
    monkeypatch.setitem(sys.modules, "kalshi_elt.transform.build", stand_in)
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
        pytest.param(["load", "--min-volume", "much"], "'much'", id="volume no number"),
        pytest.param(["load", "--workers", "2.5"], "'2.5'", id="workers no whole number"),
        pytest.param(["load", "--again", "yes"], "yes", id="a flag with a value"),
        pytest.param(["dbt"], "kalshi-elt dbt ls", id="dbt without a command"),
    ],
)
def test_wrong_usage_is_status_2_and_one_line(run: Run, arguments: list[str], says: str) -> None:
    outcome = run(*arguments)

    assert outcome.status == 2
    assert says in outcome.line
    assert outcome.out == ""


def test_the_programs_name_stands_at_the_beginning_of_a_message_once(run: Run) -> None:
    assert not run("dbt").line.startswith("kalshi-elt")


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
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    found = Loads()
    _open_warehouse(monkeypatch)
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
        pytest.param(["ls", "--help"], id="a question for dbt's own help"),
        pytest.param(["--help"], id="dbt's help alone"),
        pytest.param(["-h"], id="dbt's help in short"),
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
    run("transform", "--help")

    assert (outcome.status, outcome.err) == (0, "")
    assert dbt_calls == [["build", "--full-refresh", "--select", "candles"], ["build", "--help"]]


def test_verbose_is_ours_and_handed_on_to_nobody(
    run: Run, monkeypatch: pytest.MonkeyPatch, dbt_calls: list[list[str]]
) -> None:
    _open_warehouse(monkeypatch)

    run("dbt", "--verbose", "ls")
    run("dbt", "ls", "--verbose")

    assert dbt_calls == [["ls"], ["ls"]]


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(["-tA", "-c", "select 1"], id="options of its own"),
        pytest.param(["-h", "elsewhere.test"], id="-h, which is a host here"),
        pytest.param(["--help"], id="its own help"),
        pytest.param([], id="none"),
    ],
)
def test_psql_gets_its_arguments_the_password_by_environment_and_gives_its_status(
    run: Run, monkeypatch: pytest.MonkeyPatch, rest: list[str]
) -> None:
    _open_warehouse(monkeypatch)
    monkeypatch.setattr(
        "kalshi_elt.warehouse.client_programs.psql_program", lambda: "/usr/bin/psql"
    )
    calls: list[tuple[Sequence[str], dict[str, str]]] = []

    def call(command: Sequence[str], env: dict[str, str]) -> int:
        calls.append((command, env))
        return 3

    monkeypatch.setattr("kalshi_elt.cli.commands.subprocess.call", call)

    outcome = run("psql", *rest)

    ((command, environment),) = calls
    assert outcome.status == 3
    assert command == ["/usr/bin/psql", *rest]
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

    monkeypatch.setattr("kalshi_elt.cli.commands.open_warehouse", open_)
