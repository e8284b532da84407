"""`kalshi-elt psql`: psql with the warehouse's address and password."""

import os
from collections.abc import Sequence

import pytest

from tests.cli.conftest import PASSWORD, OpenWarehouse, Run


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
    run: Run, opened: OpenWarehouse, monkeypatch: pytest.MonkeyPatch, rest: list[str]
) -> None:
    opened()
    monkeypatch.setattr(
        "kalshi_elt.warehouse.client_programs.psql_program", lambda: "/usr/bin/psql"
    )
    calls: list[tuple[Sequence[str], dict[str, str]]] = []

    def call(command: Sequence[str], env: dict[str, str]) -> int:
        calls.append((command, env))
        return 3

    monkeypatch.setattr("kalshi_elt.cli.commands.psql.subprocess.call", call)

    outcome = run("psql", *rest)

    ((command, environment),) = calls
    assert outcome.status == 3
    assert command == ["/usr/bin/psql", *rest]
    assert environment["PGPASSWORD"] == PASSWORD
    assert environment["PGHOST"] == "db.test"
    assert environment.keys() >= os.environ.keys()
