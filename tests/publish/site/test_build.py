"""`kalshi-elt site`, built from a warehouse on both servers: whole, harmless, all or nothing."""

import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import patch
from urllib.parse import unquote, urlsplit

import psycopg2
import pytest

from kalshi_elt.base.errors import BusyError, UsageError
from kalshi_elt.base.paths import file_name
from kalshi_elt.publish.site import build
from kalshi_elt.publish.site.folder import BUILDING, MANIFEST, open_folder
from simulator import Exchange, Simulator
from tests.conftest import Project, empty_project
from tests.load.test_hostile_text import EVENT, HOSTILE, hostile_exchange
from tests.support.processes import end_of, start_command

SEED = "KXPRESPERSON-28"
VOID = frozenset(
    {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
)
OPTIONAL_ENDS = frozenset({"p", "li", "dt", "dd", "path", "line", "circle", "rect"})


class Links(HTMLParser):
    """The addresses in a page, its ids, and whether its elements are nested as they should be."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.resources: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if identity := found.get("id"):
            self.ids.append(identity)
        if tag == "a" and (href := found.get("href")) is not None:
            self.links.append(href)
        for name in ("src", "srcset", "data", "poster", "action", "background"):
            if found.get(name):
                self.resources.append(str(found[name]))
        if tag == "link":
            self.resources.append(str(found["href"]))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def project_with_site(
    loaded_project: Project, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, Path, str]:
    """The seed's event, typed, and its site; with what the command said."""
    folder = tmp_path_factory.mktemp("sites") / "site"
    said = loaded_project.must("site", "--to", str(folder)).out
    return loaded_project, folder, said


@pytest.fixture(scope="module")
def site(project_with_site: tuple[Project, Path, str]) -> Path:
    return project_with_site[1]


def own_pages(site: Path) -> Iterator[Path]:
    """All pages but dbt's docs, which are not ours."""
    for page in sorted(site.rglob("*.html")):
        if page.parent.name != "docs":
            yield page


@pytest.mark.one_server
def test_it_says_in_one_line_what_it_wrote(project_with_site: tuple[Project, Path, str]) -> None:
    _, folder, said = project_with_site

    assert re.fullmatch(
        rf"site: {re.escape(str(folder))}/index\.html \(1 event of 1, \d+\.\d s\)\n", said
    )


@pytest.mark.one_server
def test_it_has_its_pages_and_knows_its_files(site: Path) -> None:
    files = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}

    assert files == {
        *("index.html", "calibration.html", "quality.html", "search-index.js", MANIFEST),
        *("events/index.html", f"events/{SEED}.html", "docs/index.html"),
        *("assets/site.css", "assets/search.js", "assets/charts.css", "assets/charts.js"),
    }
    assert {*json.loads((site / MANIFEST).read_text())["files"], MANIFEST} == files


@pytest.mark.one_server
def test_all_links_lead_somewhere_and_nothing_comes_from_elsewhere(site: Path) -> None:
    for page in own_pages(site):
        parsed = Links(page.read_text(encoding="utf-8"))
        assert len(parsed.ids) == len(set(parsed.ids))
        for resource in parsed.resources:
            assert not urlsplit(resource).scheme or resource == "data:,"
        for link in (*parsed.links, *parsed.resources):
            parts = urlsplit(link)
            if parts.scheme:
                assert parts.scheme in ("https", "http", "data")
                continue
            if parts.path:
                assert not parts.path.startswith("/")
                assert (page.parent / unquote(parts.path)).is_file(), f"{page.name}: {link}"
            if parts.fragment and not parts.path:
                assert parts.fragment in parsed.ids


@pytest.mark.one_server
def test_links_out_of_the_site_tell_nobody_where_they_were(site: Path) -> None:
    for page in own_pages(site):
        html = page.read_text(encoding="utf-8")
        for link in re.findall(r"<a [^>]*https?:[^>]*>", html):
            assert 'rel="noopener noreferrer' in link
        assert '<meta name="referrer" content="no-referrer">' in html


@pytest.mark.one_server
def test_every_page_forbids_requests(site: Path) -> None:
    for page in site.rglob("*.html"):
        head = page.read_text(encoding="utf-8")[:2000]
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', head)
        assert policy and "default-src" in policy[1]
        assert "http" not in policy[1] and "*" not in policy[1]


def test_figures_are_those_of_the_warehouse(loaded_project: Project, tmp_path: Path) -> None:
    project, folder = loaded_project, tmp_path / "site"
    project.must("site", "--to", str(folder), "--no-docs")
    ((candles,),) = project.query("select count(*) from kalshi.candles")
    html = (folder / "events" / f"{SEED}.html").read_text(encoding="utf-8")
    table = html[html.index('id="markets"') :]

    assert f"{candles:,}" in (folder / "index.html").read_text(encoding="utf-8")
    for name, bid in project.query("select yes_sub_title, yes_bid_dollars from kalshi.markets"):
        row = next(line for line in table.splitlines() if f'row"><bdi>{name}</bdi>' in line)
        said = f"{bid * 100:.1f}\N{NO-BREAK SPACE}%" if bid else "\N{EN DASH}"
        assert f'<td class="n">{said}</td>' in row


@pytest.mark.one_server
def test_nothing_of_this_machine_is_published(
    project_with_site: tuple[Project, Path, str],
) -> None:
    project, folder, _ = project_with_site
    parts = urlsplit(project.database_url)
    secrets = [
        str(folder.parent),
        f"{parts.hostname}:{parts.port}",
        *filter(None, [parts.password]),
    ]

    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in content], path.name


@pytest.mark.one_server
def test_hostile_texts_and_tickers_are_harmless(
    server_url: str, dbt_work: Path, tmp_path: Path
) -> None:
    """Titles, rules and tickers with markup, paths, and ten megabytes of rules."""
    with (
        Simulator(hostile_exchange()) as simulator,
        empty_project(server_url, simulator, dbt_work) as project,
    ):
        project.must("load", "--event", EVENT, "--since", "1h")
        project.must("dbt", "run")
        folder = tmp_path / "site"
        project.must("site", "--to", str(folder), "--no-docs", "--event", EVENT)

    assert {path.name for path in folder.rglob("*.html")} == {
        *("index.html", "calibration.html", "quality.html", f"{file_name(EVENT)}.html")
    }
    page = folder / "events" / f"{file_name(EVENT)}.html"
    assert page.stat().st_size < 400_000
    for one in own_pages(folder):
        html = one.read_text(encoding="utf-8")
        assert "<script>alert" not in html
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", html)
        Links(html)
    assert HOSTILE.split("<")[0][:20] not in (folder / "search-index.js").read_text().split("=")[0]


# Which events


@pytest.mark.one_server
def test_named_events_get_a_page_and_unknown_ones_are_refused(
    loaded_project: Project, tmp_path: Path
) -> None:
    folder = tmp_path / "site"

    loaded_project.must("site", "--to", str(folder), "--no-docs", "--event", SEED)
    refused = loaded_project.run("site", "--to", str(folder), "--event", SEED, "--event", "KXNONE")

    assert (folder / "events" / f"{SEED}.html").is_file()
    assert refused.status == 2
    assert "--event KXNONE is not in the warehouse" in refused.last_line
    assert (folder / "index.html").is_file()


@pytest.mark.one_server
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--events", "0"], "--events 0: give 1 or more"),
        (["--since", "yesterday"], "--since 'yesterday' is not a valid time"),
        (["--to", "/dev/null"], "--to /dev/null is not a folder"),
    ],
)
def test_wrong_usage_is_one_line(loaded_project: Project, arguments: list[str], said: str) -> None:
    result = loaded_project.run("site", *arguments)

    assert (result.status, len(result.err.splitlines())) == (2, 1)
    assert said in result.err


# Nothing landed, nothing typed


def test_an_empty_warehouse_gives_a_site_that_says_so(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "site"

    said = project.must("site", "--to", str(folder)).out

    assert "(0 events of 0," in said
    assert "The warehouse is empty." in (folder / "index.html").read_text(encoding="utf-8")
    assert not (folder / "docs").exists()
    for page in own_pages(folder):
        for link in Links(page.read_text(encoding="utf-8")).links:
            if not urlsplit(link).scheme and urlsplit(link).path:
                assert (page.parent / link).is_file()


@pytest.mark.one_server
def test_what_landed_has_to_be_typed_first_and_without_candles_has_a_page_without_a_chart(
    project: Project, tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    project.must("load", "--no-candles")

    early = project.run("site", "--to", str(folder))
    project.must("dbt", "run")
    project.must("site", "--to", str(folder), "--no-docs")

    assert early.status == 1
    assert "run `make transform` first" in early.last_line
    html = (folder / "events" / f"{SEED}.html").read_text(encoding="utf-8")
    assert "No candles of this event have landed" in html
    assert "charts.js" not in html
    assert "Gavin Newsom" in html


# The folder


@pytest.mark.one_server
def test_another_build_replaces_what_is_ours_and_leaves_the_rest(
    loaded_project: Project, tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    loaded_project.must("site", "--to", str(folder), "--no-docs")
    (folder / "CNAME").write_text("markets.example.com\n")
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / "events" / "KXGONE.html").write_text("an earlier site's")
    (folder / "events" / "mine.html").write_text("not the site's")
    manifest["files"] += ["events/KXGONE.html", "../outside.html", "/etc/passwd"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    (tmp_path / "outside.html").write_text("never the site's")

    loaded_project.must("site", "--to", str(folder), "--no-docs")

    assert (folder / "CNAME").read_text() == "markets.example.com\n"
    assert not (folder / "events" / "KXGONE.html").exists()
    assert (folder / "events" / "mine.html").exists()
    assert (tmp_path / "outside.html").exists()
    assert not (folder / BUILDING).exists()


@pytest.mark.one_server
def test_a_folder_with_something_else_is_refused(loaded_project: Project, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    result = loaded_project.run("site", "--to", str(tmp_path), "--no-docs")

    assert result.status == 2
    assert "the folder is not empty and is not a site" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("manifest", ["{", "[]", '{"files": 1}', '{"made_by": "x", "files": []}'])
def test_a_manifest_of_others_is_refused(tmp_path: Path, manifest: str) -> None:
    (tmp_path / MANIFEST).write_text(manifest)

    with pytest.raises(UsageError, match="is not ours"), open_folder(tmp_path):
        pass

    assert (tmp_path / MANIFEST).read_text() == manifest


def test_two_builds_at_once_are_refused(tmp_path: Path) -> None:
    with open_folder(tmp_path) as first:
        first.stage("index.html", "first")
        with pytest.raises(BusyError, match="another site"), open_folder(tmp_path):
            pass
        first.publish()

    assert (tmp_path / "index.html").read_text() == "first"


@pytest.mark.one_server
def test_a_build_that_fails_leaves_the_site_as_it_was(
    loaded_project: Project, tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    loaded_project.must("site", "--to", str(folder), "--no-docs")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    with patch.object(build, "figure_html", side_effect=OSError(28, "No space left on device")):
        result = loaded_project.run("site", "--to", str(folder), "--no-docs")

    assert result.status == 1
    assert "No space left on device" in result.last_line
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.one_server
@pytest.mark.slow
def test_a_killed_build_leaves_a_whole_site_and_the_next_one_goes_through(
    loaded_project: Project, tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    loaded_project.must("site", "--to", str(folder), "--no-docs")
    command = ("site", "--to", str(folder), "--no-docs")

    for _ in range(2):
        process = start_command(command, {"DATABASE_URL": loaded_project.database_url})
        while not (folder / BUILDING / "assets").exists() and process.is_alive():
            time.sleep(0.001)
        process.kill()
        assert end_of(process) == -signal.SIGKILL
        for page in own_pages(folder):
            if BUILDING not in page.parts:
                Links(page.read_text(encoding="utf-8"))
    loaded_project.must("site", "--to", str(folder), "--no-docs")

    assert not (folder / BUILDING).exists()


# Rights


def test_who_may_only_read_can_build_it(loaded_project: Project, tmp_path: Path) -> None:
    """With the rights that `kalshi-elt grant` gives to kalshi_reader."""
    with closing(psycopg2.connect(loaded_project.database_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("drop role if exists site_reader")
            cursor.execute("create role site_reader login password 'reads'")
            for schema in ("kalshi", "kalshi_ops"):
                cursor.execute(f"grant usage on schema {schema} to site_reader")
                cursor.execute(f"grant select on all tables in schema {schema} to site_reader")
    parts = urlsplit(loaded_project.database_url)
    url = f"postgresql://site_reader:reads@{parts.hostname}:{parts.port}{parts.path}"
    reader = Project(url, loaded_project.simulator, loaded_project.work)
    try:
        reader.must("site", "--to", str(tmp_path / "site"), "--no-docs")
    finally:
        loaded_project.query("drop owned by site_reader; drop role site_reader")


@pytest.mark.one_server
def test_the_simulated_exchange_gives_all_kinds_of_pages(
    server_url: str, dbt_work: Path, tmp_path: Path
) -> None:
    """Open, settled and combined markets; the front page's lists; runs."""
    folder = tmp_path / "site"
    with (
        Simulator(Exchange.demo(events=12)) as simulator,
        empty_project(server_url, simulator, dbt_work) as project,
    ):
        project.must("run", "--status", "all", "--since", "30h", DBT_RESOURCE_TYPES="model")
        project.must("site", "--to", str(folder), "--no-docs", "--events", "5")

    front = (folder / "index.html").read_text(encoding="utf-8")
    assert len(list((folder / "events").glob("KX*.html"))) == 5
    assert 'id="movers"' in front and "▲" in front
    assert "succeeded" in (folder / "quality.html").read_text(encoding="utf-8")
    index = json.loads((folder / "search-index.js").read_text().split(" = ", 1)[1][:-2])
    assert sum(bool(row[3]) for row in index["events"]) == 5 < len(index["events"])
