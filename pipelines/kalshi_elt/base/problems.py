"""What was asked for and could not be had: said one line each, and stops nothing else."""

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
    """The market that an answer left out, as one of another tier is."""

    def __str__(self) -> str:
        """One harmless line, whatever a ticker has in it."""
        return visible(f"{self.what}: {self.why}")


def shown_problems(problems: Sequence[object]) -> list[str]:
    """The first problems, one line each, and how many more there are."""
    lines = [str(problem) for problem in problems[:MOST_PROBLEMS]]
    if len(problems) > MOST_PROBLEMS:
        lines.append(f"{len(problems) - MOST_PROBLEMS:,} more; the next load tries all again")
    return lines


MOST_PROBLEMS = 20
"""How many problems are printed one by one."""
