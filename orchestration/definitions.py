"""What Dagster loads: `dagster dev -m orchestration.definitions`, which is `make dagster`."""

import dagster as dg

from orchestration.jobs import backfill, refresh, refresh_schedule
from orchestration.raw import candlesticks_by_day, raw_tables
from orchestration.typed import DBT, typed_tables

defs = dg.Definitions(
    assets=[raw_tables, candlesticks_by_day, typed_tables],
    jobs=[refresh, backfill],
    schedules=[refresh_schedule],
    resources={"dbt": DBT},
    # in one process: a job has two steps, one after the other, and in processes of their own each
    # of them would import everything again
    executor=dg.in_process_executor,
)
