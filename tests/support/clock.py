"""A clock that tests move, for the simulator and the loader at once."""

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
        """Have the loader take this clock's time for the end of its range, and for the moments at
        which answers arrive."""
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
    """A time in Unix seconds as a text for `--since` and `--until`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
