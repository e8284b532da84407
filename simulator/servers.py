"""Postgres servers that tests and benchmarks start for themselves: the embedded one, and version
15."""

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

from kalshi_elt.warehouse.embedded import EmbeddedServer, free_port

POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")


def run_statements(url: str, *statements: str) -> None:
    """Run one statement after the other, each committed by itself."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


@contextmanager
def embedded_server(folder: Path) -> Iterator[str]:
    """An embedded server in `folder` until the block ends; gives its URL.

    It does not wait for the disk (fsync), so its data would not survive a crash of the machine.
    """
    server = EmbeddedServer(folder)
    try:
        url = server.start()
        run_statements(url, "alter system set fsync = off", "select pg_reload_conf()")
        yield url
    finally:
        server.stop()


@contextmanager
def postgres_15() -> Iterator[str]:
    """A PostgreSQL 15 until the block ends, on TCP and on a socket in its folder; gives its URL on
    TCP."""
    folder = Path(tempfile.mkdtemp(prefix="kalshi-pg15-"))
    account: dict[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    port = free_port(0)
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
