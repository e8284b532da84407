"""`tools/install.py` and the lock files: what goes into which environment, in which versions."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from kalshi_elt.base.paths import PROJECT_ROOT
from tools.install import LEAST_SHARE, Progress, main, missing, read_lock, shares

LOCK = PROJECT_ROOT / "requirements.lock"
EXTRAS = ("charts", "parquet", "dev", "dagster")

REGISTRY = re.compile(r"https?://")
"""An address of a package registry: a lock names none, as everyone has a registry of their own."""


def lock_of(extra: str) -> Path:
    return PROJECT_ROOT / f"requirements-{extra}.lock"


def pins(lock: Path) -> dict[str, set[str]]:
    """The versions in a lock file, each of which has to have hashes."""
    said = lock.read_text()
    assert not REGISTRY.search(said)
    found: dict[str, set[str]] = {}
    hashed = re.findall(r"^([\w.-]+)(?:\[.*\])?==(\S+).*?\\\n +--hash=sha256:", said, re.MULTILINE)
    assert len(hashed) == len(re.findall(r"^[^ #\n]", said, re.MULTILINE))
    for name, version in hashed:
        found.setdefault(name, set()).add(version)
    return found


def required(names: list[str]) -> set[str]:
    """The packages' names, as a lock spells them."""
    return {re.split(r"[^\w.-]", name)[0].lower() for name in names}


def project() -> dict[str, object]:
    found: dict[str, object] = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())
    return found


# The locks


def test_all_that_the_project_depends_on_is_in_its_lock() -> None:
    dependencies = project()["project"]["dependencies"]  # type: ignore[index]

    # setuptools installs the project itself
    assert required(dependencies) | {"setuptools"} <= pins(LOCK).keys()


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extras_lock_holds_what_it_adds_and_nothing_that_is_there(extra: str) -> None:
    extras = project()["project"]["optional-dependencies"]  # type: ignore[index]
    there, added = pins(LOCK), pins(lock_of(extra))

    assert set(extras) == set(EXTRAS)
    assert required(extras[extra]) <= there.keys() | added.keys()
    assert not there.keys() & added.keys()
    assert "excluded from the output" not in lock_of(extra).read_text()


def test_a_package_in_two_locks_is_of_one_version() -> None:
    found: dict[str, set[str]] = {}
    for extra in EXTRAS:
        for name, versions in pins(lock_of(extra)).items():
            assert found.setdefault(name, versions) == versions, name


def test_loading_and_typing_need_no_charts_no_parquet_and_no_tools() -> None:
    big = {"pyarrow", "vl-convert-python", "plotext", "pytest", "ruff", "mypy", "sqlfluff"}

    assert not big & pins(LOCK).keys()


# Which packages


TEXT = """\
# by uv
agate==1.9.1 \\
    --hash=sha256:1c
    # via dbt-core
mashumaro[msgpack]==3.14 \\
    --hash=sha256:2c
networkx==3.6.1 ; python_full_version < '3.12' \\
    --hash=sha256:3c
networkx==3.7 ; python_full_version >= '3.12' \\
    --hash=sha256:4c
pywin32==312 ; sys_platform == 'win32' \\
    --hash=sha256:5c
setuptools==84.2.1 \\
    --hash=sha256:6c
uvloop==0.23.0 ; sys_platform != 'win32' \\
    --hash=sha256:7c
"""


def test_a_lock_is_read_whole_but_for_what_only_windows_takes() -> None:
    found = read_lock(TEXT)

    assert {package.name: package.versions for package in found} == {
        "agate": {"1.9.1"},
        "mashumaro": {"3.14"},
        "networkx": {"3.6.1", "3.7"},
        "setuptools": {"84.2.1"},
        "uvloop": {"0.23.0"},
    }
    assert "".join(one.text for one in found) == "".join(
        block for block in re.split(r"^(?=\w)", TEXT, flags=re.M)[1:] if "== 'win32'" not in block
    )


def test_only_what_is_not_there_in_its_version_is_installed(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text(TEXT)
    site = tmp_path / "site"
    for name, version in (("agate", "1.9.0"), ("networkx", "3.7"), ("Mashumaro", "3.14")):
        folder = site / f"{name}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")

    assert [one.name for one in missing([lock], site)] == ["agate", "setuptools", "uvloop"]


def test_every_package_is_in_one_share_and_what_builds_the_project_in_the_first() -> None:
    packages = read_lock(LOCK.read_text())

    found = shares(packages)

    assert len(found) > 1
    assert sorted(one.name for share in found for one in share) == sorted(
        one.name for one in packages
    )
    assert found[0][0].name == "setuptools"
    assert min(map(len, found)) >= LEAST_SHARE
    assert shares([]) == []
    assert len(shares(packages[:3])) == 1


def test_the_progress_counts_what_pip_puts_there(tmp_path: Path) -> None:
    (tmp_path / "pip-1.dist-info").mkdir()
    progress = Progress(tmp_path, total=2)
    assert str(progress) == "0 of 2 packages fetched, 0 installed"

    progress.fetched = 1
    (tmp_path / "agate-1.dist-info").mkdir()
    assert str(progress) == "1 of 2 packages fetched, 1 installed"

    # one that was in pip's cache
    (tmp_path / "six-1.dist-info").mkdir()
    assert str(progress) == "2 of 2 packages fetched, 2 installed"


# The command


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """An environment whose `python -m pip install -r LOCK` unpacks nothing, but notes it."""
    (tmp_path / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    program = tmp_path / "bin" / "python"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, re, sys\n"
        f"log = pathlib.Path({str(tmp_path)!r}) / 'log'\n"
        "with log.open('a') as file: print(*sys.argv[1:], file=file)\n"
        "lock = pathlib.Path(sys.argv[-1]).read_text()\n"
        f"site = pathlib.Path({str(tmp_path)!r}) / 'lib/python3.11/site-packages'\n"
        "for name, version in re.findall(r'^([\\w.-]+)==(\\S+)', lock, re.M):\n"
        "    if name == 'bad': sys.exit('ERROR: the hashes of bad do not match')\n"
        "    folder = site / f'{name}-{version}.dist-info'\n"
        "    folder.mkdir()\n"
        "    (folder / 'METADATA').write_text(f'Name: {name}\\nVersion: {version}\\n')\n"
        "    print(f'  Downloading {name}')\n"
    )
    program.chmod(0o755)
    return tmp_path


def test_packages_are_installed_by_hash_without_their_dependencies_once(
    stand_in: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = lock_of("charts")

    assert main([str(stand_in), str(lock)]) == 0
    assert main([str(stand_in), str(lock)]) == 0

    (call,) = (stand_in / "log").read_text().splitlines()
    assert call.startswith("-m pip install ")
    assert " --no-deps --require-hashes -r " in call
    said = capsys.readouterr().out
    assert re.fullmatch(r"2 of 2 packages fetched, 2 installed \(\d+ s\)\n", said)


def test_what_pip_says_against_a_package_is_shown_and_is_status_1(
    stand_in: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "bad.lock"
    lock.write_text("bad==1 \\\n    --hash=sha256:1c\n")

    assert main([str(stand_in), str(lock)]) == 1

    said = capsys.readouterr().err
    assert "ERROR: the hashes of bad do not match" in said
    assert said.endswith("could not be set up; see above\n")


def test_it_needs_nothing_but_python(tmp_path: Path) -> None:
    """It runs before anything is installed."""
    run = subprocess.run(
        [sys.executable, "-I", "-S", PROJECT_ROOT / "tools" / "install.py", "--help"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )

    assert run.returncode == 0, run.stderr
    assert "--project" in run.stdout
