"""Servers for the tests: the embedded one, the machine's own PostgreSQL 15, a Citus cluster."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from pipelines.embedded import EmbeddedServer, _free_port

POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")


@contextmanager
def embedded_server(folder: Path) -> Iterator[str]:
    """The embedded server under `folder`, not made to survive a crash; yields its URL."""
    server = EmbeddedServer(folder)
    try:
        url = server.start()
        _execute(url, "alter system set fsync = off", "select pg_reload_conf()")
        yield url
    finally:
        server.stop()


@contextmanager
def postgres_15() -> Iterator[str]:
    """A PostgreSQL 15 of its own, on TCP and on a socket in its folder; yields its TCP URL."""
    folder = Path(tempfile.mkdtemp(prefix="kalshi-pg15-"))
    account: dict[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    port = _free_port(0)
    data = folder / "data"
    subprocess.run(
        [POSTGRES_15 / "initdb", "-D", data, "-U", "kalshi", "--auth=trust", "-E", "UTF8"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
        **account,
    )
    (data / "pg_hba.conf").write_text(
        "local all kalshi trust\nhost all kalshi 127.0.0.1/32 trust\n"
        "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"
    )
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [
                POSTGRES_15 / "postgres",
                "-D",
                data,
                "-p",
                str(port),
                "-k",
                folder,
                "-c",
                "fsync=off",
            ],
            stdout=log,
            stderr=log,
            cwd="/",
            **account,
        )
    url = f"postgresql://kalshi@127.0.0.1:{port}/postgres"
    try:
        _wait_for(url)
        yield url
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder)


CITUS_URL = os.environ.get("CITUS_URL")
"""A superuser's URL of the coordinator, in a database where its workers are registered."""

NO_CITUS = "CITUS_URL names no Citus coordinator"

SHARDS = 4
"""Of each table in the tests: enough for two on each of two workers, quickly made."""


def create_database(server_url: str, name: str) -> str:
    """Create an empty database, on a cluster on every node of it; returns its URL."""
    nodes = nodes_of(server_url)
    for server in _servers(server_url):
        _execute(server, f"create database {name}")
    for host, port in nodes:
        _execute(address(server_url, name, host, port), "create extension citus")
    url = server_url.rpartition("/")[0] + f"/{name}"
    if nodes:
        (host, port), *workers = nodes
        _execute(
            url,
            f"alter database {name} set citus.shard_count = {SHARDS}",
            f"select citus_set_coordinator_host('{host}', {port})",
            *(f"select citus_add_node('{host}', {port})" for host, port in workers),
        )
    return url


def copy_database(url: str, name: str) -> str:
    """Copy a database, on a cluster on every node of it; returns the copy's URL."""
    source = parse_dsn(url)["dbname"]
    for server in _servers(url):
        _execute(server, f"alter database {source} allow_connections false")
        _when_unused(server, source, f"create database {name} template {source}")
        _execute(server, f"alter database {source} allow_connections true")
    return url.rpartition("/")[0] + f"/{name}"


def drop_database(url: str) -> None:
    """Drop a database, on a cluster on every node of it."""
    name = parse_dsn(url)["dbname"]
    servers = _servers(url)
    if len(servers) == 1:
        _execute(servers[0], f"drop database {name} with (force)")
        return
    for server in servers:
        _execute(server, f"alter database {name} allow_connections false")
        _when_unused(server, name, f"drop database {name}")


def is_cluster(url: str) -> bool:
    """Whether the database is one of a Citus cluster."""
    return bool(nodes_of(url))


def _when_unused(server: str, database: str, statement: str) -> None:
    """Run a statement that nobody else may use the database for: Citus' daemons come back."""
    deadline = time.monotonic() + 30
    while True:
        _execute(
            server,
            f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'",
        )
        try:
            _execute(server, statement)
            return
        except psycopg2.errors.ObjectInUse:
            if time.monotonic() > deadline:
                raise


def nodes_of(server_url: str) -> list[tuple[str, int]]:
    """A cluster's nodes as they name each other, the coordinator first; none on plain Postgres."""
    with closing(psycopg2.connect(server_url)) as connection, connection.cursor() as cursor:
        cursor.execute("select to_regclass('pg_dist_node') is not null")
        if cursor.fetchone() == (False,):
            return []
        cursor.execute(
            "select nodename, nodeport from pg_dist_node where noderole = 'primary' "
            "order by groupid, nodeid"
        )
        return cursor.fetchall()


def _servers(url: str) -> list[str]:
    """Connection strings to the database `postgres` of the server, or of each node of a cluster."""
    nodes: list[tuple[str | None, int | None]] = [*nodes_of(url)]
    return [address(url, "postgres", host, port) for host, port in nodes or [(None, None)]]


def address(url: str, database: str, host: str | None, port: int | None) -> str:
    """The same user on another database, and another server if one is given."""
    place = {"host": host, "port": port} if host else {}
    return str(make_dsn(**{**parse_dsn(url), "dbname": database, **place}))


def _execute(url: str, *statements: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg2.connect(url).close()
            return
        except psycopg2.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
