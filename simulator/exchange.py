"""The exchange itself, without HTTP: what is on it, what is true now, and how a test changes it."""

from __future__ import annotations

import time
from bisect import insort
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from threading import RLock
from typing import Any, Self

from . import seed_event
from .candles import (
    HOUR,
    MINUTE,
    PACES,
    Candle,
    CandleSource,
    Profile,
    digest,
    period_ends,
    period_start,
    roll_up,
)
from .generate import catalogue
from .model import DAY, SECOND, Era, Event, Market, Quote, Series
from .prices import ONE_DOLLAR

Key = tuple[int, str]
"""The key by which lists are ordered: a time in microseconds, and a ticker."""

_KEPT_SOURCES = 2_048
_ARCHIVED_AFTER = 60 * DAY
_PACE_OF_10 = ("lively", *["steady"] * 2, *["quiet"] * 6, "dead")


class Exchange:
    """Series, events and markets, with a clock.

    `clock` gives Unix seconds and may be replaced at any time. `era` is the form of all answers
    about events that do not have one of their own. `seed` decides the candles. A method that
    changes something does so at once for all requests; hold `lock` to change several things
    together.

    Every random draw depends on how long before or after `origin` (Unix seconds) it is, so an
    exchange is the same whenever it is made. The origin never moves, so what was answered stays
    true while time passes. By default it is the hour in which the exchange was made. Two exchanges,
    made at different times, have the same candles when they are given the same origin.
    """

    def __init__(
        self,
        series: Iterable[Series] = (),
        events: Iterable[Event] = (),
        markets: Iterable[Market] = (),
        *,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
        origin: float | None = None,
        era: Era = "live",
    ) -> None:
        self.lock = RLock()
        self.clock = clock
        self.era: Era = era
        self.seed = seed
        self.origin_minute = int(clock() if origin is None else origin) // HOUR * 60
        self.series: dict[str, Series] = {item.ticker: item for item in series}
        self.events: dict[str, Event] = {}
        self.markets: dict[str, Market] = {}
        self.markets_of: dict[str, list[str]] = {}
        self.events_of: dict[str, list[str]] = {}
        self.event_keys: list[Key] = []
        self.multivariate_event_keys: list[Key] = []
        self.market_keys: list[Key] = []
        self.cutoff = (self.now - _ARCHIVED_AFTER) // DAY * DAY
        self._archived: set[str] = set()
        self._overlapping: set[str] = set()
        self._corrections: dict[str, dict[int, Candle]] = {}
        self._pauses: dict[str, list[tuple[int, int]]] = {}
        """Unix seconds of the last minute before a market closed, and of when it opened again."""
        self._sources: OrderedDict[str, CandleSource] = OrderedDict()
        for event in events:
            self._put_event(event)
        for market in markets:
            self._put_market(market)
        for keys in (self.event_keys, self.multivariate_event_keys, self.market_keys):
            keys.sort()

    @classmethod
    def demo(
        cls,
        *,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
        origin: float | None = None,
        era: Era = "live",
        seed_era: Era = "legacy",
        events: int = 3,
        markets_per_event: int = 4,
    ) -> Self:
        """An exchange with the seed event and a few generated ones.

        The seed event and its markets are sent in the form of January 2026, unless `seed_era` says
        otherwise; their candles have the form of `era`, as all others have.
        """
        made = catalogue(events, markets_per_event, seed, int(clock()))
        event = replace(seed_event.EVENT, era=seed_era)
        return cls(
            [seed_event.SERIES, *made.series],
            [event, *made.events],
            [*seed_event.MARKETS, *made.markets],
            seed=seed,
            clock=clock,
            origin=origin,
            era=era,
        )

    @classmethod
    def generate(
        cls,
        *,
        events: int,
        markets_per_event: int,
        seed: int = 0,
        multivariate: int | None = None,
        pace: str | None = None,
        clock: Callable[[], float] = time.time,
        era: Era = "live",
    ) -> Self:
        """An exchange of any size. The same arguments make the same exchange; made in another hour,
        its times, and the dates in its texts, are later or earlier by as much.

        multivariate: how many combinations of markets there are besides; a tenth of the events
        when None. pace: one of candles.PACES for all markets, instead of a mixture.
        """
        made = catalogue(
            events, markets_per_event, seed, int(clock()), multivariate=multivariate, pace=pace
        )
        return cls(made.series, made.events, made.markets, seed=seed, clock=clock, era=era)

    # What is true now

    @property
    def now(self) -> int:
        """The clock in microseconds."""
        return int(self.clock() * SECOND)

    def is_live(self, market: Market) -> bool:
        """Whether the live endpoints show it (docs/kalshi_api.md, 2.12)."""
        if market.ticker in self._overlapping:
            return True
        return not self._is_past_cutoff(market)

    def is_historical(self, market: Market) -> bool:
        """Whether the /historical endpoints show it."""
        return self._is_past_cutoff(market)

    def live_markets(self, event_ticker: str) -> list[Market]:
        """The markets of an event that the live tier has, oldest first."""
        markets = (self.markets[ticker] for ticker in self.markets_of.get(event_ticker, ()))
        return [market for market in markets if self.is_live(market)]

    def era_of(self, event_ticker: str) -> Era:
        """The shape in which an event and its markets are sent."""
        event = self.events.get(event_ticker)
        return event.era if event is not None and event.era is not None else self.era

    def quote(self, market: Market) -> Quote:
        """Prices and volumes of a market at the end of the last minute that is over."""
        now = self.now
        quote = market.quote if market.quote is not None else self._quote(market, now)
        if market.closes <= now:
            quote = replace(quote, yes_bid=0, yes_ask=ONE_DOLLAR, yes_bid_size=0, yes_ask_size=0)
        if self.is_historical(market):
            quote = replace(quote, volume_24h=0, open_interest=0)
        return quote

    def _quote(self, market: Market, now: int) -> Quote:
        source = self._source(market)
        second = now // SECOND
        bid, ask = source.book(second)
        last_price, volume = source.tape(second)
        before_bid, before_ask, before_price, before_volume = 0, 0, 0, 0
        if market.opens < now - DAY:
            before_bid, before_ask = source.book(second - 86_400)
            price, before_volume = source.tape(second - 86_400)
            before_price = price or 0
        size = digest(market.draw_key, second // 60 - self.origin_minute)
        return Quote(
            yes_bid=bid,
            yes_ask=ask,
            last_price=last_price or 0,
            previous_yes_bid=before_bid,
            previous_yes_ask=before_ask,
            previous_price=before_price,
            volume=volume,
            volume_24h=volume - before_volume,
            open_interest=source.open_interest(volume),
            yes_bid_size=size % 500_000 + 1 if bid else 0,
            yes_ask_size=(size >> 32) % 500_000 + 1 if ask < ONE_DOLLAR else 0,
        )

    # Candles

    def candles(self, ticker: str, period: int, first: int, last: int) -> list[Candle]:
        """The candles with first <= end_ts <= last whose period is over, oldest first.

        period is in minutes (1, 60, 1440), the bounds in Unix seconds.
        """
        last = min(last, self.now // SECOND)
        if period == 1:
            return self._minutes(ticker, first, last)
        market = self.markets[ticker]
        first = max(first, market.opens // SECOND)
        last = min(last, market.closes // SECOND + 25 * 3_600)
        ends = period_ends(period, first, last)
        found = (self._period(ticker, period_start(period, end), end) for end in ends)
        return [candle for candle in found if candle is not None]

    def latest_candle(self, ticker: str, period: int, before: int) -> Candle | None:
        """The newest candle with end_ts < before."""
        minute = self._latest_minute(ticker, min(before - 1, self.now // SECOND))
        corrected = [end for end in self._corrections.get(ticker, ()) if end < before]
        newest = max([*corrected, *([minute.end_ts] if minute else [])], default=None)
        if newest is None:
            return None
        if period == 1:
            return self._minutes(ticker, newest, newest)[-1]
        ends = period_ends(period, newest - 50 * 3_600, before - 1)
        for end in reversed(ends):
            if found := self.candles(ticker, period, end, end):
                return found[-1]
        return None

    def _latest_minute(self, ticker: str, last: int) -> Candle | None:
        source = self._source(self.markets[ticker])
        found = source.latest(last)
        for closed, reopened in reversed(self._pauses.get(ticker, [])):
            if found is not None and closed < found.end_ts <= reopened:
                found = source.latest(closed)
        return found

    def _period(self, ticker: str, start: int, end: int) -> Candle | None:
        if not self._corrections.get(ticker) and not self._pauses.get(ticker):
            return self._source(self.markets[ticker]).period(start, end)
        minutes = self._minutes(ticker, start + 1, end)
        return roll_up(minutes, end) if minutes else None

    def _minutes(self, ticker: str, first: int, last: int) -> list[Candle]:
        candles = self._source(self.markets[ticker]).minutes(first, last)
        for closed, reopened in self._pauses.get(ticker, ()):
            candles = [candle for candle in candles if not closed < candle.end_ts <= reopened]
        corrections = self._corrections.get(ticker)
        if not corrections:
            return candles
        merged = {candle.end_ts: candle for candle in candles}
        merged.update((end, c) for end, c in corrections.items() if first <= end <= last)
        return [merged[end] for end in sorted(merged)]

    def _source(self, market: Market) -> CandleSource:
        source = self._sources.get(market.ticker)
        if source is None:
            if len(self._sources) >= _KEPT_SOURCES:
                self._sources.popitem(last=False)
            source = self._sources[market.ticker] = CandleSource(
                _profile(market, self.seed, self.origin_minute)
            )
        return source

    # What a test changes

    def add_series(self, series: Series) -> None:
        """Add a series, or replace the one of that ticker."""
        with self.lock:
            self.series[series.ticker] = series

    def add_event(self, event: Event) -> None:
        """Add an event."""
        with self.lock:
            self._put_event(event)
            self._sort()

    def add_market(self, market: Market) -> None:
        """Add a market to an event, which may have open ones already (docs/kalshi_api.md, 5.8)."""
        with self.lock:
            if market.event_ticker not in self.events:
                raise KeyError(market.event_ticker)
            self._put_market(market)
            self._sort()

    def change_market(self, ticker: str, **changes: Any) -> Market:
        """Replace fields of a market; times in microseconds."""
        with self.lock:
            before = self.markets[ticker]
            after = replace(before, **changes)
            self.markets[ticker] = after
            self._sources.pop(ticker, None)
            if before.created != after.created:
                self.market_keys.remove((before.created, ticker))
                insort(self.market_keys, (after.created, ticker))
            return after

    def remove_market(self, ticker: str) -> None:
        """Remove a market from both tiers, as provisional ones are (docs/kalshi_api.md, 5.9)."""
        with self.lock:
            market = self.markets.pop(ticker)
            self.markets_of[market.event_ticker].remove(ticker)
            self.market_keys.remove((market.created, ticker))
            self._archived.discard(ticker)
            self._overlapping.discard(ticker)
            self._corrections.pop(ticker, None)
            self._pauses.pop(ticker, None)
            self._sources.pop(ticker, None)

    def archive(self, ticker: str, *, keep_live: bool = False) -> None:
        """Move a market to the historical tier; with keep_live it is in both for a while."""
        with self.lock:
            if ticker not in self.markets:
                raise KeyError(ticker)
            self._archived.add(ticker)
            (self._overlapping.add if keep_live else self._overlapping.discard)(ticker)

    def move_cutoff(self, seconds: float) -> None:
        """Set the historical cutoff (Unix seconds): what settled before it is archived."""
        with self.lock:
            self.cutoff = int(seconds * SECOND)

    def settle(
        self, ticker: str, result: str = "yes", value: int | None = None, expiration_value: str = ""
    ) -> Market:
        """Close a market and pay it out now.

        value: payout of a yes contract in 1/10,000 dollars; needed for result "scalar" only.
        """
        now = self.now
        if value is None:
            value = {"yes": ONE_DOLLAR, "no": 0}[result]
        closes = min(self.markets[ticker].closes, now)
        return self.change_market(
            ticker,
            closes=closes,
            held_status=None,
            result=result,
            settlement_value=value,
            settled=now,
            updated=now,
            expiration_value=expiration_value or result,
        )

    def close(self, ticker: str) -> Market:
        """End trading in a market now."""
        now = self.now
        return self.change_market(ticker, closes=now, held_status=None, updated=now)

    def reopen(self, ticker: str, closes: float | None = None) -> Market:
        """Move a closed market back to active (docs/kalshi_api.md, 4): closes at `closes` (Unix
        seconds). Nothing happened in between, so there are no candles of that time."""
        now = self.now
        # the minute of the close had begun
        closed = self.markets[ticker].closes // SECOND // MINUTE * MINUTE + MINUTE
        if closed < now // SECOND:
            self._pauses.setdefault(ticker, []).append((closed, now // SECOND))
        until = now + 30 * DAY if closes is None else int(closes * SECOND)
        return self.change_market(
            ticker,
            closes=until,
            held_status=None,
            result="",
            settlement_value=None,
            settled=None,
            expiration_value="",
            updated=now,
        )

    def hold_status(self, ticker: str, status: str | None) -> Market:
        """Force a status (inactive, determined, disputed, amended), or None to lift it."""
        return self.change_market(ticker, held_status=status, updated=self.now)

    def correct_candle(self, ticker: str, end_ts: int, **changes: Any) -> Candle:
        """Change fields of a one-minute candle, and with it the longer ones whose period has it.

        The `previous` of later candles stays as it was.
        """
        with self.lock:
            found = self._minutes(ticker, end_ts, end_ts)
            if not found:
                raise KeyError((ticker, end_ts))
            candle = found[0]._replace(**changes)
            self._corrections.setdefault(ticker, {})[end_ts] = candle
            return candle

    # Upkeep

    def _put_event(self, event: Event) -> None:
        ticker = event.event_ticker
        if ticker in self.events:
            raise ValueError(f"event {ticker} exists")
        self.events[ticker] = event
        self.markets_of[ticker] = []
        self.events_of.setdefault(event.series_ticker, []).append(ticker)
        keys = self.multivariate_event_keys if event.multivariate else self.event_keys
        keys.append((event.expiration, ticker))

    def _put_market(self, market: Market) -> None:
        if market.ticker in self.markets:
            raise ValueError(f"market {market.ticker} exists")
        self.markets[market.ticker] = market
        self.markets_of[market.event_ticker].append(market.ticker)
        self.market_keys.append((market.created, market.ticker))

    def _sort(self) -> None:
        for keys in (self.event_keys, self.multivariate_event_keys, self.market_keys):
            keys.sort()

    def _is_past_cutoff(self, market: Market) -> bool:
        if market.settled is not None and market.settled < self.cutoff:
            return True
        return market.ticker in self._archived


def _profile(market: Market, seed: int, origin_minute: int) -> Profile:
    """What the candles of a market depend on. What the market does not say is drawn from its
    name."""
    draw = digest(seed, market.draw_key)
    pace = PACES[market.pace or _PACE_OF_10[draw % 10]]
    level = market.level if market.level is not None else 200 + (draw >> 8) % 9_600
    volume = (5 + (draw >> 24) % 200) * max(pace.trades, 1) * 100
    held = 60 + (draw >> 32) % 120
    known: int | None = None
    if market.quote is not None and market.quote.volume:
        # The known volume is taken for that of the 262 days, about nine months, for which the seed
        # event's markets had been open when it was seen.
        known = market.quote.volume
        volume = max(market.quote.volume * pace.span // (262 * 1_440), 4_000)
        held = market.quote.open_interest * 256 // market.quote.volume
    return Profile(
        key=digest(seed, market.draw_key, "candles").to_bytes(8, "big"),
        origin_minute=origin_minute,
        open_minute=market.opens // SECOND // 60,
        close_minute=market.closes // SECOND // 60,
        pace=pace,
        structure=market.price_structure,
        level=level,
        swing=min(level, ONE_DOLLAR - level) // 3,
        spread=20 + (draw >> 40) % 130,
        contracts_at_origin=known,
        contracts_per_span=volume,
        held=held,
    )
