"""Reading `--since` and `--until`: which stretch of time candles are wanted for.

All times are Unix seconds in UTC. A range is half open, (since, until]: a candle belongs to it when
its period *ends* after `since` and not after `until`, so adjoining ranges share no candle.
"""

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from kalshi_elt.base.errors import UsageError

MINUTE = 60
DEFAULT_LOOK_BACK = 24 * 60 * MINUTE
"""Where a market begins that was never asked for: as in the seed."""

OPEN = "open"

SECONDS = {"m": MINUTE, "h": 60 * MINUTE, "d": 24 * 60 * MINUTE, "w": 7 * 24 * 60 * MINUTE}
AGO = re.compile(r"(\d{1,6})([mhdw])")
DURATION = re.compile(r"(\d{1,6})([smhd])")


@dataclass(frozen=True)
class TimeRange:
    """The stretch (since, until]. Without `since` each market goes on where it ended, or, with
    `is_life`, begins when it opened."""

    since: int | None
    until: int
    is_life: bool = False

    @property
    def goes_on(self) -> bool:
        """Whether each market goes on where it ended."""
        return self.since is None and not self.is_life


def now() -> float:
    """Unix seconds. The one clock that commands go by, which tests move."""
    return time.time()


def parse_range(since: str | None, until: str | None, now: float) -> TimeRange:
    """The range that the two texts ask for, as seen at `now`.

    It never reaches past the last whole minute, as Kalshi returns closed periods only
    (docs/kalshi_api.md, 2.9). Raises UsageError on anything unreadable.
    """
    last_minute = int(now) // MINUTE * MINUTE
    end = min(parse_moment("until", until, now), last_minute) if until is not None else last_minute
    if since is None:
        # who names an end alone means the day before it, not all since the last load
        return TimeRange(end - DEFAULT_LOOK_BACK if until is not None else None, end)
    if since.strip().lower() == OPEN:
        return TimeRange(None, end, is_life=True)
    start = parse_moment("since", since, now)
    if start >= end:
        raise UsageError(
            f"--since {since} ({_iso(start)}) is not before --until ({_iso(end)}); "
            "give an earlier --since or a later --until"
        )
    return TimeRange(start, end)


def parse_moment(name: str, text: str, now: float) -> int:
    """Unix seconds of an ISO date or time, or of how long before `now` (`90m`, `30d`).

    Raises UsageError, naming the option `name`, on anything else.
    """
    text = text.strip()
    try:
        if ago := AGO.fullmatch(text.lower()):
            seconds = int(now) - int(ago[1]) * SECONDS[ago[2]]
        else:
            moment = datetime.fromisoformat(text)
            seconds = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        if seconds < 0:
            raise ValueError("before 1970")
        _iso(seconds)
    except (ValueError, OverflowError):
        also = ", `open`" if name == "since" else ""
        raise UsageError(
            f"--{name} {text!r} is not a valid time: give an ISO date or time (2026-11-22, "
            f"2026-11-22T14:30Z), or how long ago (90m, 24h, 7d){also}"
        ) from None
    return seconds


def parse_duration(name: str, text: str) -> int:
    """Seconds of `90s`, `4m`, `1h`, `1d`. Raises UsageError, naming the option `name`."""
    found = DURATION.fullmatch(text.strip().lower())
    if not found or int(found[1]) == 0:
        raise UsageError(f"--{name} {text!r} is not a valid duration: give one such as 90s, 4m, 1h")
    return int(found[1]) * {"s": 1, **SECONDS}[found[2]]


def _iso(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
