"""One setting, DATABASE_URL, drives dlt, dbt and psql: TCP or socket, any password."""

from collections.abc import Iterator
from contextlib import closing
from urllib.parse import quote

import psycopg2
import pytest

from simulator import Simulator
from tests.conftest import Project, new_database

ODD_PASSWORD = "p@ss:w/o%r d'\"#?&=\\+ü"


@pytest.fixture
def database_with_password(server_url: str) -> Iterator[str]:
    """A database that is owned by a role with an odd password; gives its name."""
    url = new_database(server_url)
    name = url.rpartition("/")[2]
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("create role odd login password %s", [ODD_PASSWORD])
        cursor.execute(f"alter database {name} owner to odd")
    yield name
    _drop(server_url, name)


def urls(server_url: str, name: str) -> list[str]:
    """The database's URL by TCP and, where the server has one, by its socket."""
    info = psycopg2.extensions.parse_dsn(server_url)
    password = quote(ODD_PASSWORD, safe="")
    tcp = f"postgresql://odd:{password}@{info['host']}:{info['port']}/{name}?application_name=odd"
    with closing(psycopg2.connect(server_url)) as connection, connection.cursor() as cursor:
        cursor.execute("show unix_socket_directories")
        (folder,) = cursor.fetchone() or ("",)
    socket = f"postgresql://odd:{password}@/{name}?host={quote(folder)}&port={info['port']}"
    return [tcp, socket] if folder else [tcp]


def test_any_password_by_tcp_and_socket(
    server_url: str, database_with_password: str, simulator: Simulator, project: Project
) -> None:
    for url in urls(server_url, database_with_password):
        named = Project(url, simulator, project.work)

        named.must("load", "--since", "1h")
        named.must("dbt", "run", "-s", "+markets")

        assert named.query("select count(*) from kalshi.markets") == [(10,)]
        assert ODD_PASSWORD not in named.must("status").out


def _drop(server_url: str, name: str) -> None:
    with closing(psycopg2.connect(server_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"drop database {name} with (force)")
            cursor.execute("drop role odd")
