"""What a benchmark works with and leaves nothing of: a server, databases, folders."""

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812

from bench.measure import Finished, cpu_seconds, parent, run_pipeline
from kalshi_elt.warehouse.connection import Warehouse, open_warehouse
from simulator.servers import embedded_server, postgres_15

UNLIMITED = "100000"
"""Requests a second that no exchange answers."""

SERVER_15 = {
    "max_wal_size": "4GB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "jit": "off",
}
"""What can be set without a restart to be as the embedded server has it."""


@dataclass(frozen=True)
class Database:
    """One warehouse, its folders, and the environment of a command that works on it."""

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
        """A connection of which each statement commits."""
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
        """The one number that a query gives."""
        return float(self.query(sql, *values)[0][0])

    def warehouse(self) -> Warehouse:
        """As the pipeline sees it. The folder of dlt is set by the environment: `settled`."""
        return open_warehouse(self.url, Path("unused"))

    def server_cpu(self) -> float:
        """CPU seconds of the database server so far."""
        return cpu_seconds(self.postmaster)


@dataclass(frozen=True)
class Server:
    """A database server of a benchmark's own, and a folder for all else."""

    url: str
    folder: Path

    def database(self, name: str, template: str = "template0") -> Database:
        """A new database; an old one of that name goes. The folders stay, so dbt parses once."""
        admin = psycopg2.connect(self.url)
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute(f"drop database if exists {name} with (force)")
            # the default copies through the log, page by page
            cursor.execute(f"create database {name} template {template} strategy file_copy")
            cursor.execute("select pg_backend_pid()")
            (backend,) = cursor.fetchone() or (0,)
            postmaster = parent(backend)
        admin.close()
        work = self.folder / name
        work.mkdir(exist_ok=True)
        return Database(self.url.rpartition("/")[0] + f"/{name}", work, postmaster)

    def rename(self, old: str, new: str) -> None:
        """Set a database aside as a template; a new one of the old name takes its place.

        Same name, same dbt profile: another would make dbt parse the whole project again.
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
    """A database server for the time of the block: `embedded`, or `15`."""
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


@contextmanager
def settled(database: Database) -> Iterator[None]:
    """The environment of a command, for pipeline code that runs in this process."""
    before = dict(os.environ)
    os.environ.update(database.environment())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def add_server_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server",
        choices=("embedded", "15"),
        default="embedded",
        help="the embedded PostgreSQL, or the machine's own 15",
    )
