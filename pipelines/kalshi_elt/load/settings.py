"""What a load is asked to do: from the command line, the environment or `.dlt/config.toml`.

dlt resolves the settings, in its own order: an argument, the environment
(`SOURCES__KALSHI__RATE=5`), `.dlt/config.toml` under `[sources.kalshi]`, the default here.
"""

import math
import os
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from dlt.common.configuration import configspec, resolve_configuration
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.configuration.specs import BaseConfiguration

from kalshi_elt.base.environment import environment
from kalshi_elt.base.errors import UsageError, first_line
from kalshi_elt.base.times import parse_duration
from kalshi_elt.kalshi.selection import ALL, STATUSES, Selection

SECTIONS = ("sources", "kalshi")
INTERVALS = (1, 60, 1440)
API_URL = "https://external-api.kalshi.com/trade-api/v2"
NAMES = ("events", "markets", "series", "categories")
"""The settings that name what to load."""

SHORT = ("api_url", "on_failure", "on_success")
"""Settings that have a short environment variable too: KALSHI_API_URL and so on."""

LOG_FORMATS = ("text", "json")

LEAST_BUDGET = 20
"""Seconds. A run with nothing new takes 6 (docs/performance.md)."""


@configspec
class LoadSettings(BaseConfiguration):
    """Settings of a load, as written by the user; `timerange` gives the times their meaning."""

    events: list[str] | None = None
    """Tickers of the events to load."""
    markets: list[str] | None = None
    """Tickers of the markets to load."""
    series: list[str] | None = None
    """Tickers of the series to load."""
    categories: list[str] | None = None
    """Categories to load, in Kalshi's spelling."""
    status: list[str] | None = None
    """Which markets: unopened, open, paused, closed, settled, all. Default: all of what is named
    as an event or a market, the open ones of a series, a category or the exchange."""
    min_volume: float = 0.0
    """Least number of contracts traded so far."""
    multivariate: bool = False
    """Whether multivariate (combo) markets are loaded; they are most of the exchange."""
    candles: bool = True
    """False: listings alone."""
    intervals: list[int] | None = None
    """Candle lengths in minutes: 1, 60, 1440. Default: 1."""
    since: str | None = None
    until: str | None = None
    again: bool = False
    """Ask once more for what is covered."""
    api_url: str = API_URL
    rate: float = 8.0
    """Requests a second. Kalshi's advice for callers without a key is 5 to 10 (docs/kalshi_api.md,
    6)."""
    workers: int = 4
    """Requests under way at once."""
    attempts: int = 6
    """How often one request is tried in all."""
    timeout: float = 30.0
    """Seconds to wait for an answer's next bytes."""
    requests_per_package: int = 50
    """Candle requests that land together, at least."""
    seconds_per_package: float = 10.0
    """How long a package of candles is fetched, at least: what a kill can cost."""
    wait: bool = False
    """Wait for another load on the warehouse to end, instead of giving up."""
    dry_run: bool = False
    """Print the plan, land nothing."""
    log_format: str = "text"
    """Progress as text or as json lines."""
    budget: str | None = None
    """How long a run may take (4m): it ends in good order before, and the next one goes on."""
    on_failure: str | None = None
    """Where a failed run is told of, an http(s) URL. It may be a secret: it is never shown."""
    on_success: str | None = None
    """Where a run that succeeded is told of, as a sign of life."""

    @property
    def budget_seconds(self) -> float:
        return math.inf if self.budget is None else parse_duration("budget", self.budget)

    def selection(self) -> Selection:
        """What the settings name and narrow down."""
        statuses = set(self.status or ["open"])
        return Selection(
            events=tuple(self.events or ()),
            markets=tuple(self.markets or ()),
            series=tuple(self.series or ()),
            categories=tuple(self.categories or ()),
            statuses=frozenset(STATUSES if ALL in statuses else statuses),
            narrows_named=bool(self.status),
            min_volume=Decimal(str(self.min_volume)),
            multivariate=self.multivariate,
        )


def load_settings(arguments: Mapping[str, Any]) -> LoadSettings:
    """The settings in force, checked. Raises UsageError, naming the setting, on a wrong one."""
    explicit = {name: value for name, value in arguments.items() if value is not None}
    for name in SHORT:
        if value := os.environ.get(f"KALSHI_{name.upper()}"):
            explicit.setdefault(name, value)
    # who selects by arguments means those alone, not the file's besides
    if explicit.keys() & {*NAMES, "status", "min_volume"}:
        explicit = {name: [] for name in NAMES} | explicit
    try:
        # dlt also reads variables without their section: RATE or STATUS of another program
        strays = {name.upper() for name in LoadSettings.get_resolvable_fields()}
        with environment({}, without=strays):
            settings = resolve_configuration(
                LoadSettings(), sections=SECTIONS, explicit_value=explicit or None
            )
    except ConfigurationException as error:
        raise UsageError(f"settings ([sources.kalshi]): {first_line(error)}") from error
    for name in NAMES:
        setattr(settings, name, _tickers(name, getattr(settings, name) or []))
    settings.status = list(dict.fromkeys(settings.status or []))
    settings.intervals = list(dict.fromkeys(settings.intervals or [1]))
    _check(settings)
    settings.api_url = settings.api_url.rstrip("/")
    return settings


def _tickers(name: str, given: list[object]) -> list[str]:
    """Each ticker once, without blanks around it."""
    tickers = [ticker.strip() if isinstance(ticker, str) else "" for ticker in given]
    if not all(tickers):
        raise UsageError(f"setting {name} names nothing: as in --event KXPRESPERSON-28")
    return list(dict.fromkeys(tickers))


def _check(settings: LoadSettings) -> None:
    for status in settings.status or []:
        if status not in (*STATUSES, ALL):
            raise UsageError(f"--status {status} is none of {', '.join(STATUSES)}, {ALL}")
    for interval in settings.intervals or []:
        if interval not in INTERVALS:
            raise UsageError(f"--interval {interval} is none of Kalshi's: choose 1, 60 or 1440")
    if not _is_address(settings.api_url):
        raise UsageError(
            f"KALSHI_API_URL {settings.api_url!r} is no address: it begins with https://"
        )
    for name in ("rate", "attempts", "timeout", "workers", "requests_per_package"):
        if not 0 < getattr(settings, name) < math.inf:
            raise UsageError(f"setting {name} must be more than 0, and finite")
    if not 0 <= settings.seconds_per_package < math.inf:
        raise UsageError("setting seconds_per_package must be 0 or more, and finite")
    if not 0 <= settings.min_volume < math.inf:
        raise UsageError("--min-volume must not be below 0")
    if settings.log_format not in LOG_FORMATS:
        raise UsageError(f"--log-format {settings.log_format} is none of text, json")
    if settings.budget_seconds < LEAST_BUDGET:
        raise UsageError(f"--budget {settings.budget} is too short: give {LEAST_BUDGET} s or more")
    for name in ("on_failure", "on_success"):
        if (url := getattr(settings, name)) and not _is_address(url):
            raise UsageError(f"setting {name} is no address: it begins with https://")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
