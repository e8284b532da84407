"""`kalshi_ops.runs`: one row for each run of the job, written at its start and at its end."""

import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extras import Json

from kalshi_elt.base.text import count, visible
from kalshi_elt.load.settings import LoadSettings
from kalshi_elt.load.summary import LoadSummary
from kalshi_elt.ops.versions import VERSION
from kalshi_elt.transform.build import DbtOutcome

SUCCEEDED = "succeeded"
OUT_OF_TIME = "out of time"
"""Ended in good order before all was done: the next run goes on."""
FAILED = "failed"
INTERRUPTED = "interrupted"
KILLED = "killed"
"""Never ended; the run after it found that out."""

PACKAGES = ("kalshi-elt", "dlt", "dbt-core", "dbt-postgres")

LANDED = ("series", "events", "markets", "windows", "candles")

MOST_RUNS = 10
"""Of so many runs the slowest transform is what the next one is expected to take."""


@dataclass
class Job:
    """What a run did so far."""

    run_id: int
    load: LoadSummary | None = None
    transform: DbtOutcome | None = None
    load_seconds: float | None = None
    transform_seconds: float | None = None
    rejects: int | None = None
    gaps: int | None = None
    is_cut_off: bool = False
    """Whether the budget ended the transform before it was done."""
    errors: list[str] = field(default_factory=list)
    outcome: str = "running"

    @property
    def exit_status(self) -> int:
        return 0 if self.outcome in (SUCCEEDED, OUT_OF_TIME) else 1

    def end(self) -> None:
        """Say how it ended, from what it did."""
        problems = self.load.problems if self.load else []
        if self.errors or problems:
            self.outcome = FAILED
        elif self.is_cut_off or (self.load and self.load.is_out_of_time):
            self.outcome = OUT_OF_TIME
        else:
            self.outcome = SUCCEEDED

    @property
    def error(self) -> str | None:
        """What went wrong, in one line; None when nothing did."""
        problems = [str(problem) for problem in self.load.problems] if self.load else []
        lines = [*self.errors, *problems]
        if not lines:
            return None
        return visible(lines[0]) + (f" (and {len(lines) - 1:,} more)" if len(lines) > 1 else "")

    def fields(self) -> dict[str, object]:
        """The row, for machines."""
        load, dbt = self.load, self.transform
        return {
            "run_id": self.run_id,
            "outcome": self.outcome,
            "requests": load.outcomes if load else None,
            "rows_landed": {name: getattr(load, name) for name in LANDED} if load else None,
            "rows_typed": dbt.rows if dbt else None,
            "tests_failed": list(dbt.failed) if dbt else None,
            "tests_warned": list(dbt.warned) if dbt else None,
            "rejects": self.rejects,
            "gaps": self.gaps,
            "load_seconds": self.load_seconds,
            "transform_seconds": self.transform_seconds,
            "error": self.error,
        }

    def __str__(self) -> str:
        parts = [str(self.load)] if self.load else []
        if self.transform:
            typed = sum(self.transform.rows.values())
            tests = f"{count(self.transform.passed, 'test')} passed"
            if warned := self.transform.warned:
                tests += f", {len(warned)} warned ({', '.join(warned)})"
            seconds = f"{self.transform_seconds or 0:.1f} s"
            parts.append(f"typed {count(typed, 'row')}, {tests} ({seconds})")
        if self.rejects is not None and self.gaps is not None:
            parts.append(f"{count(self.rejects, 'reject')}, {count(self.gaps, 'gap')}")
        if self.outcome == OUT_OF_TIME:
            parts.append("the budget is used up, the next run goes on")
        if self.error:
            parts.append(self.error)
        return f"run {self.run_id} {self.outcome}: {'; '.join(parts)}"


def begin(connection: Connection, settings: LoadSettings) -> Job:
    """Note a new run, and that those before it that never ended were killed: none can be under way
    beside the holder of the lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "update kalshi_ops.runs set outcome = %s where outcome = 'running'", [KILLED]
        )
        cursor.execute(
            "insert into kalshi_ops.runs (versions, selection) values (%s, %s) returning run_id",
            [Json(_versions(connection)), Json(settings.recorded())],
        )
        (run_id,) = cursor.fetchone() or (0,)
    return Job(run_id)


def end(connection: Connection, job: Job) -> None:
    """Note how a run ended."""
    columns = {name: value for name, value in job.fields().items() if name != "run_id"}
    values = [Json(value) if isinstance(value, dict) else value for value in columns.values()]
    assignments = ", ".join(f"{name} = %s" for name in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"update kalshi_ops.runs set ended_at = now(), {assignments} where run_id = %s",
            [*values, job.run_id],
        )


def usual_transform_seconds(connection: Connection) -> float | None:
    """The longest that transforming took of late; None when there was none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select max(transform_seconds) from (select transform_seconds from kalshi_ops.runs "
            "where transform_seconds is not null order by run_id desc limit %s) as latest",
            [MOST_RUNS],
        )
        (seconds,) = cursor.fetchone() or (None,)
    return None if seconds is None else float(seconds)


def _versions(connection: Connection) -> dict[str, Any]:
    postgres = connection.server_version
    return {
        **{package: version(package) for package in PACKAGES},
        "python": platform.python_version(),
        "postgres": f"{postgres // 10_000}.{postgres % 10_000}",
        "warehouse": VERSION,
    }
