"""The warehouse's Postgres: found from one setting, described for dlt, dbt and psql alike."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions
from psycopg2.extensions import connection as Connection  # noqa: N812

from pipelines.embedded import EmbeddedServer
from pipelines.errors import UsageError, WarehouseError, first_line
from pipelines.paths import PROJECT_ROOT, dlt_data_folder

RAW_SCHEMA = "kalshi_raw"
TYPED_SCHEMA = "kalshi"
RAW_TABLES = ("events", "markets", "candlesticks")
TYPED_TABLES = ("events", "markets", "candles")
OLDEST_SERVER = 15
CONNECT_SECONDS = 10

IDENTITY = frozenset({"host", "hostaddr", "port", "user", "password", "dbname"})
"""What `Warehouse` holds itself; every other libpq parameter (sslmode, ...) is passed through."""


@dataclass(frozen=True)
class Warehouse:
    """One database, with all that a client needs to connect to it."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    dbname: str
    parameters: Mapping[str, str]
    """Further libpq parameters by their libpq names, such as sslmode."""
    work_folder: Path
    """dlt's working folder for this warehouse: packages not yet landed wait there."""

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection that commits when the block ends well and is closed in any case."""
        try:
            connection = psycopg2.connect(**self._libpq_keywords())
        except psycopg2.OperationalError as error:
            raise WarehouseError(f"warehouse {self}: {first_line(error)}") from error
        try:
            with connection:
                yield connection
        except psycopg2.OperationalError as error:
            raise WarehouseError(
                f"warehouse {self}: {first_line(error)}; what landed before is kept, run it again"
            ) from error
        finally:
            connection.close()

    def _libpq_keywords(self) -> dict[str, Any]:
        identity = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "dbname": self.dbname,
        }
        return {"connect_timeout": CONNECT_SECONDS, **self.parameters, **identity}

    def libpq_environment(self) -> dict[str, str]:
        """Environment variables for psql, dbt and every other libpq client. Holds the password."""
        environment = {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.dbname,
        }
        for keyword, value in self.parameters.items():
            environment[_environment_name(keyword)] = value
        return environment

    def __str__(self) -> str:
        """For messages: never shows the password."""
        return f"{self.user}@{self.host}:{self.port}/{self.dbname}"


def open_warehouse(database_url: str | None, pgdata_dir: Path) -> Warehouse:
    """The server behind `database_url`, or else the embedded one under `pgdata_dir`, started.

    Raises UsageError when the URL is none, WarehouseError when the server can't be used.
    """
    if database_url:
        return _connect_first(database_url, work_parent=dlt_data_folder() / "pipelines")
    folder = pgdata_dir if pgdata_dir.is_absolute() else PROJECT_ROOT / pgdata_dir
    return _connect_first(EmbeddedServer(folder).start(), work_parent=folder / "pipelines")


def _connect_first(url: str, work_parent: Path) -> Warehouse:
    """Connect once, so that libpq itself resolves the password file, service file and defaults."""
    parameters = _parse(url)
    try:
        connection = psycopg2.connect(url, connect_timeout=CONNECT_SECONDS)
    except psycopg2.OperationalError as error:
        raise WarehouseError(
            f"DATABASE_URL: {first_line(error)}; check the address, or unset DATABASE_URL to use "
            "the embedded server"
        ) from error
    try:
        if connection.server_version < OLDEST_SERVER * 10_000:
            raise WarehouseError(
                f"DATABASE_URL: the server is PostgreSQL {connection.server_version // 10_000}; "
                f"{OLDEST_SERVER} or newer is needed"
            )
        info = connection.info
        identity = f"{info.host}:{info.port}/{info.dbname}"
        return Warehouse(
            host=info.host,
            port=info.port,
            user=info.user,
            password=info.password or "",
            dbname=info.dbname,
            parameters={k: v for k, v in parameters.items() if k not in IDENTITY},
            work_folder=work_parent / hashlib.sha256(identity.encode()).hexdigest()[:12],
        )
    finally:
        connection.close()


def _parse(url: str) -> dict[str, str]:
    scheme = url.partition("://")[0]
    if scheme not in ("postgresql", "postgres"):
        raise UsageError(
            "DATABASE_URL must begin with postgresql:// "
            "(as postgresql://user:password@host:5432/database)"
        )
    try:
        return dict(psycopg2.extensions.parse_dsn(url))
    except psycopg2.ProgrammingError as error:
        reason = first_line(error)
        raise UsageError(
            "DATABASE_URL can't be read as a libpq URL"
            + ("" if url in reason else f" ({reason})")
            + "; percent-encode special characters of the password, such as @ as %40"
        ) from error


ENVIRONMENT_NAMES = {
    "options": "PGOPTIONS",
    "application_name": "PGAPPNAME",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "client_encoding": "PGCLIENTENCODING",
    "passfile": "PGPASSFILE",
    "channel_binding": "PGCHANNELBINDING",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}
"""Where libpq's variable is not simply PG and the keyword (sslmode: PGSSLMODE) or is known so."""


def _environment_name(keyword: str) -> str:
    return ENVIRONMENT_NAMES.get(keyword, "PG" + keyword.upper())


def database_url() -> str | None:
    """The one setting that names the warehouse. None: the embedded server."""
    return os.environ.get("DATABASE_URL") or None


def pgdata_dir() -> Path:
    """Where the embedded server lives."""
    return Path(os.environ.get("PGDATA_DIR") or ".pgdata")
