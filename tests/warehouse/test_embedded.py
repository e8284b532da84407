"""The embedded PostgreSQL: started once, its data kept, stopped, whoever runs it."""

import os
import pwd
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from kalshi_elt.base.errors import WarehouseError
from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.warehouse.embedded import EmbeddedServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One that may run or not when a test begins."""
    server = EmbeddedServer(tmp_path_factory.mktemp("shared") / "pgdata")
    yield server
    server.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """One that has never run."""
    server = EmbeddedServer(tmp_path / "pgdata")
    yield server
    server.stop()


def run(url: str, sql: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def test_starting_twice_is_one_server(server: EmbeddedServer) -> None:
    first = server.start()
    pid = run(first, "select pg_backend_pid()") and server._pid()

    second = server.start()

    assert second == first
    assert server._pid() == pid


def test_data_survives_a_stop_and_the_url_stays(server: EmbeddedServer) -> None:
    url = server.start()
    run(url, "create table stopped as select 1 as one")

    assert server.stop()

    assert server.start() == url
    assert run(url, "select one from stopped") == [(1,)]


def test_data_survives_a_crash(server: EmbeddedServer) -> None:
    url = server.start()
    run(url, "create table crashed as select 1 as one")
    pid = server._pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)

    assert run(server.start(), "select one from crashed") == [(1,)]


def test_stopping_what_does_not_run_is_no_error(own_server: EmbeddedServer) -> None:
    assert own_server.stop() is False


def test_the_password_is_for_its_owner_alone(server: EmbeddedServer) -> None:
    server.start()

    assert (server.folder / "password").stat().st_mode & 0o077 == 0


def test_a_wrong_password_is_refused(server: EmbeddedServer) -> None:
    url = server.start()
    password = (server.folder / "password").read_text()

    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(url.replace(password, "guess"))


def test_an_interrupted_creation_is_done_again(own_server: EmbeddedServer) -> None:
    (own_server.folder / "data.new").mkdir(parents=True)
    (own_server.folder / "data.new" / "PG_VERSION").write_text("18")

    assert run(own_server.start(), "select 1") == [(1,)]


def test_a_folder_that_is_deep_or_closed_to_others_is_no_problem_and_stays_closed(
    tmp_path: Path,
) -> None:
    """A socket's path would be limited to 107 characters."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedServer(closed / ("deep" * 25) / ("deeper" * 20) / "pgdata")
    try:
        assert run(server.start(), "select 1") == [(1,)]
    finally:
        server.stop()

    assert closed.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(WarehouseError, match="set PGDATA_DIR"):
        EmbeddedServer(tmp_path / "file").start()


def test_a_server_that_can_not_start_says_why(server: EmbeddedServer) -> None:
    server.start()
    server.stop()
    settings = server.data / "postgresql.auto.conf"
    before = settings.read_text()
    settings.write_text("no_such_setting = 1\n")
    try:
        with pytest.raises(WarehouseError, match="no_such_setting"):
            server.start()
    finally:
        settings.write_text(before)


@pytest.mark.skipif(os.geteuid() != 0, reason="this session is a normal user's already")
def test_a_normal_user_runs_it_with_an_empty_home() -> None:
    nobody = pwd.getpwnam("nobody")
    paths = (Path(sys.executable).resolve(), Path(sys.prefix).resolve(), PROJECT_ROOT)
    if not all(_open_to_others(path) for path in paths):
        pytest.skip("this checkout or its Python lies in a folder closed to normal users")
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        result = subprocess.run(
            [sys.executable, "-m", "kalshi_elt", "psql", "-Atc", "select 'it runs'"],
            cwd=PROJECT_ROOT,
            env={"HOME": folder, "PGDATA_DIR": f"{folder}/pg", "PATH": os.environ["PATH"]},
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
            capture_output=True,
            text=True,
        )
        EmbeddedServer(Path(folder) / "pg").stop()

    assert (result.returncode, result.stdout) == (0, "it runs\n"), result.stderr


def _open_to_others(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))
