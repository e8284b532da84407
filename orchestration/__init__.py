"""Dagster definitions: raw tables and dbt models as one asset graph.

An optional extra, `pip install '.[dagster]'`. Nothing here loads or types by itself: it calls what
`make load` and `make transform` call.
"""

from kalshi_elt.base.environment import use_project_settings

# before dlt is imported, so that it reads the project's `.dlt/` and writes nothing into the home
use_project_settings()
