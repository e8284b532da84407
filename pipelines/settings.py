"""What a load is asked to do: from the command line, the environment or `.dlt/config.toml`.

dlt resolves the settings, in its own order: an argument, the environment
(`SOURCES__KALSHI__RATE=5`), `.dlt/config.toml` under `[sources.kalshi]`, the default here.
"""

import os
from collections.abc import Mapping
from typing import Any

from dlt.common.configuration import configspec, resolve_configuration
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.configuration.specs import BaseConfiguration

from pipelines.errors import UsageError, first_line

SECTIONS = ("sources", "kalshi")
INTERVALS = (1, 60, 1440)
API_URL = "https://external-api.kalshi.com/trade-api/v2"


@configspec
class LoadSettings(BaseConfiguration):
    """Settings of a load, as written by the user; `timerange` gives the times their meaning."""

    events: list[str] | None = None
    """Tickers of the events to land."""
    intervals: list[int] | None = None
    """Candle lengths in minutes: 1, 60, 1440. Default: 1."""
    since: str | None = None
    until: str | None = None
    api_url: str = API_URL
    rate: float = 8.0
    """Requests a second. Kalshi's advice for callers without a key is 5 to 10 (API.md 6)."""
    attempts: int = 6
    """How often one request is tried in all."""
    timeout: float = 30.0
    """Seconds to wait for an answer's next bytes."""


def load_settings(arguments: Mapping[str, Any]) -> LoadSettings:
    """The settings in force, checked. Raises UsageError, naming the setting, on a wrong one."""
    explicit = {name: value for name, value in arguments.items() if value is not None}
    if (api_url := os.environ.get("KALSHI_API_URL")) and "api_url" not in explicit:
        explicit["api_url"] = api_url
    try:
        settings = resolve_configuration(
            LoadSettings(), sections=SECTIONS, explicit_value=explicit or None
        )
    except ConfigurationException as error:
        raise UsageError(f"settings ([sources.kalshi]): {first_line(error)}") from error
    _check(settings)
    return settings


def _check(settings: LoadSettings) -> None:
    settings.intervals = list(dict.fromkeys(settings.intervals or [1]))
    settings.events = list(dict.fromkeys(ticker.strip() for ticker in settings.events or []))
    settings.api_url = settings.api_url.rstrip("/")
    if not settings.events or not all(settings.events):
        raise UsageError("nothing to load: name an event, as in --event KXPRESPERSON-28")
    for interval in settings.intervals:
        if interval not in INTERVALS:
            raise UsageError(f"--interval {interval} is none of Kalshi's: choose 1, 60 or 1440")
    if not settings.api_url.startswith(("http://", "https://")):
        raise UsageError(f"KALSHI_API_URL {settings.api_url!r} must begin with https:// or http://")
    for name in ("rate", "attempts", "timeout"):
        if getattr(settings, name) <= 0:
            raise UsageError(f"setting {name} must be more than 0")
