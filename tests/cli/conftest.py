"""The command line in this process, as tests of `tests/cli` run it.

No server is started or reached: where a warehouse would be opened, DATABASE_URL names a port of
loopback that refuses.
"""

import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.cli.main import main
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


OpenWarehouse = Callable[..., None]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> OpenWarehouse:
    """Call it, and opening the warehouse succeeds without a server, or fails with `error`."""

    def let_it(error: BaseException | None = None) -> None:
        def open_(database_url: str | None, pgdata_dir: Path) -> Warehouse:
            if error is not None:
                raise error
            return Warehouse("db.test", 5432, "kalshi", PASSWORD, "markets", {}, Path("work"))

        monkeypatch.setattr("kalshi_elt.cli.command.open_warehouse", open_)

    return let_it
