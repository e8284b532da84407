"""The rules of `make lint` for imports: each of them fails when an import breaks it."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from kalshi_elt.base.paths import PROJECT_ROOT

WRONG = {
    "pipelines/kalshi_elt/base/text.py": "import kalshi_elt.warehouse.names",
    "pipelines/kalshi_elt/kalshi/records.py": "from kalshi_elt.warehouse import tables",
    "pipelines/kalshi_elt/ops/lock.py": "import simulator.seed_event",
    "pipelines/kalshi_elt/admin/prune.py": "from kalshi_elt.job.run import run",
    "orchestration/jobs.py": "import kalshi_elt.cli.main",
    "simulator/prices.py": "import kalshi_elt.ops.lock",
    "bench/quiet.py": "import tests.support.clock",
    "pipelines/kalshi_elt/base/times.py": "import kalshi_elt.base.folders",
    "pipelines/kalshi_elt/base/folders.py": "import kalshi_elt.base.times",
}
"""A line to put into a file."""

PACKAGES = ("bench", "orchestration", "pipelines", "simulator", "tests", "tools")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says of a copy of the code with all the wrong imports in it."""
    copy = tmp_path_factory.mktemp("code")
    for name in PACKAGES:
        left_out = shutil.ignore_patterns("__pycache__", "*.gz", "*.sql")
        shutil.copytree(PROJECT_ROOT / name, copy / name, ignore=left_out)
    shutil.copy(PROJECT_ROOT / "pyproject.toml", copy)
    for name, line in WRONG.items():
        with (copy / name).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": f"{copy}:{copy / 'pipelines'}", "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    return run.stdout


def test_each_rule_is_broken_by_an_import_against_it(said: str) -> None:
    settings = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())
    rules = [rule["name"] for rule in settings["tool"]["importlinter"]["contracts"]]

    assert re.findall(r"^(.*) BROKEN$", said, re.MULTILINE) == rules
    assert f"Contracts: 0 kept, {len(rules)} broken." in said


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("kalshi_elt.base", "kalshi_elt.warehouse"),
        ("kalshi_elt.kalshi", "kalshi_elt.warehouse"),
        ("kalshi_elt.admin", "kalshi_elt.job"),
        ("kalshi_elt", "simulator"),
        ("orchestration", "kalshi_elt.cli"),
        ("simulator", "kalshi_elt.ops"),
        ("bench", "tests"),
    ],
)
def test_both_ends_of_a_wrong_import_are_named(said: str, importer: str, imported: str) -> None:
    assert f"{importer} is not allowed to import {imported}:" in said


def test_a_circle_is_named(said: str) -> None:
    assert "No cycles are allowed in kalshi_elt.base." in said
    assert re.search(r"^- \.(times -> \.folders|folders -> \.times) ", said, re.MULTILINE)
