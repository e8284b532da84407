"""What keeps runs on the same warehouse apart."""

POOL = "kalshi_warehouse"
"""Pool of every step that writes to the warehouse. Limited to one run in `dagster.yaml`, as two dbt
builds would write the same rows; loads are kept apart by the warehouse's own lock besides."""
