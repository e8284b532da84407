"""Installs what lock files name into a virtual environment, and says meanwhile how far it is.

    python3 tools/install.py .venv requirements.lock --project

The Makefile runs it, before anything is installed: it needs nothing but Python. pip alone takes one
package after the other and says nothing for most of a minute. Packages of a lock are installed
without their dependencies, so none waits for another, and several pips share them.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent

PIPS = 3
"""At once: on two cores two work while one waits for the network."""

LEAST_SHARE = 12
"""Packages for a pip: its own start costs as much as installing two of them."""

LINE_SECONDS = 5.0
"""Between two lines where the output is no terminal."""

PIN = re.compile(r"^([\w.-]+)(?:\[[\w,-]*\])?==([^\s;]+)", re.ASCII)
WINDOWS = re.compile(r"== '(win32|nt)'")

BUILDER = "setuptools"
"""What the project itself is installed with."""


@dataclass
class Package:
    """What a lock says of a package: as it stands there, once for each version."""

    name: str
    versions: set[str] = field(default_factory=set)
    """One, or several with markers of which one holds."""
    text: str = ""


@dataclass
class Progress:
    """How many packages there are to install, and how far that is."""

    folder: Path
    """Where they go: its `*.dist-info` tell what is there."""
    total: int
    fetched: int = 0
    _before: int = 0

    def __post_init__(self) -> None:
        self._before = self._count()

    def _count(self) -> int:
        return sum(1 for _ in self.folder.glob("*.dist-info"))

    def __str__(self) -> str:
        installed = min(max(self._count() - self._before, 0), self.total)
        # what pip has in its cache it does not fetch
        fetched = min(max(self.fetched, installed), self.total)
        return f"{fetched} of {self.total} packages fetched, {installed} installed"


class InstallError(Exception):
    """pip could not install something; the text is what it said."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        install(options.venv, options.locks, with_project=options.project)
    except InstallError as error:
        print(f"{error}\n{options.venv} could not be set up; see above", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/install.py", description=__doc__)
    parser.add_argument("venv", type=Path, help="made unless it is there")
    parser.add_argument("locks", type=Path, nargs="+")
    parser.add_argument("--project", action="store_true", help="install this checkout, too")
    return parser


def install(venv: Path, locks: Iterable[Path], *, with_project: bool) -> None:
    """Install what the locks name and is not there yet; the checkout itself editable."""
    if with_project:
        print(f"setting up {venv} (once; half a minute to a minute)", flush=True)
        # again where it is: whoever stopped the first time may have left it without pip
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    (site_packages,) = venv.glob("lib/python3*/site-packages")
    packages = missing(locks, site_packages)
    if not packages and not with_project:
        return
    progress = Progress(site_packages, len(packages))
    with tempfile.TemporaryDirectory() as folder, _shown(progress):
        jobs = [
            (Path(folder, f"{number}.lock"), share) for number, share in enumerate(shares(packages))
        ]
        for path, share in jobs:
            path.write_text("\n".join(package.text for package in share), encoding="utf-8")
        _run_all(venv, jobs, progress, with_project=with_project)


def read_lock(text: str) -> list[Package]:
    """The packages of a lock, without those that only Windows takes."""
    found: dict[str, Package] = {}
    for block in re.split(r"^(?=\w)", text, flags=re.MULTILINE):
        if (pin := PIN.match(block)) and not WINDOWS.search(block.partition("\\")[0]):
            package = found.setdefault(pin[1], Package(pin[1]))
            package.versions.add(pin[2])
            package.text += block
    return list(found.values())


def missing(locks: Iterable[Path], site_packages: Path) -> list[Package]:
    """The packages of the locks that are not installed in their version."""
    there = {(_plain(one.name), one.version) for one in distributions(path=[str(site_packages)])}
    return [
        package
        for lock in locks
        for package in read_lock(lock.read_text(encoding="utf-8"))
        if not any((_plain(package.name), version) in there for version in package.versions)
    ]


def _plain(name: str) -> str:
    """The one way to spell a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def shares(packages: Sequence[Package]) -> list[list[Package]]:
    """The packages in as many parts as are worth a pip each, the builder in the first."""
    ordered = sorted(packages, key=lambda package: package.name != BUILDER)
    # more parts than pips at once: who is done early takes another
    number = max(1, min(2 * PIPS, len(packages) // LEAST_SHARE))
    return [ordered[first::number] for first in range(number)] if packages else []


def _run_all(
    venv: Path,
    jobs: Sequence[tuple[Path, Sequence[Package]]],
    progress: Progress,
    *,
    with_project: bool,
) -> None:
    locked = ("--no-deps", "--require-hashes", "-r")
    with ThreadPoolExecutor(PIPS) as pool:
        running = [pool.submit(_pip, venv, progress, *locked, str(path)) for path, _ in jobs]
        try:
            if with_project:
                if running:
                    # the builder's part
                    running[0].result()
                own = ("--no-deps", "--no-build-isolation", "-e", str(PROJECT_ROOT))
                running.append(pool.submit(_pip, venv, progress, *own))
            for one in running:
                one.result()
        finally:
            # after an error nothing new is begun
            pool.shutdown(cancel_futures=True)


def _pip(venv: Path, progress: Progress, *arguments: str) -> None:
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--progress-bar", "off"]
    said = []
    with subprocess.Popen(
        [*command, "--disable-pip-version-check", "--no-input", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            said.append(line)
            progress.fetched += line.startswith(("  Downloading ", "  Using cached "))
    if pip.returncode:
        raise InstallError("".join(said[-20:]).rstrip())


@contextmanager
def _shown(progress: Progress) -> Iterator[None]:
    """Shows the progress while the block runs: one line that changes, or a line now and then."""
    is_terminal = sys.stdout.isatty()
    # to the line's beginning, and what was there goes
    start, end, pause = ("\r\033[K", "", 0.2) if is_terminal else ("", "\n", LINE_SECONDS)
    ended = threading.Event()

    def show() -> None:
        while not ended.wait(pause):
            print(f"{start}{progress}", end=end, flush=True)

    began = time.monotonic()
    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        print(f"{start}{progress} ({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
