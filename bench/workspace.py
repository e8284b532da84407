"""The server, databases and folders that a benchmark works with; nothing is left of them."""

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812

from bench.measure import Finished, cpu_seconds, parent, run_pipeline
from kalshi_elt.base.environment import environment
from kalshi_elt.warehouse.connection import Warehouse, open_warehouse
from simulator.servers import embedded_server, postgres_15

UNLIMITED = "100000"
"""More requests a second than any exchange answers."""

SERVER_15 = {
    "max_wal_size": "4GB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "jit": "off",
}
"""Settings of the embedded server that PostgreSQL 15 can be given without a restart."""


@dataclass(frozen=True)
class Database:
    """A warehouse, its folders, and the environment for commands that work on it."""

    url: str
    work: Path
    postmaster: int
    """Process id of the server."""

    def environment(self, api_url: str = "", rate: str = UNLIMITED) -> dict[str, str]:
        return {
            **os.environ,
            "DATABASE_URL": self.url,
            "KALSHI_API_URL": api_url or "http://127.0.0.1:9/none",
            "DBT_TARGET_PATH": str(self.work / "target"),
            "DBT_LOG_PATH": str(self.work / "logs"),
            "DLT_DATA_DIR": str(self.work / "dlt"),
            "SOURCES__KALSHI__RATE": rate,
        }

    def run(self, *arguments: str, api_url: str = "", rate: str = UNLIMITED) -> Finished:
        """`kalshi-elt` with these arguments, as a child process."""
        return run_pipeline(arguments, self.environment(api_url, rate))

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection on which each statement commits."""
        connection = psycopg2.connect(self.url)
        connection.autocommit = True
        try:
            yield connection
        finally:
            connection.close()

    def execute(self, *statements: str) -> None:
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return cursor.fetchall()

    def number(self, sql: str, *values: object) -> float:
        """The only value of a query, which is a number."""
        return float(self.query(sql, *values)[0][0])

    def warehouse(self) -> Warehouse:
        """The warehouse as the package's code has it. To be called within `in_environment`, as
        dlt's folder is taken from the environment."""
        return open_warehouse(self.url, Path("unused"))

    def server_cpu(self) -> float:
        """CPU seconds of the database server so far."""
        return cpu_seconds(self.postmaster)


@dataclass(frozen=True)
class Server:
    """A database server for one benchmark, and a folder for everything else."""

    url: str
    folder: Path

    def database(self, name: str, template: str = "template0") -> Database:
        """Make a database; one of that name is dropped before. Its folder is kept, so that dbt,
        which keeps what it has parsed there, parses once for all databases of that name."""
        admin = psycopg2.connect(self.url)
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute(f"drop database if exists {name} with (force)")
            # by copying files: the default way writes every page to the log, too
            cursor.execute(f"create database {name} template {template} strategy file_copy")
            cursor.execute("select pg_backend_pid()")
            (backend,) = cursor.fetchone() or (0,)
            postmaster = parent(backend)
        admin.close()
        work = self.folder / name
        work.mkdir(exist_ok=True)
        return Database(self.url.rpartition("/")[0] + f"/{name}", work, postmaster)

    def rename(self, old: str, new: str) -> None:
        """Rename a database, so that it can be the template of a new one with its old name.

        The new one must have the old name, as with another dbt would parse the whole project again.
        """
        admin = psycopg2.connect(self.url)
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [old]
            )
            cursor.execute(f"alter database {old} rename to {new}")
        admin.close()


@contextmanager
def server(kind: str) -> Iterator[Server]:
    """A database server until the block ends. `kind` is `embedded` or `15`."""
    with tempfile.TemporaryDirectory(prefix="kalshi-bench-") as name:
        folder = Path(name)
        running = embedded_server(folder / "pg") if kind == "embedded" else postgres_15()
        with running as url:
            if kind == "15":
                _tune(url)
            _describe(url)
            yield Server(url, folder)


def _tune(url: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for name, value in SERVER_15.items():
            cursor.execute(f"alter system set {name} = '{value}'")
        cursor.execute("select pg_reload_conf()")
    connection.close()


def _describe(url: str) -> None:
    names = ("server_version", "shared_buffers", "fsync", "synchronous_commit", "max_wal_size")
    connection = psycopg2.connect(url)
    with connection.cursor() as cursor:
        found = []
        for name in names:
            cursor.execute(f"show {name}")
            found.append(f"{name} {(cursor.fetchone() or ('',))[0]}")
    connection.close()
    load = os.getloadavg()[0]
    print(f"{', '.join(found)}; {os.cpu_count()} cores, load average {load:.1f}", flush=True)


def in_environment(database: Database) -> AbstractContextManager[None]:
    """The environment that commands get, for code of the package that is called in this process."""
    return environment(database.environment())


def add_server_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server",
        choices=("embedded", "15"),
        default="embedded",
        help="the embedded PostgreSQL, or the machine's own 15",
    )
