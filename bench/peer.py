"""Landing the same markets and candle windows with `ingestr`, side by side.

ingestr is one compiled program in a wheel. Its Kalshi source has a fixed address and a fixed pace,
so a copy of it, in a folder that goes afterwards, gets the address of the local exchange instead,
and a second copy has its limiter off besides. Nothing of it is part of this project.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from math import ceil
from pathlib import Path
from urllib.parse import urlsplit

from bench.exchange import MINUTE, Exchange, Size
from bench.loader import requests_for
from bench.measure import ROUNDS, FailedError, Finished, alternate, run_child, show
from bench.server import BenchServer
from bench.workspace import UNLIMITED, Database, Server, server
from pipelines.paths import PROJECT_ROOT
from pipelines.plan import CandleRequest
from pipelines.settings import API_URL, LoadSettings

NAME = "ingestr"
VERSION = "1.1.22"

PACE = 5
"""Requests a second that one process of it sends, after a burst. No option changes it."""
BURST = 2
PAGE = 1_000
"""Markets a page: the most that it takes."""
USUAL_PAGE = 100

INSTALL_SECONDS = 300.0
EDGE = 10 * MINUTE
"""Seconds between the last window's end and now: periods so old are asked once."""

PACED, UNPACED = f"{NAME} at its {PACE}/s", f"{NAME} unpaced"
OURS_PACED, OURS = f"this loader at its {LoadSettings.rate:g}/s", "this loader unpaced"
PAIRS = ((PACED, OURS_PACED), (UNPACED, OURS))
"""Who is compared with whom: each as it comes, and each as fast as it can."""


class UnavailableError(Exception):
    """ingestr can't be had, or not be led to the local exchange; says why in one line."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--markets", type=int, default=20_000)
    parser.add_argument("--minutes", type=int, default=100, help="length of a market's window")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--paced-rounds", type=int, default=1, help="rounds of markets and candles at their paces"
    )
    parser.add_argument(
        "--peer-processes", type=int, default=4, help=f"candle commands of {NAME} at a time"
    )
    parser.add_argument(
        "--peer-venv", type=Path, help=f"virtual environment with {NAME}, or to install it in"
    )


def run(arguments: argparse.Namespace) -> None:
    """Compare them; without ingestr say so and do nothing."""
    with tempfile.TemporaryDirectory(prefix="kalshi-peer-") as name:
        folder = Path(name)
        try:
            binary = installed(arguments.peer_venv or folder / "venv")
            _compare(binary, folder, arguments)
        except UnavailableError as error:
            print(f"skipped: {error}")


def installed(venv: Path) -> Path:
    """ingestr's program in that virtual environment, put there if need be."""
    if venv.resolve().is_relative_to(PROJECT_ROOT):
        raise FailedError(f"--peer-venv {venv}: choose a folder outside of {PROJECT_ROOT}")
    binary = venv / "bin" / NAME
    if not binary.exists():
        _call(sys.executable, "-m", "venv", venv)
        pip = (venv / "bin" / "python", "-m", "pip", "--disable-pip-version-check")
        _call(*pip, "install", "--quiet", "--only-binary=:all:", f"{NAME}=={VERSION}")
    _check_version(binary)
    return binary


def _check_version(binary: Path) -> None:
    said = _call(binary, "--version")
    if VERSION not in said:
        raise UnavailableError(f"{binary} is not {VERSION}: {said.strip()}")


def _call(*command: str | Path) -> str:
    """What a command says. Raises UnavailableError with its last error."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
            env=_quiet_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{NAME} {VERSION} can't be used: {error}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        why = errors[-1] if errors else f"exit status {done.returncode}"
        raise UnavailableError(f"{NAME} {VERSION} can't be used: {why}")
    return done.stdout


def _quiet_environment() -> dict[str, str]:
    return {**os.environ, "INGESTR_DISABLE_TELEMETRY": "true", "DISABLE_TELEMETRY": "true"}


def redirected(program: bytes, url: str) -> bytes:
    """The program with the local address in place of Kalshi's: as long, by a user name before it.

    Raises UnavailableError when the address is not in it exactly once.
    """
    address = API_URL.encode()
    if program.count(address) != 1:
        raise UnavailableError(f"this build of {NAME} does not hold Kalshi's address just once")
    parts = urlsplit(url)
    room = len(address) - len(f"http://@{parts.netloc}{parts.path}")
    if room < 1:
        raise UnavailableError(f"{url} has no room in the place of Kalshi's address")
    return program.replace(address, f"http://{'b' * room}@{parts.netloc}{parts.path}".encode())


def unpaced(program: bytes) -> bytes | None:
    """The program with a burst of 0, which it takes for no limiter; None where that is not found.

    On x86-64 the call that makes its client is given the address's length, the pace and the burst.
    """
    length, burst = len(API_URL).to_bytes(4, "little"), BURST.to_bytes(4, "little")
    call = re.compile(
        rb"(\xbb%b\xf2\x0f\x10\x05.{4}\xb9)%b(?=\xe8)" % (re.escape(length), re.escape(burst)),
        re.DOTALL,
    )
    changed, found = call.subn(rb"\g<1>" + bytes(4), program)
    return changed if found == 1 else None


@dataclass(frozen=True)
class Cost:
    """What landing took."""

    seconds: float
    cpu_seconds: float
    """Of the loading processes alone."""
    peak_mb: float
    """Of the largest process."""
    requests: int
    stored_mb: float
    """Tables, TOAST and indexes, of raw rows."""


@dataclass(frozen=True)
class Contest:
    """What both land, where from and where to."""

    postgres: Server
    exchange: BenchServer
    markets: int
    candles: int
    requests: list[CandleRequest]
    start: int
    end: int
    processes: int
    home: Path
    """ingestr's home folder."""

    def ours(self, rate: str, *, candles: bool) -> Cost:
        """One `kalshi-elt load` into an empty warehouse."""
        database = self.postgres.database("bench")
        shutil.rmtree(database.work / "dlt", ignore_errors=True)
        window = ("--since", _iso(self.start), "--until", _iso(self.end))
        what = window if candles else ("--no-candles",)
        with self._counted() as sent:
            finished = database.run(
                "load", "--status", "open", *what, api_url=self.exchange.url, rate=rate
            )
        _check(database, "select count(*) from kalshi_raw.markets", self.markets)
        if candles:
            sql = "select sum(jsonb_array_length(payload)) from kalshi_raw.candlesticks"
            _check(database, sql, self.candles)
        return _cost(database, "kalshi_raw", [finished], finished.seconds, sent)

    def theirs(self, binary: Path, *, candles: bool) -> Cost:
        """One command for the markets, then one for each candle request, some at a time."""
        database = self.postgres.database("bench")
        started = time.monotonic()
        with self._counted() as sent:
            finished = [self._markets(binary, database)]
            if candles:
                with ThreadPoolExecutor(self.processes) as pool:
                    numbers = range(len(self.requests))
                    finished += pool.map(lambda n: self._window(binary, database, n), numbers)
            seconds = time.monotonic() - started
        _check(database, "select count(*) from peer.markets", self.markets)
        if candles:
            tables = " union all ".join(
                f"select candlesticks from peer.candles_{number}" for number in numbers
            )
            sql = f"select sum(jsonb_array_length(candlesticks)) from ({tables}) as windows"
            _check(database, sql, self.candles)
        return _cost(database, "peer", finished, seconds, sent)

    def _markets(self, binary: Path, database: Database) -> Finished:
        return self._ingest(
            binary, database, "markets", "markets", "status=open", "--page-size", str(PAGE)
        )

    def _window(self, binary: Path, database: Database, number: int) -> Finished:
        """A candle request of the loader's plan, into a table of its own."""
        request = self.requests[number]
        # its interval holds the second that it starts with, the plan's does not
        interval = ("--interval-start", _iso(request.start + 1), "--interval-end")
        return self._ingest(
            binary,
            database,
            "market_candlesticks_batch",
            f"candles_{number}",
            f"period_interval=1&market_tickers={','.join(request.tickers)}",
            *interval,
            _iso(request.end),
        )

    def _ingest(
        self, binary: Path, database: Database, source: str, table: str, query: str, *more: str
    ) -> Finished:
        environment = {
            **_quiet_environment(),
            "HOME": str(self.home),
            "INGESTR_SOURCE_URI": f"kalshi://?{query}",
            "INGESTR_DESTINATION_URI": database.url,
        }
        tables = ("--source-table", source, "--dest-table", f"peer.{table}")
        command = (str(binary), "ingest", *tables, "--yes", "--progress", "log", *more)
        return run_child(command, environment)

    @contextmanager
    def _counted(self) -> Iterator[list[int]]:
        """The number of requests sent within the block, as the only element after it."""
        before = self.exchange.stats().requests
        sent: list[int] = []
        yield sent
        sent.append(self.exchange.stats().requests - before)


def _cost(
    database: Database, schema: str, finished: list[Finished], seconds: float, sent: list[int]
) -> Cost:
    stored = database.number(
        "select sum(pg_total_relation_size(c.oid)) from pg_class as c"
        " where c.relkind = 'r' and c.relnamespace = %s::regnamespace",
        schema,
    )
    cpu = sum(one.cpu_seconds for one in finished)
    peak = max(one.peak_mb for one in finished)
    return Cost(seconds, cpu, peak, sent[0], stored / 1e6)


def _check(database: Database, sql: str, expected: int) -> None:
    """A run that lost or added rows is no measurement."""
    landed = database.number(sql)
    assert landed == expected, f"{sql[:80]}: {landed:,.0f}, expected {expected:,}"


def _iso(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _compare(binary: Path, folder: Path, arguments: argparse.Namespace) -> None:
    now = int(time.time()) // MINUTE * MINUTE
    size = Size().part(arguments.markets / Size().markets)
    with server(arguments.server) as postgres, BenchServer(size, now=now) as exchange:
        copies = _copies(binary.read_bytes(), exchange.url, folder)
        contest = _contest(postgres, exchange, Exchange(size, now=now), now, folder, arguments)
        _say_what(contest)
        rounds, paced_rounds = arguments.rounds, arguments.paced_rounds
        _say_pace(_race(contest, copies, rounds, rounds, candles=False))
        _say_pace(_race(contest, copies, rounds, paced_rounds, candles=True))
        _say_differences(contest)


def _copies(program: bytes, url: str, folder: Path) -> dict[str, Path]:
    """ingestr with the local address, by its kind of run: with its limiter and, if that can be,
    without."""
    local = redirected(program, url)
    copies: dict[str, Path] = {}
    for kind, changed in ((PACED, local), (UNPACED, unpaced(local))):
        if changed is None:
            print(f"{NAME}: the limiter of this build can't be lifted; its pace is in all figures")
            continue
        copies[kind] = folder / f"{NAME}-{len(copies)}"
        copies[kind].write_bytes(changed)
        copies[kind].chmod(0o755)
        _check_version(copies[kind])
    return copies


def _contest(
    postgres: Server,
    exchange: BenchServer,
    known: Exchange,
    now: int,
    folder: Path,
    arguments: argparse.Namespace,
) -> Contest:
    end = now - EDGE
    start = end - arguments.minutes * MINUTE
    markets = known.size.markets
    return Contest(
        postgres,
        exchange,
        markets,
        sum(known.candles(number, start + 1, end).candles for number in range(markets)),
        requests_for(known, start, end),
        start,
        end,
        arguments.peer_processes,
        folder,
    )


def _race(
    contest: Contest, copies: dict[str, Path], rounds: int, paced_rounds: int, *, candles: bool
) -> dict[str, list[Cost]]:
    """Alternate the kinds that are paced, then those that are not; print costs and ratios."""
    what = "markets and candles" if candles else "markets"
    runs: dict[str, Callable[[], Cost]] = {
        OURS_PACED: partial(contest.ours, f"{LoadSettings.rate:g}", candles=candles),
        OURS: partial(contest.ours, UNLIMITED, candles=candles),
        **{kind: partial(contest.theirs, copy, candles=candles) for kind, copy in copies.items()},
    }
    costs: dict[str, list[Cost]] = {name: [] for name in runs}
    print(f"{what}, wall seconds, all values:", flush=True)
    for pair, times in zip(PAIRS, (paced_rounds, rounds), strict=True):
        kinds = {name: partial(_timed, runs[name], costs[name]) for name in pair if name in runs}
        for series in alternate(kinds, times).values():
            show(series, "s")
    for name, spent in costs.items():
        _show_cost(name, spent, contest, candles=candles)
    for peer, ours in PAIRS:
        _show_ratio(f"{what}: {ours} against {peer}", costs.get(peer), costs[ours])
    return costs


def _timed(run: Callable[[], Cost], kept: list[Cost]) -> float:
    """A run's seconds; its cost is kept."""
    kept.append(run())
    return kept[-1].seconds


def _show_cost(name: str, costs: list[Cost], contest: Contest, *, candles: bool) -> None:
    seconds = _median(cost.seconds for cost in costs)
    rows = f"{contest.markets / seconds:,.0f} markets/s"
    if candles:
        rows += f" with {contest.candles / seconds:,.0f} candles/s"
    print(
        f"  {name:<24} {rows}; its CPU {_median(cost.cpu_seconds for cost in costs):,.1f} s; "
        f"peak {max(cost.peak_mb for cost in costs):,.0f} MB a process; "
        f"{costs[-1].requests:,} requests; {costs[-1].stored_mb:,.0f} MB in Postgres"
    )


def _show_ratio(name: str, theirs: list[Cost] | None, ours: list[Cost]) -> None:
    """How many times what this loader takes the peer takes."""
    if theirs is None:
        print(f"{name}: not compared, see above")
        return
    seconds = _median(cost.seconds for cost in theirs) / _median(cost.seconds for cost in ours)
    memory = max(cost.peak_mb for cost in theirs) / max(cost.peak_mb for cost in ours)
    print(f"{name}: {seconds:.2f} x as fast, peak memory of a process 1/{memory:.1f}", flush=True)


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def _say_what(contest: Contest) -> None:
    print(
        f"{NAME} {VERSION}: one compiled program; a copy of it asks the local exchange, over HTTP "
        f"as this loader does\n"
        f"{contest.markets:,} markets, a window of {(contest.end - contest.start) // MINUTE} "
        f"minutes of each: {contest.candles:,} candles, {len(contest.requests):,} requests, the "
        f"same ones from both\n"
        f"{NAME} at its best: {PAGE:,} markets a page (it takes {USUAL_PAGE} unless told), candles "
        f"by its batch table, {contest.processes} commands at a time\n"
        f"its pacing: {PACE} requests/s after {BURST}, in each process, no option for it; this "
        f"loader's: {LoadSettings.rate:g}/s over all, an option"
    )


def _say_pace(found: dict[str, list[Cost]]) -> None:
    """What the requests alone take at the paces."""
    theirs, ours = found[PACED][-1].requests, found[OURS_PACED][-1].requests
    print(
        f"  computed: at {PACE}/s over all, the requests alone take {NAME} {theirs / PACE:,.1f} s "
        f"and this loader {ours / PACE:,.1f} s; at {LoadSettings.rate:g}/s this loader "
        f"{ours / LoadSettings.rate:,.1f} s"
    )


def _say_differences(contest: Contest) -> None:
    """What the figures do not say."""
    commands = len(contest.requests)
    usual = (ceil(contest.markets / USUAL_PAGE) - BURST) / PACE
    print(
        f"what differs:\n"
        f"  - {NAME}'s batch table replaces the whole table at each command, whatever strategy is "
        f"asked for: the {commands:,} requests are as many commands, each into a table of its "
        f"own; this loader's rows are in one\n"
        f"  - its pacing counts within a process: commands of one request are held back by "
        f"nothing, so that {contest.processes} at a time may exceed {PACE}/s\n"
        f"  - with pages of {USUAL_PAGE}, its default, the pace alone makes "
        f"{contest.markets:,} markets take {usual:,.0f} s (computed)\n"
        f"  - it lands a payload as columns and once more as `raw`, through floats; this loader "
        f"once and exactly, and the events and series of the markets besides\n"
        f"not compared: its other candle table, one market a command "
        f"({contest.markets:,} commands), whose rows carry no ticker"
    )
