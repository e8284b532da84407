"""Candles of any market and any window, worked out from a hash alone.

Nothing is stored, and no earlier candle has to be made first: what happens in an hour depends on
the hour's number and the market's profile alone. Hours and spans are counted from the exchange's
origin, so what happened a number of hours ago is the same on every date and at every time of day.
Candles fit together, though none knows the ones before it, because of three rules:

* The book at a full hour is a function of that hour, and the last candle before it ends with that
  book. When the market closes before that candle, it is just left out: a close changes nothing of
  what happens before it.
* Trades are drawn for spans of time (hours, or a week on quiet markets), with at least one trade in
  each, so the last traded minute is never further away than two spans.
* The contracts traded up to the end of a span are a function of the span's number.

Which minutes have candles, and what is in them, follows docs/kalshi_api.md, 2.9. Prices are
1/10,000 dollars, counts 1/100 contracts, times Unix seconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b, shake_128
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .prices import ONE_DOLLAR, grid

MINUTE = 60
HOUR = 3_600
EMPTY_BOOK = (0, ONE_DOLLAR)
"""Bid and ask of a book without orders (docs/kalshi_api.md, 5.4)."""

_64_BITS = (1 << 64) - 1
_KEPT_HOURS = 64
_KEPT_MIDDLES = 4_096


class Candle(NamedTuple):
    """One period of one market. Prices of trades are None when there was no trade."""

    end_ts: int
    bid_open: int
    bid_high: int
    bid_low: int
    bid_close: int
    ask_open: int
    ask_high: int
    ask_low: int
    ask_close: int
    price_open: int | None
    price_high: int | None
    price_low: int | None
    price_close: int | None
    price_mean: int | None
    previous: int | None
    volume: int
    open_interest: int


@dataclass(frozen=True, slots=True)
class Pace:
    """How much happens on a market.

    awake: in how many of 256 hours the book moves at random; active: how many of 256 minutes of
    such an hour have a candle; span: minutes within which there is at least one trade; trades: how
    many there are in a span on average.
    """

    awake: int
    active: int
    span: int
    trades: int


PACES: dict[str, Pace] = {
    "lively": Pace(awake=256, active=140, span=240, trades=4),
    "steady": Pace(awake=200, active=70, span=720, trades=4),
    "quiet": Pace(awake=60, active=14, span=10_080, trades=3),
    "dead": Pace(awake=16, active=6, span=10_080, trades=0),
}


@dataclass(frozen=True, slots=True)
class Profile:
    """What the candles of a market depend on."""

    key: bytes
    origin_minute: int
    """The beginning of an hour, from which hours and spans are counted."""
    open_minute: int
    close_minute: int
    pace: Pace
    structure: str
    level: int
    """The price around which the market moves."""
    swing: int
    """How far it moves to either side, slowly, at most."""
    spread: int
    """Half of the difference between bid and ask, before they are put on the grid."""
    contracts_at_origin: int | None
    """Contracts traded before the origin; None when they are counted from the market's opening."""
    contracts_per_span: int
    held: int
    """Open interest, in 256ths of the contracts traded."""


class Trade(NamedTuple):
    """All trades of one minute, taken together."""

    minute: int
    middle: int
    open: int
    high: int
    low: int
    close: int
    mean: int
    volume: int
    total: int
    """Contracts traded since the market opened, this minute included."""


def digest(*parts: object) -> int:
    """A number of 64 bits that depends on the parts alone."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


class CandleSource:
    """Makes the candles of one market."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._grid = grid(profile.structure)
        self._salt = int.from_bytes(profile.key, "big")
        self._origin_hour = profile.origin_minute // 60
        self._first_span = self._span_of(profile.open_minute)
        self._knots: dict[tuple[int, int], int] = {}
        self._middles: dict[int, int] = {}
        self._edges: dict[int, tuple[int, int]] = {}
        self._spans: dict[int, list[_Deal]] = {}
        self._hours: dict[int, list[Candle]] = {}

    def minutes(self, first: int, last: int) -> list[Candle]:
        """The one-minute candles with first <= end_ts <= last."""
        profile = self.profile
        low = max(first // MINUTE - 1, profile.open_minute)
        high = min(last // MINUTE - 1, profile.close_minute)
        found: list[Candle] = []
        for hour in range(low // 60, high // 60 + 1):
            found += self._hour(hour)
        if found and found[0].end_ts < first:
            found = [candle for candle in found if candle.end_ts >= first]
        while found and found[-1].end_ts > last:
            found.pop()
        return found

    def latest(self, last: int) -> Candle | None:
        """The newest one-minute candle with end_ts <= last."""
        profile = self.profile
        high = min(last // MINUTE - 1, profile.close_minute)
        for hour in range(high // 60, profile.open_minute // 60 - 1, -1):
            for candle in reversed(self._hour(hour)):
                if candle.end_ts <= last:
                    return candle
        return None

    def book(self, last: int) -> tuple[int, int]:
        """Bid and ask after the minute that ends at or before `last`."""
        minute = last // MINUTE
        if not self.profile.open_minute < minute <= self.profile.close_minute:
            return EMPTY_BOOK
        hour = minute // 60
        steps = self._steps(hour)
        at = bisect_left(steps.minutes, minute)
        if not at:
            return self._edge(hour)
        return (
            self._quotes(steps.middles[at - 1])
            if at < len(steps.minutes)
            else self._end_of(hour, steps)
        )

    def tape(self, last: int) -> tuple[int | None, int]:
        """Price of the last trade and contracts traded up to `last`."""
        trade = self._trade_before(last // MINUTE)
        return (trade.close, trade.total) if trade else (None, 0)

    def open_interest(self, traded: int) -> int:
        """Contracts held when so many have been traded."""
        # a volume that is counted back from the origin may be below 0 soon after the opening
        return max(traded, 0) * self.profile.held // 256

    def _noise(self, grain: int, number: int) -> int:
        """A number from -1024 to 1023."""
        # By multiplying and shifting (splitmix64): making a hash object for each number would take
        # most of the time.
        mixed = (self._salt + number * 0x9E3779B97F4A7C15 + grain * 0x632BE59BD9B4E019) & _64_BITS
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _64_BITS
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _64_BITS
        return (mixed >> 40) % 2048 - 1024

    def _knot(self, grain: int, number: int) -> int:
        """The same number, remembered, as many hours share it."""
        value = self._knots.get((grain, number))
        if value is None:
            value = self._knots[grain, number] = self._noise(grain, number)
        return value

    def _wave(self, grain: int, at: int) -> int:
        """Noise that has a value every `grain` hours, counted from the origin, and runs in straight
        lines between them."""
        number, rest = divmod(at, grain)
        left, right = self._knot(grain, number), self._knot(grain, number + 1)
        return left + (right - left) * rest // grain

    def _middle(self, hour: int) -> int:
        """Middle price at a full hour."""
        value = self._middles.get(hour)
        if value is None:
            if len(self._middles) >= _KEPT_MIDDLES:
                self._middles.clear()
            at = hour - self._origin_hour
            wave = self._wave(240, at) * 8 + self._wave(24, at) * 4 + self._noise(1, at)
            value = self.profile.level + wave * self.profile.swing // (8 * 1024)
            value = self._middles[hour] = min(max(value, 20), ONE_DOLLAR - 20)
        return value

    def _edge(self, hour: int) -> tuple[int, int]:
        """Bid and ask at a full hour."""
        book = self._edges.get(hour)
        if book is None:
            if len(self._edges) >= _KEPT_MIDDLES:
                self._edges.clear()
            book = self._edges[hour] = self._make_edge(hour)
        return book

    def _make_edge(self, hour: int) -> tuple[int, int]:
        if hour * 60 <= self.profile.open_minute:
            return EMPTY_BOOK
        if self._noise(0, hour - self._origin_hour) < -1_004 and self.profile.pace.awake < 256:
            return EMPTY_BOOK
        middle, spread = self._middle(hour), self.profile.spread
        return self._grid.bid(middle - spread), self._grid.ask(middle + spread)

    def _span_of(self, minute: int) -> int:
        """The number of the span that a minute is in, which is negative before the origin."""
        return (minute - self.profile.origin_minute) // self.profile.pace.span

    def _span(self, number: int) -> list[_Deal]:
        """The traded minutes of a span, oldest first, as if the market never closed."""
        deals = self._spans.get(number)
        if deals is None:
            deals = self._spans[number] = self._make_span(number)
        return deals

    def _make_span(self, number: int) -> list[_Deal]:
        profile = self.profile
        span, average = profile.pace.span, profile.pace.trades
        if number < self._first_span or not average:
            return []
        start = profile.origin_minute + number * span
        # a market's first span begins when the market opens, and its trades are in the rest of it
        begin = max(start, profile.open_minute)
        length = start + span - begin
        noise = shake_128(profile.key + b"s%d" % number).digest(1 + 8 * 2 * average)
        count = 1 + noise[0] * (2 * average - 1) // 256
        draws: dict[int, bytes] = {}
        for at in range(1, 1 + 8 * count, 8):
            offset = int.from_bytes(noise[at : at + 2], "big") * length >> 16
            draws[offset] = noise[at + 2 : at + 8]
        done = self._traded_before(number)
        left = self._traded_before(number + 1) - done - len(draws)
        weight = sum(draw[0] ** 3 + 1 for draw in draws.values())
        so_far, total = 0, done
        deals: list[_Deal] = []
        for position, (offset, draw) in enumerate(sorted(draws.items()), 1):
            so_far += draw[0] ** 3 + 1
            after = done + left * so_far // weight + position
            deals.append(_Deal(begin + offset, draw, after - total, after))
            total = after
        return deals

    def _traded_before(self, number: int) -> int:
        """Contracts traded before a span begins."""
        size, known = self.profile.contracts_per_span, self.profile.contracts_at_origin
        more_or_less = self._noise(-1, number) * size // 4096
        if known is not None:
            return known + number * size + more_or_less
        spans = number - self._first_span
        return spans * size + more_or_less if spans > 0 else 0

    def _trade(self, deal: _Deal) -> Trade:
        """The prices of a minute with trades, which are at the bid or the ask of that minute."""
        minute, draw, volume, total = deal
        hour, rest = divmod(minute, 60)
        left, right = self._middle(hour), self._middle(hour + 1)
        middle = left + (right - left) * rest // 60 + (draw[1] - 128) * self.profile.spread // 128
        bid, ask = self._quotes(middle)
        if not bid:
            bid = ask
        if ask == ONE_DOLLAR:
            ask = bid
        opened = ask if draw[2] & 1 else bid
        closed = ask if draw[3] & 1 else bid
        mean = (opened * (draw[4] + 1) + closed * (256 - draw[4]) + 128) // 257
        high, low = (opened, closed) if opened > closed else (closed, opened)
        return Trade(minute, middle, opened, high, low, closed, mean, volume, total)

    def _trade_before(self, minute: int) -> Trade | None:
        """The last trade in a minute before `minute`."""
        minute = min(minute, self.profile.close_minute)
        number = self._span_of(minute - 1)
        for deals in (self._span(number), self._span(number - 1)):
            at = bisect_left(deals, (minute,))
            if at:
                return self._trade(deals[at - 1])
        return None

    def _trades_in(self, first: int, last: int) -> dict[int, Trade]:
        """The trades with first <= minute < last, by minute, as if the market never closed."""
        low, high = self._span_of(first), self._span_of(last - 1)
        found: dict[int, Trade] = {}
        for number in range(max(low, self._first_span), high + 1):
            deals = self._span(number)
            for deal in deals[bisect_left(deals, (first,)) : bisect_left(deals, (last,))]:
                found[deal.minute] = self._trade(deal)
        return found

    def _hour(self, hour: int) -> list[Candle]:
        candles = self._hours.get(hour)
        if candles is None:
            if len(self._hours) >= _KEPT_HOURS:
                self._hours.clear()
            candles = self._hours[hour] = self._make_hour(hour)
        return candles

    def _make_hour(self, hour: int) -> list[Candle]:
        steps = self._steps(hour)
        if not steps.minutes:
            return []
        bid_of, ask_of, spread = self._grid.bid, self._grid.ask, self.profile.spread
        bid, ask = self._edge(hour)
        bid_last, ask_last = self._end_of(hour, steps)
        last = steps.minutes[-1]
        before = self._trade_before(hour * 60)
        previous, held = (before.close, self.open_interest(before.total)) if before else (None, 0)
        candles: list[Candle] = []
        for minute, middle in zip(steps.minutes, steps.middles, strict=True):
            trade = steps.trades.get(minute)
            price, volume = _NO_TRADE, 0
            if trade is not None:
                price, volume = trade[2:7], trade.volume
                held = self.open_interest(trade.total)
            bid_now, ask_now = bid_of(middle - spread), ask_of(middle + spread)
            bid_low, bid_high = (bid, bid_now) if bid < bid_now else (bid_now, bid)
            ask_low, ask_high = (ask, ask_now) if ask < ask_now else (ask_now, ask)
            bid_open, ask_open, bid, ask = bid, ask, bid_now, ask_now
            if minute == last:
                bid, ask = bid_last, ask_last
                bid_low, bid_high = min(bid_low, bid), max(bid_high, bid)
                ask_low, ask_high = min(ask_low, ask), max(ask_high, ask)
            candles.append(
                Candle._make(
                    (
                        (minute + 1) * MINUTE,
                        *(bid_open, bid_high, bid_low, bid),
                        *(ask_open, ask_high, ask_low, ask),
                        *price,
                        previous,
                        volume,
                        held,
                    )
                )
            )
            if trade is not None:
                previous = trade.close
        return candles

    def _steps(self, hour: int) -> _Steps:
        """The minutes of an hour that have a candle, with the middle price in each."""
        base = hour * 60
        noise = shake_128(self.profile.key + b"h%d" % (hour - self._origin_hour)).digest(122)
        trades = self._trades_in(base, base + 60)
        minutes = self._moved(hour, noise, trades)
        closes = self.profile.close_minute
        is_cut = bool(minutes) and minutes[-1] > closes
        if closes < base + 60:
            minutes = [minute for minute in minutes if minute <= closes]
            trades = {minute: trade for minute, trade in trades.items() if minute < closes}
        if not minutes:
            return _STANDSTILL
        left, spread = self._middle(hour), self.profile.spread
        slope = self._middle(hour + 1) - left
        shift = 62 - base
        middles = [
            left + slope * (minute - base) // 60 + (noise[minute + shift] - 128) * spread // 128
            for minute in minutes
        ]
        for minute, trade in trades.items():
            middles[minutes.index(minute)] = trade.middle
        return _Steps(minutes, middles, trades, is_cut)

    def _end_of(self, hour: int, steps: _Steps) -> tuple[int, int]:
        """Bid and ask after the last candle of an hour: those with which the next hour begins,
        unless the market closed before that candle."""
        return self._quotes(steps.middles[-1]) if steps.is_cut else self._edge(hour + 1)

    def _moved(self, hour: int, noise: bytes, traded: Iterable[int]) -> list[int]:
        """The minutes of an hour in which the book or the tape moves, in order, as if the market
        never closed."""
        profile, base = self.profile, hour * 60
        first, last = max(base, profile.open_minute), base + 60
        random: list[int] = []
        if noise[60] < profile.pace.awake:
            active = profile.pace.active
            draws = noise[first - base : max(last - base, 0)]
            random = [minute for minute, draw in enumerate(draws, first) if draw < active]
        moved = {*traded, *random}
        if base <= profile.open_minute < base + 60:
            moved.add(profile.open_minute)
        if not moved and self._edge(hour) != self._edge(hour + 1):
            minute = base + noise[61] % 60
            if first <= minute < last:
                moved.add(minute)
        return sorted(moved)

    # Longer periods, without making their one-minute candles first

    def period(self, start: int, end: int) -> Candle | None:
        """The candle of a period of whole hours; the same as the roll-up of its minutes."""
        opened: tuple[int, int] | None = None
        closed = EMPTY_BOOK
        lows: list[tuple[int, int]] = []
        highs: list[tuple[int, int]] = []
        for hour in range(start // HOUR, end // HOUR):
            steps = self._steps(hour)
            if not steps.minutes:
                continue
            before, closed = self._edge(hour), self._end_of(hour, steps)
            opened = opened or before
            lows += (before, closed, self._quotes(min(steps.middles)))
            highs += (before, closed, self._quotes(max(steps.middles)))
        if opened is None:
            return None
        until = min(end // MINUTE, self.profile.close_minute)
        trades = list(self._trades_in(start // MINUTE, until).values())
        before_all = self._trade_before(start // MINUTE)
        latest = trades[-1] if trades else before_all
        return Candle._make(
            (
                end,
                opened[0],
                max(bid for bid, _ in highs),
                min(bid for bid, _ in lows),
                closed[0],
                opened[1],
                max(ask for _, ask in highs),
                min(ask for _, ask in lows),
                closed[1],
                *_price_of(trades),
                before_all.close if before_all else None,
                sum(trade.volume for trade in trades),
                self.open_interest(latest.total) if latest else 0,
            )
        )

    def _quotes(self, middle: int) -> tuple[int, int]:
        """Bid and ask around a middle price; both grow with it."""
        spread = self.profile.spread
        return self._grid.bid(middle - spread), self._grid.ask(middle + spread)


class _Deal(NamedTuple):
    """A minute with trades whose prices are not worked out yet."""

    minute: int
    draw: bytes
    volume: int
    total: int


class _Steps(NamedTuple):
    """What happens in an hour."""

    minutes: list[int]
    middles: list[int]
    trades: dict[int, Trade]
    is_cut: bool
    """Whether the market closed before the hour's last candle."""


_STANDSTILL = _Steps([], [], {}, False)
_Price = tuple[int | None, ...]
"""Open, high, low, close and mean."""

_NO_TRADE: _Price = (None, None, None, None, None)


def _price_of(trades: Sequence[Trade]) -> _Price:
    """The prices of a period with these trades."""
    if not trades:
        return _NO_TRADE
    return (
        trades[0].open,
        max(trade.high for trade in trades),
        min(trade.low for trade in trades),
        trades[-1].close,
        _mean([(trade.mean, trade.volume) for trade in trades]),
    )


def _mean(paid: Sequence[tuple[int, int]]) -> int:
    """The mean of (price, volume), weighted by volume, rounded half up to 1/10,000 dollars."""
    volume = sum(number for _, number in paid)
    return (2 * sum(price * number for price, number in paid) + volume) // (2 * volume)


def roll_up(candles: Sequence[Candle], end_ts: int) -> Candle:
    """A longer candle, made from the one-minute candles of its period."""
    first, last = candles[0], candles[-1]
    traded = [candle for candle in candles if candle.volume]
    price = _NO_TRADE
    if traded:
        price = (
            traded[0].price_open,
            max(candle.price_high or 0 for candle in traded),
            min(candle.price_low or 0 for candle in traded),
            traded[-1].price_close,
            _mean([(candle.price_mean or 0, candle.volume) for candle in traded]),
        )
    return Candle._make(
        (
            end_ts,
            first.bid_open,
            max(candle.bid_high for candle in candles),
            min(candle.bid_low for candle in candles),
            last.bid_close,
            first.ask_open,
            max(candle.ask_high for candle in candles),
            min(candle.ask_low for candle in candles),
            last.ask_close,
            *price,
            first.previous,
            sum(candle.volume for candle in traded),
            last.open_interest,
        )
    )


def period_ends(period: int, first: int, last: int) -> list[int]:
    """The ends, within [first, last], of the periods of 1, 60 or 1440 minutes.

    Daily periods end at midnight in New York (docs/kalshi_api.md, 2.9).
    """
    if period == 1440:
        return _midnights(first, last)
    length = period * MINUTE
    return list(range(-(-first // length) * length, last + 1, length))


def period_start(period: int, end_ts: int) -> int:
    """The end of the period before the one that ends at `end_ts`."""
    if period != 1440:
        return end_ts - period * MINUTE
    return _midnights(end_ts - 26 * HOUR, end_ts - 1)[-1]


def _midnights(first: int, last: int) -> list[int]:
    day = datetime.fromtimestamp(first, UTC).date() - timedelta(days=1)
    ends: list[int] = []
    while (end := _midnight(day)) <= last:
        if end >= first:
            ends.append(end)
        day += timedelta(days=1)
    return ends


def _midnight(day: date) -> int:
    """Unix time of the beginning of a day in New York."""
    if _NEW_YORK is not None:
        return int(datetime(day.year, day.month, day.day, tzinfo=_NEW_YORK).timestamp())
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    return midnight + (4 if _is_summer(day) else 5) * HOUR


def _is_summer(day: date) -> bool:
    """Whether daylight saving time holds when a day begins (United States, since 2007)."""
    march = date(day.year, 3, 8)
    november = date(day.year, 11, 1)
    begin = march + timedelta(days=(6 - march.weekday()) % 7)
    end = november + timedelta(days=(6 - november.weekday()) % 7)
    return begin < day <= end


def _new_york() -> ZoneInfo | None:
    # A small container image may have no database of time zones.
    try:
        return ZoneInfo("America/New_York")
    except ZoneInfoNotFoundError:
        return None


_NEW_YORK = _new_york()
