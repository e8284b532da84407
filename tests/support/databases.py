"""Databases for the tests: on a server, or on every node of a Citus cluster."""

import os
import time
from contextlib import closing

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from simulator.servers import run_statements

CITUS_URL = os.environ.get("CITUS_URL")
"""A superuser's URL of the coordinator, in a database where its workers are registered."""

NO_CITUS = "CITUS_URL names no Citus coordinator"

SHARDS = 4
"""Shards of each table in the tests: enough for two on each of two workers, and quickly made."""


def create_database(server_url: str, name: str) -> str:
    """Create an empty database, on a cluster on every node of it; returns its URL."""
    nodes = nodes_of(server_url)
    for server in _servers(server_url):
        run_statements(server, f"create database {name}")
    for host, port in nodes:
        run_statements(address(server_url, name, host, port), "create extension citus")
    url = server_url.rpartition("/")[0] + f"/{name}"
    if nodes:
        (host, port), *workers = nodes
        run_statements(
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
        run_statements(server, f"alter database {source} allow_connections false")
        _when_unused(server, source, f"create database {name} template {source}")
        run_statements(server, f"alter database {source} allow_connections true")
    return url.rpartition("/")[0] + f"/{name}"


def drop_database(url: str) -> None:
    """Drop a database, on a cluster on every node of it."""
    name = parse_dsn(url)["dbname"]
    servers = _servers(url)
    if len(servers) == 1:
        run_statements(servers[0], f"drop database {name} with (force)")
        return
    for server in servers:
        run_statements(server, f"alter database {name} allow_connections false")
        _when_unused(server, name, f"drop database {name}")


def is_cluster(url: str) -> bool:
    """Whether the database is one of a Citus cluster."""
    return bool(nodes_of(url))


def _when_unused(server: str, database: str, statement: str) -> None:
    """Run a statement during which nobody else may use the database. Others are disconnected, again
    and again, as Citus' daemons come back."""
    deadline = time.monotonic() + 30
    while True:
        run_statements(
            server,
            f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'",
        )
        try:
            run_statements(server, statement)
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
