"""Usage and help: which command is meant, what it is given, what is handed on."""

import pytest

from kalshi_elt.cli.command import Command
from kalshi_elt.cli.commands import COMMANDS
from kalshi_elt.cli.main import main
from tests.cli.conftest import OpenWarehouse, Run

# Usage: status 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param([], "required: COMMAND", id="no command"),
        pytest.param(["laod"], "'laod'", id="unknown command"),
        pytest.param(["load", "--intervals", "1"], "--intervals", id="unknown argument"),
        pytest.param(
            ["run", "--dry-run"],
            "unknown argument: --dry-run (see kalshi-elt run --help)",
            id="a dry run, which a run has not",
        ),
        pytest.param(["load", "--budget", "4m"], "--budget", id="a budget, which a load has not"),
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


def help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """A help text without its line breaks."""
    with pytest.raises(SystemExit):
        main([*arguments, "--help"])
    return " ".join(capsys.readouterr().out.split())


def test_help_says_what_the_program_is_for_and_names_every_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = help_of(capsys)

    assert "Kalshi's prediction-market data in a PostgreSQL of your own" in said
    for command in COMMANDS:
        assert f" {command.name} {command.text} " in said


@pytest.mark.parametrize(
    "command", [one for one in COMMANDS if not one.hands_on], ids=lambda one: one.name
)
def test_help_of_each_command_says_in_full_sentences_what_it_does(
    capsys: pytest.CaptureFixture[str], command: Command
) -> None:
    said = help_of(capsys, command.name)

    assert f" {command.description} " in f"{said} "
    assert command.description[0].isupper() and command.description.endswith(".")


def test_help_offers_a_dry_run_where_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--dry-run" in help_of(capsys, "load")
    assert "--dry-run" not in help_of(capsys, "run")


def test_help_says_what_a_setting_is_unless_it_is_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = help_of(capsys, "load")

    assert "--rate RATE requests a second; default: 8" in said
    assert "--until TIME an ISO date or time, or how long ago; default: now" in said
    assert "A run:" not in said and "A run:" in help_of(capsys, "run")


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
    run: Run, opened: OpenWarehouse, dbt_calls: list[list[str]], rest: list[str]
) -> None:
    opened()

    outcome = run("dbt", *rest)

    assert (outcome.status, outcome.err) == (0, "")
    assert dbt_calls == [rest]


def test_transform_hands_its_arguments_to_dbt_build(
    run: Run, opened: OpenWarehouse, dbt_calls: list[list[str]]
) -> None:
    opened()

    outcome = run("transform", "--full-refresh", "--select", "candles")
    run("transform", "--help")

    assert (outcome.status, outcome.err) == (0, "")
    assert dbt_calls == [["build", "--full-refresh", "--select", "candles"], ["build", "--help"]]


def test_verbose_is_ours_and_handed_on_to_nobody(
    run: Run, opened: OpenWarehouse, dbt_calls: list[list[str]]
) -> None:
    opened()

    run("dbt", "--verbose", "ls")
    run("dbt", "ls", "--verbose")

    assert dbt_calls == [["ls"], ["ls"]]
