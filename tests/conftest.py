"""Fixtures that more than one test file uses: servers, databases, the simulator, a project."""

import io
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    closing,
    contextmanager,
    redirect_stderr,
    redirect_stdout,
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg2
import pytest
from hypothesis import settings
from psycopg2.extensions import parse_dsn

from kalshi_elt.cli.main import main
from kalshi_elt.warehouse.connection import Warehouse, open_warehouse
from kalshi_elt.warehouse.embedded import EmbeddedServer
from simulator import Exchange, Simulator
from simulator.servers import POSTGRES_15, embedded_server, postgres_15, run_statements
from tests.support.databases import CITUS_URL, copy_database, create_database, drop_database

USES_DBT = ("check", "dbt", "docs", "replay", "run", "site", "transform")
"""Commands."""

SERVER_FIXTURES = {"server_url", "server"}
"""Those that start one. All others that need one ask for these."""

DATABASE_NUMBERS = itertools.count(1)

# A run says the same every day. `--hypothesis-profile=search` looks for what is not known yet.
settings.register_profile("same", derandomize=True, print_blob=True)
settings.register_profile("search", print_blob=True)


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kill-points",
        type=int,
        default=6,
        help="how often tests/load/test_kill.py kills a load at a random moment",
    )
    parser.addoption(
        "--soak-seconds", type=float, default=1, help="how long tests/job/test_soak.py goes on"
    )


# before pytest chooses by marks
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what starts a server, and leave PostgreSQL 15 out where a file is marked so."""
    for item in items:
        if _starts_a_server(item):
            item.add_marker("server")
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        (left_out if _is_left_out(item) else kept).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def _starts_a_server(item: pytest.Item) -> bool:
    """Whether a test asks for a server, by a fixture or by what its file starts one with."""
    names = vars(getattr(item, "module", None) or object)
    starters = (EmbeddedServer, embedded_server, postgres_15)
    return bool(
        SERVER_FIXTURES & set(getattr(item, "fixturenames", ()))
        or any(value is starter for value in names.values() for starter in starters)
    )


def _is_left_out(item: pytest.Item) -> bool:
    given = getattr(item, "callspec", None)
    is_on_15 = given is not None and given.params.get("server_url") == "postgres15"
    return is_on_15 and item.get_closest_marker("one_server") is not None


@dataclass(frozen=True)
class Result:
    """What a command did, as a person sees it."""

    status: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        return self.err.strip().splitlines()[-1] if self.err.strip() else ""


@dataclass(frozen=True)
class Project:
    """A warehouse with a simulated Kalshi beside it."""

    database_url: str
    simulator: Simulator
    work: Path

    @property
    def target(self) -> Path:
        """dbt's target folder, one a database."""
        return self.work / "target" / parse_dsn(self.database_url)["dbname"]

    def warehouse(self) -> Warehouse:
        """The same as the project's own code has it."""
        with patch.dict(os.environ, {"DLT_DATA_DIR": str(self.work / "dlt")}):
            return open_warehouse(self.database_url, Path("unused"))

    def run(self, *arguments: str, **environment: str) -> Result:
        """Run the command line in this process, as `kalshi-elt` would, with a quick dbt that writes
        no log unless DBT_LOG_LEVEL_FILE says so."""
        if arguments[:1] and arguments[0] in USES_DBT:
            # not at the top, as importing dbt takes two seconds
            from tests.support import quick_dbt

            quick_dbt.install()
        variables = {
            "DATABASE_URL": self.database_url,
            "KALSHI_API_URL": self.simulator.url,
            "DBT_TARGET_PATH": str(self.target),
            "DBT_LOG_PATH": str(self.work / "logs"),
            "DBT_LOG_LEVEL_FILE": "none",
            "DLT_DATA_DIR": str(self.work / "dlt"),
            "SOURCES__KALSHI__RATE": "1000",
            **environment,
        }
        out, err = io.StringIO(), io.StringIO()
        with patch.dict(os.environ, variables), redirect_stdout(out), redirect_stderr(err):
            status = main(arguments)
        return Result(status, out.getvalue(), err.getvalue())

    def must(self, *arguments: str, **environment: str) -> Result:
        """Run a command that has to succeed."""
        result = self.run(*arguments, **environment)
        assert result.status == 0, f"{arguments}: {result.out[-3000:]}\n{result.err[-3000:]}"
        return result

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of a query; a statement without rows gives none. Commits."""
        path = "-c search_path=public"
        with (
            closing(psycopg2.connect(self.database_url, options=path)) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []


SERVERS = ["embedded", "postgres15"]


@pytest.fixture(
    scope="session",
    params=[*SERVERS, *([pytest.param("citus", marks=pytest.mark.citus)] if CITUS_URL else [])],
)
def server_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A server for the whole session: every test that asks for it runs on each kind."""
    with ExitStack() as stack:
        if request.param == "embedded":
            yield stack.enter_context(embedded_server(tmp_path_factory.mktemp("pg")))
        elif request.param == "citus":
            yield str(CITUS_URL)
        elif POSTGRES_15.exists():
            yield stack.enter_context(postgres_15())
        else:
            pytest.skip(f"no PostgreSQL 15 on this machine ({POSTGRES_15})")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """An embedded server of the file's own, whose tests may break it."""
    server = EmbeddedServer(tmp_path_factory.mktemp("pg"))
    # what is killed are processes, never the machine
    run_statements(server.start(), "alter system set fsync = off", "select pg_reload_conf()")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def dbt_work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where dbt writes what it builds, for all tests of the session."""
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture(scope="session")
def dbt_nodes() -> list[dict[str, Any]]:
    """What dbt's `manifest.json` says of each model and test."""
    from tests.support import quick_dbt

    return list(quick_dbt.parsed().written["nodes"].values())


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """The seed's event and a few more. Tests that change the exchange make their own."""
    with Simulator(Exchange.demo()) as running:
        yield running


def new_database(server_url: str) -> str:
    """Create an empty database, which is there until its server ends; returns its URL."""
    return create_database(server_url, new_name())


def new_name() -> str:
    """A name that no database of this run has yet."""
    return f"test_{os.getpid()}_{next(DATABASE_NUMBERS)}"


@contextmanager
def _in_database(
    create: Callable[[str], str], simulator: Simulator, work: Path
) -> Iterator[Project]:
    """A warehouse in the database that `create` makes of a name; it is dropped afterwards."""
    project = Project(create(new_name()), simulator, work)
    yield project
    shutil.rmtree(project.warehouse().work_folder, ignore_errors=True)
    drop_database(project.database_url)


def empty_project(
    server_url: str, simulator: Simulator, work: Path
) -> AbstractContextManager[Project]:
    """An empty warehouse, dropped afterwards."""
    return _in_database(partial(create_database, server_url), simulator, work)


def copied(template: Project) -> AbstractContextManager[Project]:
    """A copy of a warehouse, as that is quicker than building one; dropped afterwards."""
    copy = partial(copy_database, template.database_url)
    return _in_database(copy, template.simulator, template.work)


@pytest.fixture
def project(server_url: str, simulator: Simulator, dbt_work: Path) -> Iterator[Project]:
    """An empty warehouse."""
    with empty_project(server_url, simulator, dbt_work) as project:
        yield project


@pytest.fixture(scope="session")
def raw_template(server_url: str, simulator: Simulator, dbt_work: Path) -> Iterator[Project]:
    """A warehouse with the raw tables, which are empty."""
    with empty_project(server_url, simulator, dbt_work) as project:
        # not at the top, as importing dlt takes two seconds
        from tests.support.landing import land

        land(project)
        yield project


@pytest.fixture
def raw_project(raw_template: Project) -> Iterator[Project]:
    """A copy of it, as making them takes 0.8 CPU seconds. For tests that land their own rows."""
    with copied(raw_template) as project:
        yield project


@pytest.fixture(scope="session")
def loaded_project(server_url: str, simulator: Simulator, dbt_work: Path) -> Iterator[Project]:
    """A warehouse after `load` and `transform` of the seed's event. For tests that only read."""
    with empty_project(server_url, simulator, dbt_work) as project:
        project.must("load")
        project.must("transform")
        yield project


@pytest.fixture
def typed_project(loaded_project: Project) -> Iterator[Project]:
    """A copy of `loaded_project`. For tests that change it."""
    with copied(loaded_project) as project:
        yield project
