"""Price grids and the wire spelling of prices and counts (docs/kalshi_api.md, 2 and 3.4).

Inside the simulator a price is an integer number of 1/10,000 dollars and a count an integer number
of 1/100 contracts, so nothing is ever rounded by accident.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

ONE_DOLLAR = 10_000
"""The highest price of a contract, and the ask of an empty book."""

_MARGIN = 2_000
"""How far outside of 0 to 1 dollars a price may be that is to be put on the grid."""

Range = tuple[int, int, int]
"""(start, end, step) in 1/10,000 dollars."""


def _edges(edge: int, centre: int, width: int = 1_000) -> tuple[Range, ...]:
    """Price ranges with the step `edge` near 0 and 1 dollars, and the step `centre` between."""
    return (
        (0, width, edge),
        (width, ONE_DOLLAR - width, centre),
        (ONE_DOLLAR - width, ONE_DOLLAR, edge),
    )


PRICE_STRUCTURES: dict[str, tuple[Range, ...]] = {
    "linear_cent": ((0, ONE_DOLLAR, 100),),
    "deci_cent": ((0, ONE_DOLLAR, 10),),
    "tapered_deci_cent": _edges(10, 100),
    "center_half_edge_deci_cent": _edges(10, 50),
    "center_deci_edge_centi_cent": _edges(1, 10, width=100),
}
"""The values of price_level_structure that the simulator uses, with their price ranges."""

DOLLARS: tuple[str, ...] = tuple(f"{p // ONE_DOLLAR}.{p % ONE_DOLLAR:04d}" for p in range(10_001))
"""Wire spelling of every price: DOLLARS[600] == "0.0600"."""


def contracts(count: int) -> str:
    """Wire spelling of a count of 1/100 contracts: 2401 gives "24.01"."""
    return f"{count // 100}.{count % 100:02d}"


@dataclass(frozen=True, slots=True)
class Grid:
    """The prices that a price structure allows."""

    _down: tuple[int, ...]
    _up: tuple[int, ...]

    def bid(self, price: int) -> int:
        """The grid price at or below `price`; 0 stands for an empty side."""
        return self._down[price + _MARGIN]

    def ask(self, price: int) -> int:
        """The grid price above `price`; 1 dollar stands for an empty side."""
        return self._up[price + _MARGIN]


@cache
def grid(structure: str) -> Grid:
    """The grid of a price structure by its name."""
    ranges = PRICE_STRUCTURES[structure]
    points = sorted({p for start, end, step in ranges for p in range(start, end + 1, step)})
    down: list[int] = []
    up: list[int] = []
    at = 0
    for price in range(-_MARGIN, ONE_DOLLAR + _MARGIN + 1):
        while at + 1 < len(points) and points[at + 1] <= price:
            at += 1
        down.append(points[at])
        up.append(points[min(at + 1, len(points) - 1)])
    return Grid(tuple(down), tuple(up))
