"""The warehouse's Postgres: found from one setting, described for dlt, dbt and psql alike."""

import hashlib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions
from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.base.errors import UsageError, WarehouseError
from kalshi_elt.base.paths import PROJECT_ROOT, dlt_data_folder
from kalshi_elt.warehouse.citus import lost_node, server_said
from kalshi_elt.warehouse.embedded import EmbeddedServer
from kalshi_elt.warehouse.names import LOADER_ROLE, TRANSFORMER_ROLE

ROLES = """
select pg_roles.rolname
from pg_namespace
inner join pg_roles on pg_namespace.nspowner = pg_roles.oid
where
    pg_namespace.nspname in ('kalshi_raw', 'kalshi')
    and pg_roles.rolname = any(%s)
    and pg_has_role(session_user, pg_roles.oid, 'member')
"""
"""Which of the given roles own a schema here and may be acted as by the user who logged in."""

OLDEST_SERVER = 15
"""Major version of Postgres."""

CONNECT_SECONDS = 10

IDENTITY = frozenset({"host", "hostaddr", "port", "user", "password", "dbname"})
"""libpq parameters that `Warehouse` has fields for. All others, such as sslmode, are in its field
`parameters`."""


@dataclass(frozen=True)
class Warehouse:
    """One database, with all that a client needs to connect to it."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    dbname: str
    parameters: Mapping[str, str] = field(repr=False)
    """Further libpq parameters by their libpq names, such as sslmode."""
    work_folder: Path
    """dlt's working folder for this warehouse: packages not yet landed wait there."""
    roles: frozenset[str] = frozenset()
    """Roles of `kalshi-elt grant` that the user may act as; empty where there are no such roles."""

    def acting_as(self, role: str) -> "Warehouse":
        """The same warehouse, with connections that have the rights of `role`, which then owns what
        they make; unchanged when the user can't act as that role."""
        if role not in self.roles:
            return self
        options = f"{self.parameters.get('options', '')} -c role={role}".strip()
        return replace(self, parameters={**self.parameters, "options": options})

    @contextmanager
    def connect(self, *, autocommit: bool = False) -> Iterator[Connection]:
        """A connection for the block: it commits when the block ends without an error, and is
        closed.

        With `autocommit` each statement commits by itself, except within `with connection`. Raises
        WarehouseError when the server can't be reached, or is lost in the block.
        """
        try:
            connection = psycopg2.connect(**self._libpq_keywords())
        except psycopg2.OperationalError as error:
            raise WarehouseError(f"warehouse {self}: {server_said(error)}") from error
        try:
            if autocommit:
                connection.autocommit = True
                yield connection
            else:
                with connection:
                    yield connection
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            raise WarehouseError(
                f"warehouse {self}: {server_said(error)}; what landed before is kept, run it again"
            ) from error
        except psycopg2.Error as error:
            # a node of a cluster that is lost in the middle of a transaction is told by errors of
            # several classes, so the text decides
            if lost := lost_node(str(error)):
                raise WarehouseError(
                    f"warehouse {self}: {lost}; what landed before is kept, run it again"
                ) from error
            raise
        finally:
            connection.close()

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A read-only connection that sees the warehouse as it is at one moment."""
        with self.connect() as connection:
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            yield connection

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
        """Environment variables for psql, dbt and every other libpq client, with the password."""
        environment = {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.dbname,
        }
        for keyword, value in self.parameters.items():
            if name := _environment_name(keyword):
                environment[name] = value
        return environment

    def __str__(self) -> str:
        """For messages: without the password."""
        return f"{self.user}@{self.host}:{self.port}/{self.dbname}"


def open_warehouse(database_url: str | None, pgdata_dir: Path) -> Warehouse:
    """The server behind `database_url`, or else the embedded one under `pgdata_dir`, started.

    Raises UsageError when the URL can't be read, WarehouseError when the server can't be used.
    """
    if database_url:
        return _connect_first(database_url, work_parent=dlt_data_folder() / "pipelines")
    server = EmbeddedServer(PROJECT_ROOT / pgdata_dir)
    return _connect_first(server.start(), work_parent=server.folder / "pipelines")


def _connect_first(url: str, work_parent: Path) -> Warehouse:
    """The warehouse at a URL, as libpq connects to it: what the URL leaves open libpq takes from
    its password file, service file and defaults, so we connect once and read the result."""
    parameters = _parse(url)
    try:
        connection = psycopg2.connect(url, connect_timeout=CONNECT_SECONDS)
    except psycopg2.OperationalError as error:
        # without the cause, whose text may quote a part of the password
        raise WarehouseError(
            f"DATABASE_URL: {_without_secrets(error, url)}; check the address, or unset "
            "DATABASE_URL to use the embedded server"
        ) from None
    try:
        if connection.server_version < OLDEST_SERVER * 10_000:
            raise WarehouseError(
                f"DATABASE_URL: the server is PostgreSQL {connection.server_version // 10_000}; "
                f"{OLDEST_SERVER} or newer is needed"
            )
        with connection.cursor() as cursor:
            cursor.execute(ROLES, [[LOADER_ROLE, TRANSFORMER_ROLE]])
            roles = frozenset(name for (name,) in cursor.fetchall())
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
            roles=roles,
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
        raise UsageError(
            f"DATABASE_URL can't be read as a libpq URL ({_without_secrets(error, url)}); "
            "percent-encode special characters of the password, such as @ as %40"
        ) from None


def _without_secrets(error: psycopg2.Error, url: str) -> str:
    """The error's first line, unless it quotes what may be a piece of a password.

    A password with an @ or a / that is not percent-encoded ends there for libpq. It takes the rest
    for a host or a port, and quotes that as not found.
    """
    reason = server_said(error)
    after_user = url.partition("://")[2].partition(":")[2]
    # where the URL has no @, what follows the colon may be a port, or a password without a host
    suspects = after_user.rpartition("@")[0] or after_user.partition("/")[0]
    pieces = re.split(r"[:@/?&=]", suspects) + re.findall(r"password=([^&]*)", url)
    if any(piece and not piece.isdigit() and piece in reason for piece in pieces):
        return "it is not clear where its password ends"
    return reason


ENVIRONMENT_NAMES = {
    "options": "PGOPTIONS",
    "application_name": "PGAPPNAME",
    "client_encoding": "PGCLIENTENCODING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "sslpassword": None,
    "keepalives": None,
    "keepalives_idle": None,
    "keepalives_interval": None,
    "keepalives_count": None,
    "tcp_user_timeout": None,
    "replication": None,
}
"""Environment variables of libpq by keyword, where they are not just `PG` and the keyword in
capitals without underscores; None where there is no variable for it."""


def _environment_name(keyword: str) -> str | None:
    return ENVIRONMENT_NAMES.get(keyword, "PG" + keyword.replace("_", "").upper())


SECRETS = PROJECT_ROOT / ".dlt" / "secrets.toml"


def database_url() -> str | None:
    """The one setting that names the warehouse. None: the embedded server.

    The environment's DATABASE_URL, or where dlt keeps it, `.dlt/secrets.toml`:

        [destination.postgres]
        credentials = "postgresql://..."
    """
    return os.environ.get("DATABASE_URL") or _url_among_secrets() or None


def _url_among_secrets() -> str | None:
    try:
        secrets = tomllib.loads(SECRETS.read_text(encoding="utf-8"))
        found = secrets.get("destination", {}).get("postgres", {}).get("credentials")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError):
        # without the reason, which may quote the password
        raise UsageError(
            f'{SECRETS} can\'t be read: write credentials = "postgresql://..." under '
            "[destination.postgres]"
        ) from None
    if found is not None and not isinstance(found, str):
        raise UsageError(f"{SECRETS}: credentials must be one text, postgresql://...")
    return found


def pgdata_dir() -> Path:
    """The embedded server's folder: PGDATA_DIR, relative to the project, or `.pgdata`."""
    return Path(os.environ.get("PGDATA_DIR") or ".pgdata")
