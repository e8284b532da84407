"""Where dbt's time went: its models, tests and hooks, the slowest first."""

import json

from bench.workspace import Database

SHOWN = 8


def show_nodes(database: Database, wall: float) -> None:
    """Print the slowest nodes of dbt's last build, and the time outside of all nodes. `wall` is how
    long the whole command took, in seconds."""
    path = database.work / "target" / "run_results.json"
    if not path.exists():
        return
    said = json.loads(path.read_text())
    nodes = sorted(
        ((result["execution_time"], result["unique_id"]) for result in said["results"]),
        reverse=True,
    )
    inside = float(said["elapsed_time"])
    print(
        f"  dbt: {len(nodes)} nodes in {inside:.1f} s, "
        f"{wall - inside:.1f} s of start and parsing; the slowest:"
    )
    for seconds, name in nodes[:SHOWN]:
        kind, _, rest = name.partition(".kalshi.")
        print(f"    {seconds:7.2f} s  {kind} {rest}")
