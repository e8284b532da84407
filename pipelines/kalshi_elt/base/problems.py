"""What was asked for and could not be had. Each is told in a line, and the load goes on without."""

from collections.abc import Sequence
from dataclasses import dataclass

from kalshi_elt.base.text import visible


@dataclass(frozen=True)
class Problem:
    """Something asked for that could not be landed."""

    what: str
    why: str
    is_final: bool = False
    """Nothing more can be asked for: the load ends here."""
    missing: str | None = None
    """Ticker of the market that an answer left out, as it does with markets of the other tier."""

    def __str__(self) -> str:
        """One harmless line, whatever a ticker has in it."""
        return visible(f"{self.what}: {self.why}")


def shown_problems(problems: Sequence[object]) -> list[str]:
    """The first MOST_PROBLEMS, a line each, and a line that says how many more there are."""
    lines = [str(problem) for problem in problems[:MOST_PROBLEMS]]
    if len(problems) > MOST_PROBLEMS:
        lines.append(f"{len(problems) - MOST_PROBLEMS:,} more; the next load tries all again")
    return lines


MOST_PROBLEMS = 20
"""How many problems are printed one by one."""
