"""The raw tables as assets: their columns as dlt's source has them, filled by a load."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from dagster_dlt import DagsterDltTranslator
from dagster_dlt.translator import DltResourceTranslatorData
from dlt.extract import DltResource

from kalshi_elt.base.problems import shown_problems
from kalshi_elt.base.text import count
from kalshi_elt.base.times import now, parse_range
from kalshi_elt.load.configuration import load_settings
from kalshi_elt.load.landing.source import CANDLESTICKS, EVENTS, MARKETS, SERIES, raw_rows_source
from kalshi_elt.load.load import load
from kalshi_elt.load.summary import LoadSummary
from kalshi_elt.warehouse.connection import database_url, open_warehouse, pgdata_dir
from kalshi_elt.warehouse.names import RAW_SCHEMA
from orchestration.dbt_manifest import MANIFEST
from orchestration.failures import failures_in_one_line
from orchestration.pool import POOL

FIRST_DAY = "2021-07-01"
"""When trading began on Kalshi: there is nothing older to ask for."""

DAYS = dg.DailyPartitionsDefinition(start_date=FIRST_DAY, timezone="UTC")

DAYS_PER_RUN = 7
"""How many days of a backfill one run of Dagster loads: in a run for a single day typing would take
longer than landing."""

FIGURES = {
    SERIES.name: ("series",),
    EVENTS.name: ("events",),
    MARKETS.name: ("markets", "unchanged", "selected", "gone"),
    CANDLESTICKS.name: ("windows", "candles"),
}
"""Figures of a load's summary that stand with each table."""

ALL_FIGURES = tuple(name for names in FIGURES.values() for name in names)


def raw_key(table: str) -> dg.AssetKey:
    """Key of a raw table: where it is in the warehouse."""
    return dg.AssetKey([RAW_SCHEMA, table])


DAYS_OF_CANDLES = raw_key("candlesticks_by_day")


class RawTranslator(DagsterDltTranslator):
    """Tables under their names in the warehouse, described once: in dbt's YAML."""

    def get_asset_spec(self, data: DltResourceTranslatorData) -> dg.AssetSpec:
        described: Mapping[str, Any] = MANIFEST["sources"][
            f"source.kalshi.{RAW_SCHEMA}.{data.resource.name}"
        ]
        spec = super().get_asset_spec(data)
        return spec.replace_attributes(
            key=raw_key(data.resource.name),
            # dagster-dlt would add an asset for the API's side, which nothing here makes
            deps=[],
            description=described["description"],
            group_name=RAW_SCHEMA,
            kinds={"dlt", "postgres"},
        ).merge_attributes(
            metadata={"dagster/column_schema": _columns(data.resource, described["columns"])}
        )


def _columns(resource: DltResource, described: Mapping[str, Any]) -> dg.TableSchema:
    columns = resource.compute_table_schema()["columns"]
    return dg.TableSchema(
        [
            dg.TableColumn(
                name,
                type=str(column["data_type"]),
                description=described.get(name, {}).get("description"),
                constraints=dg.TableColumnConstraints(nullable=bool(column.get("nullable", True))),
            )
            for name, column in columns.items()
        ]
    )


def _specs() -> list[dg.AssetSpec]:
    translator = RawTranslator()
    source = raw_rows_source(series=(), events=(), markets=(), candlesticks=())
    return [
        # without a pipeline: to make one writes its working folder, and where that is depends on
        # the warehouse, which is not opened here
        translator.get_asset_spec(DltResourceTranslatorData(resource=resource, pipeline=None))
        for resource in source.resources.values()
    ]


@dg.multi_asset(name="load", specs=_specs(), pool=POOL)
def raw_tables(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
    """`make load`: what the settings select, and its candles since the last load."""
    summary = _load(context)
    for table, figures in FIGURES.items():
        yield dg.MaterializeResult(asset_key=raw_key(table), metadata=_metadata(summary, figures))


@dg.multi_asset(
    name="load_days",
    specs=[
        dg.AssetSpec(
            DAYS_OF_CANDLES,
            description="Candles of one day (UTC) of what the settings select: rows of "
            "`candlesticks`. What is covered already is not asked for again.",
            group_name=RAW_SCHEMA,
            kinds={"dlt", "postgres"},
        )
    ],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.multi_run(DAYS_PER_RUN),
    pool=POOL,
)
def candlesticks_by_day(
    context: dg.AssetExecutionContext,
) -> Iterator[dg.MaterializeResult[None]]:
    """`make load` for days of the past."""
    days = context.partition_time_window
    summary = _load(context, since=days.start.isoformat(), until=days.end.isoformat())
    yield dg.MaterializeResult(metadata=_metadata(summary, ALL_FIGURES))


def _load(context: dg.AssetExecutionContext, **times: str) -> LoadSummary:
    """One load. When something can't be landed the step fails, and what landed is kept."""
    with failures_in_one_line():
        # another load that is under way is waited for: nobody would run the step again by hand
        settings = load_settings({"wait": True, **times})
        wanted = parse_range(settings.since, settings.until, now=now())
        summary = load(settings, wanted, open_warehouse(database_url(), pgdata_dir()))
    context.log.info(str(summary))
    if summary.problems:
        problems = shown_problems(summary.problems)
        more = len(summary.problems) - 1
        raise dg.Failure(
            f"not landed: {problems[0]}" + (f", and {count(more, 'thing')} more" if more else ""),
            metadata={"problems": "\n".join(problems), **_metadata(summary, ALL_FIGURES)},
        )
    return summary


def _metadata(summary: LoadSummary, figures: tuple[str, ...]) -> dict[str, float]:
    return {name: getattr(summary, name) for name in (*figures, "requests", "seconds")}
