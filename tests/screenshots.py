"""`make screenshots`: the pictures of the README, taken anew from the simulator into docs/images/.

A front page, an event in the dark, and a chart in a terminal. Needs Chromium.
"""

import io
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import psycopg2
from rich.console import Console
from rich.text import Text

from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.publish.chart.data import Wanted, read_chart
from kalshi_elt.publish.chart.terminal import render_terminal
from simulator import Exchange, Simulator
from simulator.servers import embedded_server
from tests.conftest import Project
from tests.support.browser import CHROMIUM, Tab, chromium

IMAGES = PROJECT_ROOT / "docs" / "images"
EVENT = "KXPRESPERSON-28"
COLUMNS, LINES = 100, 30


PAGE = """<meta charset="utf-8">
<style>
/* the monospaced font has no Braille, and that of the other is wider by this */
@font-face {{ font-family: dots; src: local("DejaVu Sans"); unicode-range: U+2800-28FF;
  size-adjust: 82.24%; }}
body {{ background: #16181b; color: #e6e6e3; }}
pre {{ font: 15px/1.2 dots, DejaVu Sans Mono, monospace; }}
</style>
<pre>{code}</pre>"""


def main() -> int:
    """Take them all; returns the exit status."""
    if CHROMIUM is None:
        print("screenshots: no Chromium on this machine (Debian package chromium)", file=sys.stderr)
        return 1
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kalshi-screenshots-") as work:
        folder = Path(work)
        with (
            embedded_server(folder / "pgdata") as url,
            Simulator(Exchange.demo(events=24, markets_per_event=5)) as simulator,
        ):
            project = Project(url, simulator, folder)
            project.must("run", "--status", "all", "--since", "3d")
            project.must("site", "--to", str(folder / "site"))
            with closing(psycopg2.connect(url)) as connection:
                chart = read_chart(connection, Wanted(EVENT, top=5))
        # the command draws in colours where it writes to a terminal, which there is none here
        drawn = render_terminal(chart, COLUMNS, LINES, colour=True)
        (folder / "terminal.html").write_text(as_html(drawn), encoding="utf-8")
        with chromium() as tab:
            take(tab, folder / "site" / "index.html", "site.png", height=860)
            take(tab, folder / "site" / "events" / f"{EVENT}.html", "event.png", dark=True)
            take(tab, folder / "terminal.html", "terminal.png", height=560, width=920)
    return 0


def as_html(said: str) -> str:
    """What a command said in a terminal, as a page."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(said), end="")
    return console.export_html(
        inline_styles=True,
        code_format=PAGE,
    )


def take(
    tab: Tab, page: Path, name: str, *, width: int = 1100, height: int = 1000, dark: bool = False
) -> None:
    """One picture, of what a window of that size shows."""
    tab.look(width=width, height=height, dark=dark)
    tab.open(page)
    if "events" in page.parts:
        tab.wait_until(
            "document.querySelector('figure[data-chart] svg, figure[data-chart] canvas')"
        )
    (IMAGES / name).write_bytes(tab.screenshot())
    print(f"wrote {(IMAGES / name).relative_to(PROJECT_ROOT)}")


if __name__ == "__main__":
    raise SystemExit(main())
