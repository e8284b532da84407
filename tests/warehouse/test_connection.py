"""The warehouse from DATABASE_URL: what is refused and how, and that no password is ever shown.

No server is needed here: connections are refused by loopback, or are stand-ins.
"""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from kalshi_elt.base.errors import KalshiEltError, UsageError, WarehouseError
from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.warehouse.connection import Warehouse, database_url, open_warehouse, pgdata_dir

PASSWORD = "correct-horse"
NEVER_USED = Path("never-used")


@pytest.fixture
def refused_port() -> int:
    """A port of loopback where nothing listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


def warehouse(**parameters: str) -> Warehouse:
    return Warehouse(
        host="127.0.0.1",
        port=5432,
        user="kalshi",
        password=PASSWORD,
        dbname="markets",
        parameters=parameters,
        work_folder=Path("work"),
    )


def one_line(error: pytest.ExceptionInfo[KalshiEltError]) -> str:
    """An error's message, which has to be one line."""
    message = str(error.value)
    assert len(message.splitlines()) == 1, message
    return message


@dataclass
class StandIn:
    """A connection as psycopg2 gives it."""

    info: Any
    server_version: int = 180_004
    is_closed: bool = False

    def close(self) -> None:
        self.is_closed = True

    @contextmanager
    def cursor(self) -> Iterator["StandIn"]:
        """Of a database where nobody has made roles."""
        yield self

    def execute(self, query: str, values: object) -> None:
        pass

    def fetchall(self) -> list[tuple[str]]:
        return []


@dataclass
class Info:
    """What psycopg2 tells of a connection."""

    host: str = "db.test"
    port: int = 5433
    user: str = "kalshi"
    password: str | None = PASSWORD
    dbname: str = "markets"


@dataclass
class Connections:
    """In place of psycopg2.connect."""

    info: Info = field(default_factory=Info)
    server_version: int = 180_004
    error: str = ""
    made: list[StandIn] = field(default_factory=list)

    def connect(self, *arguments: object, **keywords: object) -> StandIn:
        if self.error:
            raise psycopg2.OperationalError(self.error)
        self.made.append(StandIn(self.info, self.server_version))
        return self.made[-1]


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Connections:
    """Every connection of a test; what happens to them can be chosen."""
    found = Connections()
    monkeypatch.setattr("psycopg2.connect", found.connect)
    return found


# A URL that can't be read


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(f"mysql://kalshi:{PASSWORD}@h/d", id="another database"),
        pytest.param(f"http://kalshi:{PASSWORD}@h/d", id="another protocol"),
        pytest.param(f"kalshi:{PASSWORD}@h/d", id="no scheme"),
        pytest.param(f"host=h user=kalshi password={PASSWORD}", id="keywords and values"),
        pytest.param(f"postgresql:kalshi:{PASSWORD}@h/d", id="no slashes"),
        pytest.param("kalshi.db", id="a file"),
    ],
)
def test_a_url_of_another_kind_is_refused_with_the_right_form(url: str) -> None:
    with pytest.raises(UsageError) as error:
        open_warehouse(url, NEVER_USED)

    message = one_line(error)
    assert message.startswith("DATABASE_URL must begin with postgresql:// ")
    assert "postgresql://user:password@host:5432/database" in message
    assert PASSWORD not in message


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param(f"postgresql://k:{PASSWORD}@[::1/d", "", id="bracket not closed"),
        pytest.param(f"postgresql://k:{PASSWORD}@[::1]x/d", "", id="letters after a bracket"),
        pytest.param(f"postgresql://k:{PASSWORD}@h/d?nope=1", '"nope"', id="unknown parameter"),
        pytest.param(f"postgresql://k:{PASSWORD}@h/d?sslmode", "", id="no value"),
        pytest.param(f"postgresql://k:{PASSWORD}@h%zz/d", "", id="bad escape in the host"),
    ],
)
def test_an_unreadable_url_is_refused_with_a_hint(url: str, reason: str) -> None:
    with pytest.raises(UsageError) as error:
        open_warehouse(url, NEVER_USED)

    message = one_line(error)
    assert message.startswith("DATABASE_URL can't be read as a libpq URL")
    assert "percent-encode special characters of the password, such as @ as %40" in message
    assert reason in message
    assert PASSWORD not in message


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://k:correct%zzhorse@h/d", id="a bad escape in it"),
        pytest.param("postgresql://k:correct%00horse@h/d", id="an escaped NUL in it"),
        pytest.param("postgresql://h/d?password=correct%zzhorse", id="as a parameter"),
    ],
)
def test_a_password_that_makes_the_url_unreadable_is_not_shown(url: str) -> None:
    with pytest.raises(UsageError) as error:
        open_warehouse(url, NEVER_USED)

    assert "horse" not in one_line(error)


@pytest.mark.parametrize(
    ("url", "libpq"),
    [
        pytest.param(
            "postgresql://k:correct@horse@h/d",
            'could not translate host name "horse@h" to address: Name or service not known',
            id="@ not escaped",
        ),
        pytest.param(
            "postgresql://k:horse/correct@h/d",
            'invalid integer value "horse" for connection option "port"',
            id="slash not escaped",
        ),
    ],
)
def test_a_password_that_libpq_takes_for_something_else_is_not_shown(
    connections: Connections, url: str, libpq: str
) -> None:
    connections.error = libpq

    with pytest.raises(KalshiEltError) as error:
        open_warehouse(url, NEVER_USED)

    assert "horse" not in one_line(error)


# A server that is not there, or not the right one


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_an_unreachable_server_is_one_line_with_a_way_out(refused_port: int, scheme: str) -> None:
    url = f"{scheme}://kalshi:{PASSWORD}@127.0.0.1:{refused_port}/markets"

    with pytest.raises(WarehouseError) as error:
        open_warehouse(url, NEVER_USED)

    message = one_line(error)
    assert message.startswith("DATABASE_URL: connection to server at")
    assert f"port {refused_port} failed: Connection refused" in message
    assert "unset DATABASE_URL to use the embedded server" in message
    assert PASSWORD not in message


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param("postgresql://k:{}@127.0.0.1:99999/d", "99999", id="port out of range"),
        pytest.param("postgresql://k:{}@127.0.0.1:abc/d", "port", id="port no number"),
        pytest.param("postgresql://k:{}@127.0.0.1/d?sslmode=x", '"x"', id="wrong sslmode"),
    ],
)
def test_a_url_that_libpq_can_not_use_is_one_line_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(KalshiEltError) as error:
        open_warehouse(url.format(PASSWORD), NEVER_USED)

    message = one_line(error)
    assert message.startswith("DATABASE_URL: ")
    assert reason in message
    assert PASSWORD not in message


def test_a_server_that_goes_away_later_is_one_line_without_the_password(refused_port: int) -> None:
    gone = Warehouse("127.0.0.1", refused_port, "kalshi", PASSWORD, "markets", {}, Path("work"))

    with pytest.raises(WarehouseError) as error, gone.connect():
        pytest.fail("there is no server")

    message = one_line(error)
    assert message.startswith(f"warehouse kalshi@127.0.0.1:{refused_port}/markets: ")
    assert "Connection refused" in message
    assert PASSWORD not in message


@pytest.mark.parametrize(
    ("version", "name"),
    [
        pytest.param(140_019, "14", id="14"),
        pytest.param(90_624, "9", id="9.6"),
    ],
)
def test_an_old_server_is_refused(connections: Connections, version: int, name: str) -> None:
    connections.server_version = version

    with pytest.raises(WarehouseError) as error:
        open_warehouse(f"postgresql://kalshi:{PASSWORD}@db.test/markets", NEVER_USED)

    assert one_line(error) == (
        f"DATABASE_URL: the server is PostgreSQL {name}; 15 or newer is needed"
    )
    assert [connection.is_closed for connection in connections.made] == [True]


# A warehouse


def test_the_connection_itself_says_who_and_where(connections: Connections) -> None:
    """libpq fills in what a URL leaves out, from its own files and variables."""
    found = open_warehouse("postgresql://?service=kalshi&sslmode=require", NEVER_USED)

    assert (found.host, found.port) == ("db.test", 5433)
    assert (found.user, found.password, found.dbname) == ("kalshi", PASSWORD, "markets")
    assert found.parameters["sslmode"] == "require"
    assert [connection.is_closed for connection in connections.made] == [True]


def test_a_connection_without_a_password_has_an_empty_one(connections: Connections) -> None:
    connections.info.password = None

    assert open_warehouse("postgresql://db.test", NEVER_USED).password == ""


def test_only_what_is_no_identity_is_a_further_parameter(connections: Connections) -> None:
    url = (
        f"postgresql://kalshi:{PASSWORD}@db.test:5433/markets"
        "?hostaddr=127.0.0.1&sslmode=require&application_name=elt"
    )

    found = open_warehouse(url, NEVER_USED)

    assert found.parameters == {"sslmode": "require", "application_name": "elt"}


def test_each_database_has_a_work_folder_of_its_own(connections: Connections) -> None:
    def folder(**identity: Any) -> Path:
        connections.info = Info(**identity)
        return open_warehouse("postgresql://db.test", NEVER_USED).work_folder

    first = folder()

    assert folder() == first
    assert folder(password="another", user="another") == first
    others = [folder(host="other.test"), folder(port=1), folder(dbname="other")]
    assert len({first, *others}) == 4


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(".pgdata", PROJECT_ROOT / ".pgdata", id="relative: to the project"),
        pytest.param("/var/lib/kalshi", Path("/var/lib/kalshi"), id="absolute"),
    ],
)
def test_without_a_url_the_embedded_server_is_started(
    monkeypatch: pytest.MonkeyPatch, connections: Connections, given: str, expected: Path
) -> None:
    started: list[Path] = []

    class Embedded:
        def __init__(self, folder: Path) -> None:
            self.folder = folder

        def start(self) -> str:
            started.append(self.folder)
            return f"postgresql://kalshi:{PASSWORD}@127.0.0.1:5433/kalshi"

    monkeypatch.setattr("kalshi_elt.warehouse.connection.EmbeddedServer", Embedded)

    found = open_warehouse(None, Path(given))

    assert started == [expected]
    assert expected in found.work_folder.parents


# What clients and people are told


def test_libpqs_variables_say_all_that_a_client_needs() -> None:
    assert warehouse().libpq_environment() == {
        "PGHOST": "127.0.0.1",
        "PGPORT": "5432",
        "PGUSER": "kalshi",
        "PGPASSWORD": PASSWORD,
        "PGDATABASE": "markets",
    }


@pytest.mark.parametrize(
    ("keyword", "variable"),
    [
        ("sslmode", "PGSSLMODE"),
        ("sslrootcert", "PGSSLROOTCERT"),
        ("sslcert", "PGSSLCERT"),
        ("sslkey", "PGSSLKEY"),
        ("options", "PGOPTIONS"),
        ("application_name", "PGAPPNAME"),
        pytest.param(
            "connect_timeout",
            "PGCONNECT_TIMEOUT",
        ),
        ("client_encoding", "PGCLIENTENCODING"),
        ("channel_binding", "PGCHANNELBINDING"),
        ("target_session_attrs", "PGTARGETSESSIONATTRS"),
        ("passfile", "PGPASSFILE"),
        ("service", "PGSERVICE"),
        ("gssencmode", "PGGSSENCMODE"),
        ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
        ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
        ("require_auth", "PGREQUIREAUTH"),
        ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
        ("krbsrvname", "PGKRBSRVNAME"),
    ],
)
def test_each_further_parameter_has_libpqs_own_variable(keyword: str, variable: str) -> None:
    environment = warehouse(**{keyword: "some value"}).libpq_environment()

    assert environment[variable] == "some value"


@pytest.mark.parametrize(
    "keyword",
    ["sslpassword", "keepalives", "keepalives_idle", "tcp_user_timeout", "replication"],
)
def test_a_parameter_without_a_variable_makes_none(keyword: str) -> None:
    with_it = warehouse(**{keyword: "1"}).libpq_environment()

    assert with_it == warehouse().libpq_environment()


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{!r}".format])
def test_no_way_to_show_a_warehouse_shows_its_password(show: Any) -> None:
    text = show(warehouse(sslmode="require"))

    assert "kalshi" in text
    assert "markets" in text
    assert PASSWORD not in text


def test_the_password_of_a_client_key_is_not_shown_either() -> None:
    assert PASSWORD not in repr(warehouse(sslpassword=PASSWORD))


def test_a_person_is_told_user_host_port_and_database() -> None:
    assert str(warehouse(sslmode="require")) == "kalshi@127.0.0.1:5432/markets"


# The two settings


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, None, id="not set"),
        pytest.param("", None, id="empty"),
        pytest.param("postgresql://h/d", "postgresql://h/d", id="set"),
    ],
)
def test_database_url_is_a_variable_and_empty_means_embedded(
    monkeypatch: pytest.MonkeyPatch, value: str | None, expected: str | None
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    if value is not None:
        monkeypatch.setenv("DATABASE_URL", value)

    assert database_url() == expected


SECRET = "postgresql://u:pa55@h/d"


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `.dlt/secrets.toml`, empty, and no variable."""
    file = tmp_path / "secrets.toml"
    file.touch()
    monkeypatch.setattr("kalshi_elt.warehouse.connection.SECRETS", file)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return file


def test_the_url_may_stand_where_dlt_keeps_secrets(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert database_url() is None
    secrets.write_text(f'[destination.postgres]\ncredentials = "{SECRET}"\n')

    assert database_url() == SECRET
    monkeypatch.setenv("DATABASE_URL", "postgresql://h/d")
    assert database_url() == "postgresql://h/d"


@pytest.mark.parametrize(
    "text",
    [f"credentials = {SECRET}", "destination = 1", "[destination.postgres]\ncredentials = 7"],
)
def test_secrets_that_can_t_be_read_are_told_without_them(secrets: Path, text: str) -> None:
    secrets.write_text(text)

    with pytest.raises(UsageError) as error:
        database_url()

    assert "secrets.toml" in str(error.value) and "pa55" not in str(error.value)


def test_git_ignores_the_file_of_secrets() -> None:
    assert ".dlt/secrets.toml" in (PROJECT_ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, ".pgdata", id="not set"),
        pytest.param("", ".pgdata", id="empty"),
        pytest.param("/srv/pg", "/srv/pg", id="set"),
    ],
)
def test_pgdata_dir_is_a_variable_with_a_default(
    monkeypatch: pytest.MonkeyPatch, value: str | None, expected: str
) -> None:
    monkeypatch.delenv("PGDATA_DIR", raising=False)
    if value is not None:
        monkeypatch.setenv("PGDATA_DIR", value)

    assert pgdata_dir() == Path(expected)
