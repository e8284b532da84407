"""The jobs: keeping the warehouse up to date on a schedule, and filling in days."""

import os

import dagster as dg

from orchestration.raw import candlesticks_by_day, raw_tables
from orchestration.typed import typed_tables

EVERY_FIVE_MINUTES = "*/5 * * * *"

UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

refresh = dg.define_asset_job(
    "refresh",
    selection=dg.AssetSelection.assets(raw_tables, typed_tables),
    description="Load what is new, type it, test it.",
)

backfill = dg.define_asset_job(
    "backfill",
    selection=dg.AssetSelection.assets(candlesticks_by_day, typed_tables),
    description="Load the candles of a day, type them, test them.",
    # below the 0 of `refresh`: of the runs that wait in the queue, those with new data go first
    tags={"dagster/priority": "-1"},
)


@dg.schedule(
    job=refresh,
    cron_schedule=os.environ.get("KALSHI_CRON") or EVERY_FIVE_MINUTES,
    execution_timezone="UTC",
)
def refresh_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Refresh, unless the last refresh is not finished: the next one takes up what is new."""
    unfinished = dg.RunsFilter(job_name=refresh.name, statuses=UNFINISHED)
    if context.instance.get_run_ids(unfinished, limit=1):
        return dg.SkipReason("the last refresh is not finished")
    return dg.RunRequest()
