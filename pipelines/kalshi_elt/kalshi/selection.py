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
"""The words by which Kalshi filters by status, each with the statuses that market objects then have
(docs/kalshi_api.md, 4)."""

ALL = "all"


@dataclass(frozen=True)
class Selection:
    """What a load is about: all of the named events, markets, series and categories together, or,
    with none named, the whole exchange; of these, the markets that statuses and volume leave."""

    events: tuple[str, ...] = ()
    markets: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    statuses: frozenset[str] = frozenset({"open"})
    """Keys of STATUSES. They narrow series, categories and the exchange."""
    narrows_named: bool = False
    """Whether the statuses narrow events and markets that are named themselves, too."""
    min_volume: Decimal = Decimal(0)
    multivariate: bool = False

    @property
    def is_everything(self) -> bool:
        return not (self.events or self.markets or self.series or self.categories)

    @property
    def follows(self) -> bool:
        """Whether markets that are no longer in a listing are looked up one by one, to see their
        last state. Every load does, but one that was told statuses without `open` among them."""
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
