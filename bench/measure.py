"""Timing by alternating rounds, and what processes cost: CPU seconds and peak memory, from
/proc."""

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kalshi_elt.base.paths import PROJECT_ROOT

ROUNDS = 5
"""The least number of rounds that a ratio is taken from."""

TICKS = os.sysconf("SC_CLK_TCK")
SECONDS_BETWEEN_SAMPLES = 0.05

LAST_WORDS = 40
"""How many of the last lines of a failed process are shown."""


@dataclass
class Series:
    """The values that were measured of one kind, in their order."""

    name: str
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.values)


def alternate(
    kinds: Mapping[str, Callable[[], float]], rounds: int, say: Callable[[str], None] = print
) -> dict[str, Series]:
    """Measure A, B, A, B, ... for so many rounds. Whatever slows the machine down for a while then
    slows all kinds alike.

    Each kind measures and returns its own value, so that only what matters is in it.
    """
    found = {name: Series(name) for name in kinds}
    for number in range(1, rounds + 1):
        for name, run in kinds.items():
            found[name].values.append(run())
        values = ", ".join(f"{name} {found[name].values[-1]:,.2f}" for name in kinds)
        say(f"  round {number}: {values}")
    return found


def show(series: Series, unit: str) -> None:
    """Print all values and their median."""
    values = ", ".join(f"{value:,.2f}" for value in series.values)
    print(f"  {series.name:<34} {values} {unit}; median {series.median:,.2f}")


def verdict(
    name: str,
    figure: float,
    unit: str,
    *,
    target: float,
    floor: float | None = None,
    at_least: bool = False,
) -> bool:
    """Print a figure with its floor, their ratio and the target; returns whether it is met.

    With a floor the target is a ratio, without one it has the figure's unit.
    """
    judged = figure if floor is None else figure / floor
    met = judged >= target if at_least else judged <= target
    against = "" if floor is None else f" | floor {floor:,.2f} {unit} | ratio {judged:.3f}"
    sign = ">=" if at_least else "<="
    print(
        f"{name}: {figure:,.2f} {unit}{against} | target {sign} {target:g} | "
        f"{'met' if met else 'MISSED'}",
        flush=True,
    )
    return met


@dataclass(frozen=True)
class Finished:
    """A child process that ended with status 0: what it cost, and its output."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    """Peak resident memory of the process itself, in MB."""
    output: str


class FailedError(Exception):
    """A child process that failed, with the last lines of its output."""


def run_child(command: Sequence[str], environment: Mapping[str, str]) -> Finished:
    """Run a command in the project's folder and measure it. Raises FailedError."""
    started = time.monotonic()
    child = subprocess.Popen(
        command,
        env=dict(environment),
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watch = _Watch(child.pid)
    assert child.stdout is not None
    output = child.stdout.read()
    # wait4 reports this child's own cost, those of its children included
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - started
    watch.stop()
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        words = "\n".join(output.splitlines()[-LAST_WORDS:])
        raise FailedError(f"{' '.join(command)}: exit status {child.returncode}\n{words}")
    return Finished(seconds, usage.ru_utime + usage.ru_stime, watch.peak_mb, output)


def run_pipeline(arguments: Sequence[str], environment: Mapping[str, str]) -> Finished:
    """`kalshi-elt` with these arguments, as a child process."""
    return run_child([sys.executable, "-m", "kalshi_elt", *arguments], environment)


class _Watch:
    """Reads the peak memory of a process again and again until it ends.

    The system's own figure at its end, `ru_maxrss`, is of no use: it begins with that of the
    process which started it.
    """

    def __init__(self, pid: int) -> None:
        self.peak_mb = 0.0
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._over.wait(SECONDS_BETWEEN_SAMPLES):
            self.peak_mb = max(self.peak_mb, peak_mb(self._pid))

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def peak_mb(pid: int) -> float:
    """Peak resident memory of a running process so far, in MB; 0 when it is gone."""
    for line in _read(Path("/proc", str(pid), "status")).splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_seconds(pid: int) -> float:
    """CPU seconds so far of a process and its children, those that ended included."""
    return _own_cpu(pid) + sum(map(_own_cpu, _children(pid)))


def parent(pid: int) -> int:
    """The process that started another."""
    return int(_stat(pid)[1])


def _own_cpu(pid: int) -> float:
    """A process's own time and that of its children that ended."""
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) / TICKS if fields else 0.0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the name, which may hold blanks; none when gone."""
    return _read(Path("/proc", str(pid), "stat")).rpartition(")")[2].split()


def _children(pid: int) -> list[int]:
    return [int(child) for child in _read(Path(f"/proc/{pid}/task/{pid}/children")).split()]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
