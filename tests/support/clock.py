"""Time that tests move: the simulator's and the loader's, together."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from types import SimpleNamespace
from unittest.mock import patch

MINUTE, HOUR, DAY = 60, 3_600, 86_400


@dataclass
class Clock:
    """A clock that stands still until a test moves it."""

    now: float
    seconds_by_answer: float = 0.0
    """How long each answer of the API takes, as the loader sees it."""

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds

    @property
    def minute(self) -> int:
        """Unix seconds of the last whole minute: how far a load reaches."""
        return int(self.now) // MINUTE * MINUTE

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """The loader's range ends, and its answers arrive, at this clock's time."""
        clock = self

        class Moment(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> "Moment":
                clock.pass_by(clock.seconds_by_answer)
                return cls.fromtimestamp(clock.now, tz)

        with (
            patch("kalshi_elt.base.times.time", SimpleNamespace(time=clock)),
            patch("kalshi_elt.kalshi.endpoints.datetime", Moment),
        ):
            yield


def iso(seconds: float) -> str:
    """As `--since` and `--until` take it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
