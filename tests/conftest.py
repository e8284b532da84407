"""Fixtures that more than one test file uses: servers, databases, the simulator, a project."""

import io
import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg2
import pytest

from pipelines.cli import main
from pipelines.embedded import EmbeddedServer
from tests.servers import (
    CITUS_URL,
    POSTGRES_15,
    copy_database,
    create_database,
    drop_from_cluster,
    embedded_server,
    postgres_15,
)
from tests.simulator import Exchange, Simulator

DATABASE_NUMBERS = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kill-points",
        type=int,
        default=20,
        help="how often tests/test_kill.py kills a load at a random moment",
    )
    parser.addoption(
        "--soak-seconds", type=float, default=60, help="how long tests/test_soak.py goes on"
    )


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

    def run(self, *arguments: str, **environment: str) -> Result:
        """Run the command line in this process, as `kalshi-elt` would."""
        variables = {
            "DATABASE_URL": self.database_url,
            "KALSHI_API_URL": self.simulator.url,
            "DBT_TARGET_PATH": str(self.work / "target"),
            "DBT_LOG_PATH": str(self.work / "logs"),
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
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def dbt_work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dbt's target and log folders, kept over the session so that parsing is partial."""
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """The seed's event and a few more. Tests that change the exchange make their own."""
    with Simulator(Exchange.demo()) as running:
        yield running


def new_database(server_url: str) -> str:
    """Create an empty database; returns its URL."""
    return create_database(server_url, f"test_{os.getpid()}_{next(DATABASE_NUMBERS)}")


@contextmanager
def copied(template: Project) -> Iterator[Project]:
    """A copy of a warehouse, as that is quicker than building one."""
    name = f"test_{os.getpid()}_{next(DATABASE_NUMBERS)}"
    url = copy_database(template.database_url, name)
    yield Project(url, template.simulator, template.work)
    drop_from_cluster(url)


@pytest.fixture
def project(server_url: str, simulator: Simulator, dbt_work: Path) -> Iterator[Project]:
    """An empty warehouse."""
    url = new_database(server_url)
    yield Project(url, simulator, dbt_work)
    drop_from_cluster(url)


@pytest.fixture(scope="session")
def loaded_project(server_url: str, simulator: Simulator, dbt_work: Path) -> Project:
    """A warehouse after `load` and `transform` of the seed's event. For tests that only read."""
    project = Project(new_database(server_url), simulator, dbt_work)
    project.must("load")
    project.must("transform")
    return project
