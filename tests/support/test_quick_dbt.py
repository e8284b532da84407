"""The tests' quick dbt does what dbt does as it is installed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg2.extensions import parse_dsn

from kalshi_elt.base.paths import PROJECT_ROOT
from tests.conftest import Project, copied
from tests.support.landing import Landing, Window, candle, event, land, market
from tests.support.tables import typed_rows

pytestmark = pytest.mark.one_server

FIRST = Landing(
    events=[event()],
    markets=[market(), market("BAD", yes_bid_dollars="x")],
    windows=[Window("M", [candle(1), candle(2)])],
)
SECOND = Landing(
    minute=70,
    events=[event(title="Who now?", new_field=1)],
    markets=[market(status="closed"), market("LATE", "UNKNOWN")],
    windows=[Window("M", [candle(2, volume_fp="5.00"), candle(3, price=1)])],
)


INVOCATION = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


def build_with_dbt_as_it_is(project: Project) -> None:
    subprocess.run(
        [sys.executable, "-m", "kalshi_elt", "transform"],
        cwd=PROJECT_ROOT,
        env={
            **os.environ,
            "DATABASE_URL": project.database_url,
            "DBT_TARGET_PATH": str(project.target),
            "DBT_LOG_PATH": str(project.work / "logs"),
            "DLT_DATA_DIR": str(project.work / "dlt"),
        },
        stdout=subprocess.DEVNULL,
        check=True,
    )


def statements(project: Project) -> dict[Path, str]:
    """What dbt compiled and ran of each node, as it wrote it."""
    name = parse_dsn(project.database_url)["dbname"]
    return {
        file.relative_to(project.target): INVOCATION.sub("", file.read_text().replace(name, ""))
        for folder in ("compiled", "run")
        for file in (project.target / folder).rglob("*.sql")
    }


def test_a_build_runs_the_same_statements_and_writes_the_same_rows(project: Project) -> None:
    """Also in another database than the build before it."""
    land(project, FIRST)
    project.must("dbt", "run", "--full-refresh")
    land(project, SECOND)
    with copied(project) as usual, copied(project) as quick:
        build_with_dbt_as_it_is(usual)
        quick.must("transform")

        assert len(statements(quick)) > 150
        assert statements(quick) == statements(usual)
        assert typed_rows(quick) == typed_rows(usual)
