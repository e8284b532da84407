"""`make demo`: a warehouse of its own, whatever the settings say, and of this version.

Its commands are stand-ins here, which note how they are called; the server is real.
"""

import json
import sys
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from kalshi_elt.warehouse.embedded import EmbeddedServer
from simulator import demo

NOTE = """
import json, os, sys
names = ("DATABASE_URL", "DLT_DATA_DIR", "KALSHI_API_URL")
with open({log!r}, "a") as log:
    print(json.dumps([sys.argv[1:], {{name: os.environ.get(name) for name in names}}]), file=log)
if sys.argv[1] == "upgrade":
    print("the warehouse is of version 9 now, and was of 8; every row is kept")
sys.exit(5 if sys.argv[1] == {failing!r} else 0)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo's warehouse; another one is set as the real one."""
    folder = tmp_path / "demo"
    monkeypatch.setenv("PGDATA_DIR", str(folder))
    monkeypatch.setenv("DATABASE_URL", "postgresql://real.example/warehouse")
    return folder


def stand_in(monkeypatch: pytest.MonkeyPatch, log: Path, failing: str = "") -> None:
    script = NOTE.format(log=str(log), failing=failing)
    monkeypatch.setattr(demo, "COMMAND", (sys.executable, "-c", script))


def calls(log: Path) -> list[tuple[str, dict[str, str]]]:
    """The commands so far with their settings."""
    noted = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text("")
    return [(arguments[0], environment) for arguments, environment in noted]


def test_it_works_on_a_server_of_its_own_and_upgrades_what_an_earlier_demo_left(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    stand_in(monkeypatch, log)

    assert demo.main() == 0
    first = calls(log)
    assert "was of" not in capfd.readouterr().out
    assert demo.main() == 0
    second = calls(log)
    assert "is of version 9 now, and was of 8" in capfd.readouterr().out

    assert [command for command, _ in first] == ["load", "transform", "psql"]
    assert [command for command, _ in second] == ["upgrade", "load", "transform", "psql"]
    for command, environment in first + second:
        assert environment["DATABASE_URL"].startswith("postgresql://kalshi:")
        assert "@127.0.0.1:" in environment["DATABASE_URL"]
        assert environment["DLT_DATA_DIR"] == str(folder)
        if command != "upgrade":
            assert environment["KALSHI_API_URL"].startswith("http://127.0.0.1:")
    assert not EmbeddedServer(folder).stop(), "the server still runs"


def test_the_first_command_that_fails_ends_it_and_the_server(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    stand_in(monkeypatch, log, failing="transform")

    assert demo.main() == 5

    url = calls(log)[-1][1]["DATABASE_URL"]
    with pytest.raises(psycopg2.OperationalError), closing(psycopg2.connect(url)):
        pass
