"""`status --check`: which promises about the warehouse are broken, a line for each."""

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kalshi_elt.admin.status import LastRun, Status
from kalshi_elt.warehouse.citus import inactive_nodes

GB = 1_000_000_000


@dataclass(frozen=True)
class Limits:
    """What is promised: the most, or least, of each figure that is allowed."""

    oldest_data: float
    """The most seconds since the end of the newest covered period."""
    most_gaps: int
    most_rejects: int
    least_disk: float
    """The least free bytes on the disk of the loader's working folder and, with the embedded
    server, on that of the data."""


def broken_promises(
    status: Status, limits: Limits, *, now: datetime, free_bytes: int | None
) -> list[str]:
    """One line for each promise that is broken: what is wrong, by how much, what to do."""
    found = [
        _age(status, limits, now),
        _gaps(status, limits),
        _rejects(status, limits),
        *_last_run(status.last_run),
        _partition(status, now),
        *inactive_nodes(status.cluster),
        _disk(limits, free_bytes),
    ]
    return [line for line in found if line]


def render(broken: list[str]) -> str:
    """For people."""
    return "\n".join(broken) or "all promises are kept"


def render_json(broken: list[str]) -> str:
    """For machines: one JSON object."""
    return json.dumps({"all_kept": not broken, "broken_promises": broken}, indent=2)


def free_bytes_of(folder: Path) -> int | None:
    """Free bytes on the disk of a folder, which may not exist yet; None when no folder above it
    does."""
    while not folder.exists():
        if folder == folder.parent:
            return None
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _age(status: Status, limits: Limits, now: datetime) -> str | None:
    if status.newest_data is None:
        return "no candle has landed yet: run `kalshi-elt run`"
    age = (now - status.newest_data).total_seconds()
    if age <= limits.oldest_data:
        return None
    return (
        f"the newest data is {_minutes(age)} old, {_minutes(limits.oldest_data)} are allowed: "
        "look at the schedule, and at kalshi_ops.runs"
    )


def _gaps(status: Status, limits: Limits) -> str | None:
    gaps = sum(one.gaps for one in status.coverage)
    if gaps <= limits.most_gaps:
        return None
    return (
        f"{gaps:,} gaps in what was asked for, {limits.most_gaps:,} allowed: the next run asks for "
        "them, `kalshi-elt status` shows where"
    )


def _rejects(status: Status, limits: Limits) -> str | None:
    rejects = sum((status.rejects or {}).values())
    if rejects <= limits.most_rejects:
        return None
    return (
        f"{rejects:,} rejects, {limits.most_rejects:,} allowed: "
        "`select entity, reason, count(*) from kalshi.rejects group by 1, 2` says why"
    )


def _last_run(run: LastRun | None) -> list[str]:
    """What is wrong with the last run. Nothing when there is no run, as for who loads and
    transforms by hand."""
    if run is None:
        return []
    lines = []
    if run.outcome in ("failed", "killed", "interrupted"):
        lines.append(f"run {run.run_id} {run.outcome}: {run.error or 'kalshi_ops.runs has it'}")
    if run.tests_failed:
        lines.append(
            f"run {run.run_id}: {len(run.tests_failed):,} tests failed "
            f"({', '.join(run.tests_failed)}): `kalshi-elt check` shows them"
        )
    return lines


def _partition(status: Status, now: datetime) -> str | None:
    """The months of today and of seven days later must have a partition: candles come into them."""
    if status.partitions is None:
        return None
    months = {f"{moment.astimezone(UTC):%Y_%m}" for moment in (now, now + timedelta(days=7))}
    missing = sorted(months - set(status.partitions))
    if not missing:
        return None
    return (
        f"kalshi.candles has no partition for {', '.join(missing)}: `kalshi-elt transform` makes it"
    )


def _disk(limits: Limits, free_bytes: int | None) -> str | None:
    if free_bytes is None or free_bytes >= limits.least_disk:
        return None
    return (
        f"{free_bytes / GB:.1f} GB are free on the disk, {limits.least_disk / GB:.1f} GB are "
        "wanted: `kalshi-elt prune --raw-older-than 30d` frees some"
    )


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.0f} min"
