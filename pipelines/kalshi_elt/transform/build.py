"""Running dbt in this process, connected to the warehouse that the loader uses."""

import io
import logging
import os
import shutil
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from dbt.artifacts.resources.types import NodeType
from dbt.artifacts.schemas.results import RunStatus, TestStatus
from dbt.artifacts.schemas.run import RunExecutionResult
from dbt.cli.exceptions import DbtUsageException
from dbt.cli.main import dbtRunner

from kalshi_elt.base.environment import environment
from kalshi_elt.base.errors import KalshiEltError, UsageError
from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.ops import versions
from kalshi_elt.warehouse.citus import lost_node, require_nodes, server_said
from kalshi_elt.warehouse.connection import Warehouse
from kalshi_elt.warehouse.names import RAW_SCHEMA, RAW_TABLES, TRANSFORMER_ROLE

FAILED = (RunStatus.Error, TestStatus.Fail)
WITHOUT_UNIT_TESTS = ("--exclude-resource-type", "unit_test")
"""Arguments that leave out dbt's unit tests: they test the models, not the data, so the project's
own tests run them."""

MOST_NAMES = 5
"""How many failed nodes a message names."""

DOCS_PAGE = "static_index.html"


@dataclass(frozen=True)
class DbtOutcome:
    """What a command of dbt did, as far as it builds or tests something."""

    rows: dict[str, int] = field(default_factory=dict)
    """How many rows were written to each table, by its name."""
    passed: int = 0
    """How many tests passed."""
    failed: tuple[str, ...] = ()
    """Names of tests that failed, and of models that could not be built."""
    warned: tuple[str, ...] = ()
    """Names of tests that only warn, and did."""
    lost_node: str | None = None
    """What is said of a node of the Citus cluster because of which something failed
    (`citus.lost_node`); None when no node was lost."""


class DbtError(KalshiEltError):
    """Something failed in a command of dbt. What it did all the same is in `outcome`."""

    def __init__(self, message: str, outcome: DbtOutcome) -> None:
        super().__init__(message)
        self.outcome = outcome


def transform(
    warehouse: Warehouse, arguments: Sequence[str] = (), *, quiet: bool = False
) -> DbtOutcome:
    """Build and test the typed tables: `dbt build`, with further `arguments`.

    With `quiet` dbt writes nothing but errors. Raises DbtError when anything fails, KalshiEltError
    when nothing has landed yet, or dbt can't begin.
    """
    require_raw_tables(warehouse)
    return run_dbt(warehouse, ["build", *WITHOUT_UNIT_TESTS, *arguments], quiet=quiet)


def check(warehouse: Warehouse) -> None:
    """Test everything in the warehouse, and whether the newest rows are recent: `dbt test` and
    `dbt source freshness`. Raises KalshiEltError when anything fails."""
    require_raw_tables(warehouse)
    run_dbt(warehouse, ["source", "freshness"])
    run_dbt(warehouse, ["test", *WITHOUT_UNIT_TESTS])


def write_docs(warehouse: Warehouse, *, quiet: bool = False) -> Path:
    """Write the docs as one HTML file that opens without a server; returns its path."""
    require_raw_tables(warehouse)
    run_dbt(warehouse, ["docs", "generate", "--static"], quiet=quiet)
    page = target_folder() / "docs" / "index.html"
    page.parent.mkdir(exist_ok=True)
    shutil.copyfile(target_folder() / DOCS_PAGE, page)
    return page


def target_folder() -> Path:
    """Where dbt writes: `target/`, or the folder that DBT_TARGET_PATH names."""
    return PROJECT_ROOT / (os.environ.get("DBT_TARGET_PATH") or "target")


def run_dbt(warehouse: Warehouse, arguments: Sequence[str], *, quiet: bool = False) -> DbtOutcome:
    """Run any dbt command on the warehouse. dbt writes its own report; with `quiet`, errors alone.

    Raises UsageError for arguments that dbt does not know, DbtError for any other failure, and
    KeyboardInterrupt when it was interrupted, after dbt has cancelled its queries.
    """
    # When the reader of our output goes away, as in `| head`, logging would print a traceback for
    # each line that it can't write.
    logging.raiseExceptions = False
    flags = [] if sys.stdout.isatty() else ["--no-use-colors"]
    flags += ["--quiet"] if quiet else []
    quietly_said = io.StringIO()
    out = quietly_said if quiet else sys.stdout
    acting = warehouse.acting_as(TRANSFORMER_ROLE)
    with chdir(PROJECT_ROOT), environment(acting.libpq_environment()), redirect_stdout(out):
        outcome = dbtRunner().invoke([*flags, *arguments])
    if isinstance(outcome.exception, KeyboardInterrupt):
        # dbt has caught it as any other error; its traceback, in what was kept quiet, is not
        # printed
        raise outcome.exception
    sys.stdout.write(quietly_said.getvalue())
    done = _outcome(outcome.result)
    if outcome.success:
        return done
    if isinstance(outcome.exception, DbtUsageException):
        raise UsageError(f"dbt: {server_said(outcome.exception)}")
    if outcome.exception is not None:
        raise DbtError(f"dbt {arguments[0]} failed: {server_said(outcome.exception)}", done)
    raise DbtError(f"dbt {arguments[0]} failed: {_failures(done)}", done)


def _outcome(result: object) -> DbtOutcome:
    """What a command did; nothing, for one that builds and tests no nodes."""
    if not isinstance(result, RunExecutionResult):
        return DbtOutcome()
    by_status: defaultdict[str, list[str]] = defaultdict(list)
    for node in result.results:
        by_status[str(node.status)].append(str(node.node.name))
    return DbtOutcome(
        rows={
            str(node.node.name): int(node.adapter_response["rows_affected"])
            for node in result.results
            if node.node.resource_type == NodeType.Model
            # of a view dbt says -1
            and node.adapter_response.get("rows_affected", -1) >= 0
        },
        passed=len(by_status[TestStatus.Pass]),
        failed=tuple(name for status in FAILED for name in by_status[status]),
        warned=tuple(by_status[TestStatus.Warn]),
        lost_node=next(filter(None, (lost_node(str(one.message)) for one in result.results)), None),
    )


def _failures(outcome: DbtOutcome) -> str:
    if outcome.lost_node:
        return f"{outcome.lost_node}, and run it again; nothing is lost"
    if not outcome.failed:
        return "see the lines above"
    more = len(outcome.failed) - MOST_NAMES
    shown = ", ".join(outcome.failed[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    return f"{shown}; the lines above and logs/dbt.log say why"


def require_raw_tables(warehouse: Warehouse) -> None:
    """Raise KalshiEltError when nothing has landed yet, as there is nothing to type then, when the
    warehouse is of another version, or when a node of its cluster can't be reached."""
    acting = warehouse.acting_as(TRANSFORMER_ROLE)
    with acting.connect() as connection, connection.cursor() as cursor:
        versions.check(connection, str(warehouse))
        cursor.execute(
            "select count(*) from pg_tables where schemaname = %s and tablename = any(%s)",
            [RAW_SCHEMA, list(RAW_TABLES)],
        )
        (found,) = cursor.fetchone() or (0,)
        require_nodes(connection, str(warehouse))
    if found < len(RAW_TABLES):
        raise KalshiEltError(
            f"nothing has landed in {warehouse} yet: run `make load` (or `make demo`) first"
        )
