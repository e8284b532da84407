"""What a load did, for people and for machines."""

from collections import Counter
from dataclasses import dataclass, field

from kalshi_elt.base.problems import Problem
from kalshi_elt.base.text import count

FIGURES = (
    *("events", "markets", "series", "unchanged", "selected", "gone", "windows", "candles"),
    *("requests", "seconds"),
)


@dataclass
class LoadSummary:
    """What a load landed, and what it could not."""

    events: int = 0
    markets: int = 0
    series: int = 0
    unchanged: int = 0
    """Events and markets that were listed as they had landed before."""
    selected: int = 0
    """Markets whose candles are wanted."""
    gone: int = 0
    """Markets that Kalshi does not have any more."""
    windows: int = 0
    """Windows of candles, one for each market and request."""
    candles: int = 0
    requests: int = 0
    """Requests sent, retries included."""
    outcomes: dict[str, int] = field(default_factory=dict)
    """Requests by what came of them (KalshiApi.outcomes)."""
    seconds: float = 0.0
    is_out_of_time: bool = False
    """Whether the load ended because its time was up; the next one takes up the rest."""
    planned: Counter[str] = field(default_factory=Counter)
    """A dry run's requests, by endpoint."""
    is_dry_run: bool = False
    problems: list[Problem] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        return 1 if self.problems else 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more can be asked for."""
        return self.is_out_of_time or any(problem.is_final for problem in self.problems)

    def note(self, problem: Problem) -> None:
        """Add a problem. That nothing more can be asked for is added once, though several workers
        may find it at the same time."""
        if not (problem.is_final and self.is_over):
            self.problems.append(problem)

    def fields(self) -> dict[str, object]:
        """The figures, for machines."""
        return {
            **{name: getattr(self, name) for name in FIGURES},
            "outcomes": self.outcomes,
            "is_out_of_time": self.is_out_of_time,
            "planned": dict(self.planned),
            "problems": [str(problem) for problem in self.problems],
        }

    def __str__(self) -> str:
        taken = f"({count(self.requests, 'request')}, {self.seconds:.1f} s)"
        if self.is_dry_run:
            return f"planned {count(sum(self.planned.values()), 'request')} {taken}, landed nothing"
        unchanged = f", {self.unchanged:,} unchanged" if self.unchanged else ""
        gone = f", {count(self.gone, 'market')} gone from Kalshi" if self.gone else ""
        return (
            f"landed {count(self.events, 'event')}, {count(self.markets, 'market')}"
            f"{unchanged}{gone} and {count(self.candles, 'candle')} "
            f"in {count(self.windows, 'window')} {taken}"
        )
