"""The dbt models as assets and dbt's tests as their checks, by dagster-dbt."""

import json
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliInvocation,
    DbtCliResource,
    DbtProject,
)
from dagster_dbt import dbt_assets as assets_of_dbt
from dbt.version import __version__ as dbt_version
from packaging.version import Version

from kalshi_elt.base.environment import environment
from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.load.landing.source import CANDLESTICKS
from kalshi_elt.transform.build import FAILED, WITHOUT_UNIT_TESTS, require_raw_tables
from kalshi_elt.warehouse.connection import database_url, open_warehouse, pgdata_dir
from kalshi_elt.warehouse.names import OPS_SCHEMA, TRANSFORMER_ROLE
from orchestration.dbt_manifest import MANIFEST, TARGET
from orchestration.failures import failures_in_one_line
from orchestration.pool import POOL
from orchestration.raw import DAYS_OF_CANDLES, raw_key

RUN_RESULTS = "run_results.json"

SAID_BY_DBT = "Errors parsed from dbt logs:"
"""The words in dagster-dbt's error after which dbt's own follow."""

MOST_FAILURES = 5
"""How many failed models and tests are named."""


class TypedTranslator(DagsterDbtTranslator):
    """Models and sources under their names in the warehouse. A source of dbt and the raw table that
    a load fills have the same name, and so are one asset."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        if dbt_resource_props["schema"] == OPS_SCHEMA:
            # what a load remembers (kalshi_ops) of the windows of candles that it lands
            return raw_key(CANDLESTICKS.name)
        return dg.AssetKey([dbt_resource_props["schema"], dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        return str(dbt_resource_props["schema"])

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        if any(dep.asset_key == raw_key(CANDLESTICKS.name) for dep in spec.deps):
            # days that a backfill loads land in the same table, so its models depend on them, too
            return spec.merge_attributes(deps=[DAYS_OF_CANDLES])
        return spec


TRANSLATOR = TypedTranslator(
    # a raw table and the tables of kalshi_ops about it are one asset
    DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True)
)


class Dbt(DbtCliResource):
    """dbt of this environment."""

    @cached_property
    def _cli_version(self) -> Version:
        """The installed version. Asking `dbt --version` for it would ask a package registry for
        newer ones."""
        return Version(dbt_version)


DBT = Dbt(
    project_dir=str(PROJECT_ROOT),
    profiles_dir=str(PROJECT_ROOT),
    # named in full, so that it is found when the environment was not activated and it is not on
    # the PATH
    dbt_executable=str(Path(sys.executable).with_name("dbt")),
    global_config_flags=["--no-use-colors"],
)


# Without a DbtProject: that would parse with whatever `dbt` is on the PATH, and for a long
# selection copy the whole checkout, with the environments and warehouses in it.
@assets_of_dbt(name="transform", manifest=MANIFEST, dagster_dbt_translator=TRANSLATOR, pool=POOL)
def typed_tables(context: dg.AssetExecutionContext, dbt: Dbt) -> Iterator[Any]:
    """`make transform`: build and test the typed tables."""
    target = TARGET / "run"
    (target / RUN_RESULTS).unlink(missing_ok=True)
    with failures_in_one_line():
        warehouse = open_warehouse(database_url(), pgdata_dir())
        require_raw_tables(warehouse)
    with environment(warehouse.acting_as(TRANSFORMER_ROLE).libpq_environment()):
        build = dbt.cli(
            ["build", *WITHOUT_UNIT_TESTS],
            context=context,
            target_path=target,
            raise_on_error=False,
        )
    yield from build.stream()
    if not build.is_successful():
        raise dg.Failure(f"dbt build failed: {_failures(build)}")


def _failures(build: DbtCliInvocation) -> str:
    """The names of what failed, or why nothing ran."""
    if not (build.target_path / RUN_RESULTS).exists():
        return " ".join(str(build.get_error()).rpartition(SAID_BY_DBT)[2].split())
    results = json.loads((build.target_path / RUN_RESULTS).read_bytes())["results"]
    failed = [r["unique_id"].split(".")[2] for r in results if r["status"] in FAILED]
    more = f" and {len(failed) - MOST_FAILURES} more" if len(failed) > MOST_FAILURES else ""
    return f"{', '.join(failed[:MOST_FAILURES])}{more}; dbt's output says why"
