"""Which part of the exchange a load is about."""

from dataclasses import dataclass
from decimal import Decimal

from kalshi_elt.kalshi.records import SETTLED, Market

STATUSES: dict[str, frozenset[str]] = {
    "unopened": frozenset({"initialized", "unopened"}),
    "open": frozenset({"active", "open"}),
    "paused": frozenset({"inactive", "paused"}),
    "closed": frozenset({"closed", "determined", "disputed", "amended"}),
    "settled": SETTLED,
}
"""Kalshi's status filters and the statuses that answers bear (docs/kalshi_api.md, 4)."""

ALL = "all"


@dataclass(frozen=True)
class Selection:
    """Events, markets, series and categories add up; status and volume narrow them down.

    With nothing named it is the whole exchange.
    """

    events: tuple[str, ...] = ()
    markets: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    statuses: frozenset[str] = frozenset({"open"})
    """Of STATUSES; they narrow series, categories and the exchange, never what is named itself
    unless `narrows_named` says so."""
    narrows_named: bool = False
    min_volume: Decimal = Decimal(0)
    multivariate: bool = False

    @property
    def is_everything(self) -> bool:
        return not (self.events or self.markets or self.series or self.categories)

    @property
    def follows(self) -> bool:
        """Whether markets that left the listing are looked up: not in a load of settled ones."""
        return "open" in self.statuses or not self.narrows_named

    @property
    def wants_settled(self) -> bool:
        """Whether markets of the historical tier may be meant."""
        return "settled" in self.statuses

    def wants(self, market: Market, *, is_named: bool) -> bool:
        """Whether candles of a listed market are asked for."""
        if market.is_multivariate and not (self.multivariate or is_named):
            return False
        if market.volume < self.min_volume:
            return False
        if is_named and not self.narrows_named:
            return True
        return any(market.status in STATUSES[status] for status in self.statuses)
