"""Running dbt in this process, connected to the warehouse that the loader uses."""

import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path

from dbt.artifacts.schemas.results import RunStatus, TestStatus
from dbt.artifacts.schemas.run import RunExecutionResult
from dbt.cli.exceptions import DbtUsageException
from dbt.cli.main import dbtRunner

from pipelines.errors import KalshiEltError, UsageError, first_line
from pipelines.paths import PROJECT_ROOT
from pipelines.warehouse import RAW_SCHEMA, RAW_TABLES, Warehouse

FAILED = (RunStatus.Error, TestStatus.Error, TestStatus.Fail)
WITHOUT_UNIT_TESTS = ("--exclude-resource-type", "unit_test")
"""They test the models, not the data, so they belong to the project's own tests."""

DOCS_PAGE = "static_index.html"


def transform(warehouse: Warehouse, arguments: Sequence[str]) -> None:
    """`dbt build`: type what landed, then test it. Raises KalshiEltError when anything fails."""
    _require_raw_tables(warehouse)
    run_dbt(warehouse, ["build", *WITHOUT_UNIT_TESTS, *arguments])


def check(warehouse: Warehouse) -> None:
    """`dbt test` and `dbt source freshness`: everything in the warehouse, not what is new alone.

    Raises KalshiEltError when anything fails.
    """
    _require_raw_tables(warehouse)
    run_dbt(warehouse, ["source", "freshness"])
    run_dbt(warehouse, ["test", *WITHOUT_UNIT_TESTS])


def write_docs(warehouse: Warehouse) -> Path:
    """Write the docs as one HTML file that opens without a server; returns its path."""
    _require_raw_tables(warehouse)
    run_dbt(warehouse, ["docs", "generate", "--static"])
    page = target_folder() / "docs" / "index.html"
    page.parent.mkdir(exist_ok=True)
    shutil.copyfile(target_folder() / DOCS_PAGE, page)
    return page


def target_folder() -> Path:
    """Where dbt writes: `target/`, or the folder that DBT_TARGET_PATH names."""
    return PROJECT_ROOT / (os.environ.get("DBT_TARGET_PATH") or "target")


def run_dbt(warehouse: Warehouse, arguments: Sequence[str]) -> None:
    """Run any dbt command. dbt reports for itself; a failure is raised as one line more."""
    # when the reader of our output goes away, as in `| head`, logging has nothing to say about it
    logging.raiseExceptions = False
    colours = [] if sys.stdout.isatty() else ["--no-use-colors"]
    with chdir(PROJECT_ROOT), _environment(warehouse.libpq_environment()):
        outcome = dbtRunner().invoke([*colours, *arguments])
    if outcome.success:
        return
    if isinstance(outcome.exception, DbtUsageException):
        raise UsageError(f"dbt: {first_line(outcome.exception)}")
    if outcome.exception is not None:
        raise KalshiEltError(f"dbt {arguments[0]} failed: {first_line(outcome.exception)}")
    raise KalshiEltError(f"dbt {arguments[0]} failed: {_failures(outcome.result)}")


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """`variables` set for the time of the block: `profiles.yml` reads them."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _failures(result: object) -> str:
    if not isinstance(result, RunExecutionResult):
        return "see the lines above"
    failed = [str(r.node.name) for r in result.results if r.status in FAILED]
    shown = ", ".join(failed[:5]) + (f" and {len(failed) - 5} more" if len(failed) > 5 else "")
    return f"{shown}; the lines above and logs/dbt.log say why"


def _require_raw_tables(warehouse: Warehouse) -> None:
    with warehouse.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "select count(*) from pg_tables where schemaname = %s and tablename = any(%s)",
            [RAW_SCHEMA, list(RAW_TABLES)],
        )
        (found,) = cursor.fetchone() or (0,)
    if found < len(RAW_TABLES):
        raise KalshiEltError(
            f"nothing has landed in {warehouse} yet: run `make load` (or `make demo`) first"
        )
