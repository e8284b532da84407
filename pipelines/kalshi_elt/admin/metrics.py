"""The status in the form that Prometheus reads."""

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from kalshi_elt.admin.status import Status


def render_prometheus(status: Status) -> str:
    """The status in Prometheus' text format. Figures that are not known yet are left out."""
    registry = CollectorRegistry()

    def gauge(name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"kalshi_{name}", text, labels, registry=registry)

    sizes = gauge("table_bytes", "Size of a table with its indexes.", "table")
    rows = gauge("table_rows_estimate", "Rows of a table as of its last analyze.", "table")
    for table, size in status.sizes.items():
        sizes.labels(table).set(size.bytes)
        rows.labels(table).set(size.rows_estimate)
    markets = gauge("markets", "Known markets by state.", "state")
    markets.labels("open").set(status.open_markets)
    markets.labels("settled").set(status.settled_markets)
    markets.labels("gone").set(status.gone_markets)
    gaps = gauge("coverage_gaps", "Stretches asked for that did not land.", "interval_min")
    minutes = gauge("coverage_gap_minutes", "Minutes asked for that did not land.", "interval_min")
    for one in status.coverage:
        gaps.labels(one.interval_min).set(one.gaps)
        minutes.labels(one.interval_min).set(one.gap_minutes)
    rejects = gauge("rejects", "Answers that can't be typed.", "entity")
    for entity, number in (status.rejects or {}).items():
        rejects.labels(entity).set(number)
    if status.newest_data:
        text = "End of the newest period that is covered for good."
        gauge("newest_data_timestamp_seconds", text).set(status.newest_data.timestamp())
    if status.last_load:
        text = "When the last load package landed."
        gauge("last_load_timestamp_seconds", text).set(status.last_load.timestamp())
    if run := status.last_run:
        is_good = run.outcome in ("succeeded", "out of time")
        gauge("last_run_success", "Whether the last run did not fail.").set(is_good)
        text = "When the last run began."
        gauge("last_run_start_timestamp_seconds", text).set(run.started_at.timestamp())
        if run.ended_at:
            seconds = (run.ended_at - run.started_at).total_seconds()
            gauge("last_run_duration_seconds", "How long the last run took.").set(seconds)
        failed = len(run.tests_failed or ())
        gauge("last_run_tests_failed", "Tests that failed in the last run.").set(failed)
        requests = gauge("last_run_requests", "Requests of the last run by outcome.", "outcome")
        for outcome, number in (run.requests or {}).items():
            requests.labels(outcome).set(number)
    if status.cluster is not None:
        active = gauge("node_active", "Whether a node of the Citus cluster is active.", "node")
        stored = gauge("node_bytes", "What of the warehouse a node holds.", "node")
        for node in status.cluster.nodes:
            active.labels(f"{node.name}:{node.port}").set(node.is_active)
            stored.labels(f"{node.name}:{node.port}").set(node.bytes)
        gauge("shards", "Shards of each distributed table.").set(status.cluster.shards)
        skew = gauge("skew", "The largest in bytes, over the mean.", "of")
        if status.cluster.node_skew is not None:
            skew.labels("node").set(status.cluster.node_skew)
        if status.cluster.shard_skew is not None:
            skew.labels("shard").set(status.cluster.shard_skew)
    return generate_latest(registry).decode().rstrip("\n")
