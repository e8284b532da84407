"""What keeps runs on the same warehouse apart."""

POOL = "kalshi_warehouse"
"""Pool of every step that writes to the warehouse. `dagster.yaml` limits it to one step at a time,
as two builds of dbt would write the same rows. Loads are kept apart by the warehouse's own lock,
too."""
