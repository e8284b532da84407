"""The settings of a load and of a run, each declared once: type, default, meaning, section.

What follows from a declaration: the argument of `kalshi-elt load` and `run`, what dlt reads from
the environment and from `.dlt/config.toml` (`load/configuration.py`), its check, what a run's
record keeps, and, by `make settings`, its lines in `.dlt/config.toml` and in `docs/settings.md`.

dlt is not imported here, for it takes 2 s and each command's arguments need this module.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from kalshi_elt.base.errors import UsageError
from kalshi_elt.base.times import parse_duration
from kalshi_elt.kalshi.selection import ALL, STATUSES, Selection
from kalshi_elt.load.setting import (
    Section,
    Setting,
    above_zero,
    address,
    each_of,
    names,
    one_of,
    secret_address,
    settings_of,
    zero_or_more,
)

API_URL = "https://external-api.kalshi.com/trade-api/v2"
INTERVALS = (1, 60, 1440)

LEAST_BUDGET = 20
"""Seconds. A run with nothing new takes 6 (docs/performance.md)."""

NAMES = ("events", "markets", "series", "categories")
"""The settings that name what to load."""

SELECTING = frozenset({*NAMES, "status", "min_volume"})

WHAT = Section(
    "What to load",
    "events, markets, series and categories add up; with none of them it is the whole exchange",
    is_recorded=True,
)
CANDLES = Section("Candles", is_recorded=True)
ASKING = Section("Asking Kalshi")
LANDING = Section("Landing and progress")
RUN = Section(
    "A run",
    "of `kalshi-elt run` alone. The URLs may be secrets: better in .dlt/secrets.toml, or in "
    "KALSHI_ON_FAILURE and KALSHI_ON_SUCCESS",
)
SECTIONS = (WHAT, CANDLES, ASKING, LANDING, RUN)


def _budget(label: str, value: str) -> str:
    if parse_duration(label.removeprefix("--"), value) < LEAST_BUDGET:
        raise UsageError(f"{label} {value} is too short: give {LEAST_BUDGET} s or more")
    return value


@dataclass(frozen=True)
class LoadSettings:
    """Settings of a load, as written by the user; `base.times` gives the times their meaning."""

    events: Annotated[
        tuple[str, ...],
        Setting(
            "events to load, by ticker", WHAT, "--event", shipped=("KXPRESPERSON-28",), check=names
        ),
    ] = ()
    markets: Annotated[
        tuple[str, ...], Setting("markets to load, by ticker", WHAT, "--market", check=names)
    ] = ()
    series: Annotated[
        tuple[str, ...],
        Setting("all events of a series, by its ticker", WHAT, "--series", check=names),
    ] = ()
    categories: Annotated[
        tuple[str, ...],
        Setting(
            "all series of a category, in Kalshi's spelling, such as Politics",
            WHAT,
            "--category",
            check=names,
        ),
    ] = ()
    status: Annotated[
        tuple[str, ...],
        Setting(
            "which markets: unopened, open, paused, closed, settled or all",
            WHAT,
            "--status",
            unset="all markets that are named or of a named event, the open ones of all else",
            example=("open",),
            check=each_of((*STATUSES, ALL)),
        ),
    ] = ()
    min_volume: Annotated[
        float,
        Setting(
            "the least volume of a market, in contracts",
            WHAT,
            "--min-volume",
            placeholder="CONTRACTS",
            check=zero_or_more,
        ),
    ] = 0.0
    multivariate: Annotated[
        bool,
        Setting(
            "multivariate (KXMVE) markets too, which are most of the exchange",
            WHAT,
            "--multivariate",
        ),
    ] = False

    candles: Annotated[
        bool,
        Setting(
            "false: listings alone",
            CANDLES,
            "--no-candles",
            option_text="land listings alone, no candles",
        ),
    ] = True
    intervals: Annotated[
        tuple[int, ...],
        Setting(
            "lengths of candles in minutes: 1, 60 or 1440",
            CANDLES,
            "--interval",
            placeholder="MINUTES",
            check=each_of(INTERVALS, "Kalshi's: choose 1, 60 or 1440"),
        ),
    ] = (1,)
    since: Annotated[
        str | None,
        Setting(
            "an ISO date or time, how long ago (24h, 7d), or `open`: when each market opened",
            CANDLES,
            "--since",
            placeholder="TIME",
            unset="where a market's candles ended, 24 hours back for a new one",
            example="24h",
        ),
    ] = None
    until: Annotated[
        str | None,
        Setting(
            "an ISO date or time, or how long ago",
            CANDLES,
            "--until",
            placeholder="TIME",
            unset="now",
            example="2026-11-22T14:30Z",
        ),
    ] = None
    again: Annotated[bool, Setting("ask once more for what is covered", CANDLES, "--again")] = False

    api_url: Annotated[
        str,
        Setting(
            "the API's address; KALSHI_API_URL goes before",
            ASKING,
            variable="KALSHI_API_URL",
            check=address,
        ),
    ] = API_URL
    # Kalshi's advice for callers without a key is 5 to 10 (docs/kalshi_api.md, 6)
    rate: Annotated[float, Setting("requests a second", ASKING, "--rate", check=above_zero)] = 8.0
    workers: Annotated[int, Setting("requests at once", ASKING, "--workers", check=above_zero)] = 4
    attempts: Annotated[
        int, Setting("how often a request is tried in all", ASKING, check=above_zero)
    ] = 6
    timeout: Annotated[
        float, Setting("seconds without a byte before a try is given up", ASKING, check=above_zero)
    ] = 30.0

    requests_per_package: Annotated[
        int, Setting("candle requests that land together, at least", LANDING, check=above_zero)
    ] = 50
    seconds_per_package: Annotated[
        float,
        Setting(
            "how long a package of candles is fetched, at least; a kill costs one",
            LANDING,
            check=zero_or_more,
        ),
    ] = 10.0
    wait: Annotated[
        bool, Setting("wait for another load on the same warehouse to end", LANDING, "--wait")
    ] = False
    dry_run: Annotated[
        bool,
        Setting("print the plan, land nothing", LANDING, "--dry-run", only="load", has_line=False),
    ] = False
    log_format: Annotated[
        str,
        Setting(
            "progress and summary as text, or as json, a line each",
            LANDING,
            "--log-format",
            placeholder="FORMAT",
            check=one_of(("text", "json")),
        ),
    ] = "text"

    budget: Annotated[
        str | None,
        Setting(
            "end in good order before so long (90s, 4m); the next run goes on",
            RUN,
            "--budget",
            only="run",
            placeholder="DURATION",
            unset="no limit",
            example="4m",
            is_recorded=True,
            check=_budget,
        ),
    ] = None
    on_failure: Annotated[
        str | None,
        Setting(
            'a URL that is told of a failed run, by a POST of {"text": ...}',
            RUN,
            "--on-failure",
            only="run",
            placeholder="URL",
            example="https://...",
            variable="KALSHI_ON_FAILURE",
            check=secret_address,
        ),
    ] = None
    on_success: Annotated[
        str | None,
        Setting(
            "a URL that is told of each run that succeeded, in the same way",
            RUN,
            "--on-success",
            only="run",
            placeholder="URL",
            example="https://...",
            variable="KALSHI_ON_SUCCESS",
            check=secret_address,
        ),
    ] = None

    @property
    def budget_seconds(self) -> float:
        return math.inf if self.budget is None else parse_duration("budget", self.budget)

    def selection(self) -> Selection:
        """What the settings name and narrow down."""
        statuses = set(self.status or ("open",))
        return Selection(
            events=self.events,
            markets=self.markets,
            series=self.series,
            categories=self.categories,
            statuses=frozenset(STATUSES if ALL in statuses else statuses),
            narrows_named=bool(self.status),
            min_volume=Decimal(str(self.min_volume)),
            multivariate=self.multivariate,
        )

    def recorded(self) -> dict[str, Any]:
        """What a run's record keeps of them."""
        return {one.name: getattr(self, one.name) for one in RECORDED}


SETTINGS = settings_of(LoadSettings)
RECORDED = tuple(one for one in SETTINGS if one.is_recorded or one.section.is_recorded)


def settings_of_command(command: str) -> tuple[Setting, ...]:
    """The settings that a command has an argument for."""
    return tuple(one for one in SETTINGS if one.option and one.only in (None, command))


def checked(values: Mapping[str, Any]) -> LoadSettings:
    """The settings, from those that are given: None and an empty list are not.

    Raises UsageError, naming the setting, on a wrong one.
    """
    given = [one for one in SETTINGS if values.get(one.name) not in (None, [], ())]
    # each check returns what its field holds, which the type checker can't see
    tidy: dict[str, Any] = {one.name: one.checked(values[one.name]) for one in given}
    return LoadSettings(**tidy)
