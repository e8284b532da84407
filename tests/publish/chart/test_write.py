"""`kalshi-elt chart`: which files it writes and where, what it prints, and errors of one line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kalshi_elt.base.errors import UsageError
from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.publish.chart.page import javascript
from kalshi_elt.publish.chart.write import wanted_of
from tests.conftest import Project

pytestmark = pytest.mark.one_server

EVENT = "KXPRESPERSON-28"
MARKET = "KXPRESPERSON-28-GNEWS"
NOW = 1_790_000_000


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command is started."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def failure(project: Project, *arguments: str) -> tuple[int, str]:
    """Exit status and the one line of a chart that fails."""
    result = project.run("chart", *arguments)
    assert result.out == ""
    assert result.err.count("\n") == 1
    assert result.err.startswith("kalshi-elt: ")
    return result.status, result.err


def test_an_event_becomes_a_page_in_the_current_folder(
    loaded_project: Project, folder: Path
) -> None:
    result = loaded_project.must("chart", EVENT)

    assert result.out == f"wrote {EVENT}.html\n"
    assert [one.name for one in folder.iterdir()] == [f"{EVENT}.html"]
    html = (folder / f"{EVENT}.html").read_text("utf-8")
    assert "<h1" in html and "Gavin Newsom" in html and 'data-chart="event"' in html


def test_a_market_becomes_a_page_and_a_picture(loaded_project: Project, folder: Path) -> None:
    page = folder / "newsom.html"
    page.write_text("an older one")

    result = loaded_project.must("chart", MARKET, "--since", "6h", "--png", "--to", str(page))

    assert result.out == f"wrote {page}\nwrote {folder / 'newsom.png'}\n"
    assert 'data-chart="market"' in page.read_text("utf-8")
    assert (folder / "newsom.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(folder.iterdir())) == 2


def test_the_terminal_gets_text_and_no_file(loaded_project: Project, folder: Path) -> None:
    result = loaded_project.must("chart", EVENT, "--terminal", "--top", "3", COLUMNS="100")

    lines = result.out.splitlines()
    assert max(map(len, lines)) == 100
    assert "Gavin Newsom" in result.out
    assert "the likeliest 3 of 10 markets" in result.out
    # no terminal, no colours
    assert "\x1b" not in result.out
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "arguments"),
    [("vl_convert", []), ("vl_convert", ["--png"]), ("plotext", ["--terminal"])],
)
def test_without_the_extra_it_says_what_to_install(
    loaded_project: Project,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    arguments: list[str],
) -> None:
    # an import of it fails as where it is not installed
    monkeypatch.setitem(sys.modules, module, None)
    javascript.cache_clear()

    status, message = failure(loaded_project, EVENT, *arguments)

    assert status == 1
    assert "this needs the extra `charts`, which is not installed: run `make setup " in message
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_terminal_has_colours_unless_it_wants_none(
    loaded_project: Project, no_color: str, coloured: bool
) -> None:
    ours, theirs = os.openpty()
    environment = {
        **os.environ,
        **{"DATABASE_URL": loaded_project.database_url, "PYTHONPATH": str(PROJECT_ROOT)},
        **{"NO_COLOR": no_color, "COLUMNS": "80", "LINES": "24"},
    }
    command = [sys.executable, "-m", "kalshi_elt", "chart", MARKET, "--terminal"]
    with subprocess.Popen(command, stdout=theirs, env=environment) as process:
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 65536):
                said += part
        except OSError:
            # how a pseudo-terminal ends
            pass
        finally:
            os.close(ours)
    assert process.returncode == 0
    text = said.decode()
    assert "Gavin Newsom" in text
    assert bool(re.search(r"\x1b\[38;5;\d+m", text)) is coloured


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["KXPRESPERSON-29"], 2, "no event or market KXPRESPERSON-29 is in the warehouse: did you"),
        (["kxpresperson-28"], 2, f"did you mean {EVENT}?"),
        ([EVENT, "--since", "yesterday"], 2, "--since 'yesterday' is not a valid time"),
        ([EVENT, "--since", "1h", "--until", "2h"], 2, "is not before --until"),
        ([EVENT, "--until", "300d"], 2, "there are 1-minute candles from "),
        ([EVENT, "--interval", "2"], 2, "--interval 2 is not 1, 5, 15, 60 or 1440"),
        ([EVENT, "--interval", "x"], 2, "invalid int value: 'x'"),
        ([EVENT, "--top", "40"], 2, "--top 40 is not from 1 to 15"),
        ([EVENT, "--to", "chart.png"], 2, "--to chart.png is not an HTML file"),
        ([EVENT, "--to", "none/chart.html"], 1, "none/chart.html can't be written: No such file"),
        ([EVENT, "--terminal", "--png"], 2, "--terminal writes no file"),
        ([], 2, "the following arguments are required: TICKER"),
    ],
)
def test_errors_are_one_line_and_write_nothing(
    loaded_project: Project, folder: Path, arguments: list[str], status: int, message: str
) -> None:
    found, line = failure(loaded_project, *arguments)

    assert (found, message in line) == (status, True), line
    assert list(folder.iterdir()) == []


def test_an_empty_warehouse_has_nothing_to_draw(project: Project) -> None:
    status, line = failure(project, EVENT)

    assert (status, "run `kalshi-elt transform` first" in line) == (1, True), line


def test_times_are_read_as_elsewhere() -> None:
    assert (wanted_of("T", None, None, NOW).since, wanted_of("T", None, None, NOW).until) == (
        None,
        None,
    )
    wanted = wanted_of("T", "7d", "2026-09-20T12:00Z", NOW)
    assert (wanted.since, wanted.until) == (NOW - 7 * 86_400, 1_789_905_600)
    # an end alone does not shorten the range to a day
    assert wanted_of("T", None, "24h", NOW).since is None
    assert wanted_of("T", "open", None, NOW).since == 0
    with pytest.raises(UsageError):
        wanted_of("T", "soon", None, NOW)
