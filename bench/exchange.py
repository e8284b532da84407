"""An exchange of any size, in memory, on which every day is the same.

Fifty different days of candles ("tapes") are prepared as bytes, and every market has one of them,
so 105,000 markets take no more memory than their tickers. A tape repeats every day, so any 24 hours
have the same number of candles, whatever the time is. All of it follows from the size and the seed.
"""

import random
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MINUTE = 60
DAY_MINUTES = 1440

TAPES = 50
"""How many different days of candles there are. Of 105,000 markets each has the same number."""

TRADED = 0.03
"""Share of the candles that have a trade: about 97 % have none (docs/kalshi_api.md, 2.9)."""

SPREAD_OF_ACTIVITY = 1.2
"""Standard deviation of the logarithm of the number of candles on a tape, by which few markets have
most of the candles."""

CACHED_SLICES = 20_000


@dataclass(frozen=True)
class Size:
    """How big an exchange is. The defaults are Kalshi's without combos (docs/kalshi_api.md, 7)."""

    markets: int = 105_000
    events: int = 11_000
    series: int = 3_700
    """Series with open events."""
    all_series: int = 14_000
    """Series in the list of all."""
    candles_a_day: int = 60
    """1-minute candles of a market in 24 hours, on average."""

    def part(self, fraction: float) -> "Size":
        """The same exchange with a fraction of its markets, events and series."""

        def cut(number: int) -> int:
            return max(1, round(number * fraction))

        # a multiple of the number of tapes: each is then used equally often, and the number of
        # candles is exact
        markets = max(1, round(self.markets * fraction / TAPES)) * TAPES
        return Size(
            markets,
            min(cut(self.events), markets),
            cut(self.series),
            cut(self.all_series),
            self.candles_a_day,
        )


@dataclass(frozen=True)
class Slice:
    """A stretch of a tape: the elements of a JSON array, and how many of them there are."""

    candles: int
    body: bytes


class Tape:
    """A day of candles: for each minute that has one, its JSON from after the time on."""

    def __init__(self, chance: random.Random, candles: int) -> None:
        self.minutes = sorted(chance.sample(range(DAY_MINUTES), candles))
        self._rests = list(_rests(chance, candles))

    def between(self, first: int, last: int) -> Slice:
        """The candles whose periods end in [first, last], minutes since 1970."""
        found = []
        for day in range(first // DAY_MINUTES, last // DAY_MINUTES + 1):
            midnight = day * DAY_MINUTES
            begin = bisect_left(self.minutes, first - midnight)
            end = bisect_right(self.minutes, last - midnight)
            for minute, rest in zip(self.minutes[begin:end], self._rests[begin:end], strict=True):
                found.append(b'{"end_period_ts":%d,%s' % ((midnight + minute) * MINUTE, rest))
        return Slice(len(found), b",".join(found))


class Exchange:
    """Series, events, markets and candles, as bytes of the live era's JSON.

    All markets are open at `now`, and have no candles after `quiet_from`, both in Unix seconds.
    """

    def __init__(
        self, size: Size, *, now: int, seed: int = 0, quiet_from: int | None = None
    ) -> None:
        self.size = size
        self._seed = seed
        self._last = None if quiet_from is None else quiet_from // MINUTE
        self._slices: dict[tuple[int, int, int], Slice] = {}
        chance = random.Random(seed)
        self._tapes = [Tape(chance, candles) for candles in _activities(chance, size.candles_a_day)]
        self.tickers = [self._market_ticker(number) for number in range(size.markets)]
        self.numbers = {ticker: number for number, ticker in enumerate(self.tickers)}
        self.event_numbers = {self.event_ticker(n): n for n in range(size.events)}
        self.series_numbers = {series_ticker(n): n for n in range(size.all_series)}
        self._times = _times(now)

    def candles(self, market: int, start: int, end: int) -> Slice:
        """A market's 1-minute candles whose periods end in [start, end], Unix seconds."""
        first, last = -(-start // MINUTE), end // MINUTE
        if self._last is not None:
            last = min(last, self._last)
        key = (market % TAPES, first, last)
        if key not in self._slices:
            if len(self._slices) >= CACHED_SLICES:
                self._slices.clear()
            self._slices[key] = self._tapes[key[0]].between(first, last)
        return self._slices[key]

    def candles_a_day(self) -> int:
        """1-minute candles of the whole exchange in any 24 hours."""
        size = self.size
        return sum(len(self._tapes[number % TAPES].minutes) for number in range(size.markets))

    def event_ticker(self, event: int) -> str:
        return f"{series_ticker(self.series_of(event))}-26NOV{event:05d}"

    def series_of(self, event: int) -> int:
        return event * self.size.series // self.size.events

    def event_of(self, market: int) -> int:
        return market * self.size.events // self.size.markets

    def markets_of(self, event: int) -> range:
        markets, events = self.size.markets, self.size.events
        return range(-(-event * markets // events), -(-(event + 1) * markets // events))

    def _market_ticker(self, market: int) -> str:
        event = self.event_of(market)
        return f"{self.event_ticker(event)}-T{market - self.markets_of(event).start:02d}"

    def event(self, event: int, *, nested: bool) -> bytes:
        """An event object (docs/kalshi_api.md, 2.1)."""
        ticker = self.event_ticker(event).encode()
        series = series_ticker(self.series_of(event)).encode()
        markets = b",".join(map(self.market, self.markets_of(event))) if nested else b""
        return EVENT % {
            b"ticker": ticker,
            b"series": series,
            b"number": event,
            b"markets": b'"markets":[' + markets + b"]," if nested else b"",
            **self._times,
        }

    def market(self, market: int) -> bytes:
        """A market object of about 2 kB (docs/kalshi_api.md, 2.4)."""
        chance = random.Random(self._seed * 1_000_003 + market)
        event = self.event_of(market)
        bid = chance.randint(1, 97)
        ask = bid + chance.randint(1, 2)
        return MARKET % {
            b"ticker": self.tickers[market].encode(),
            b"event": self.event_ticker(event).encode(),
            b"number": event,
            b"strike": market - self.markets_of(event).start,
            b"yes_bid": _dollars(bid),
            b"yes_ask": _dollars(ask),
            b"no_bid": _dollars(100 - ask),
            b"no_ask": _dollars(100 - bid),
            b"last": _dollars(chance.choice((bid, ask))),
            b"size": chance.randint(1, 9_999),
            b"volume": chance.randint(0, 99_999),
            **self._times,
        }

    def cutoff(self) -> bytes:
        """The answer of /historical/cutoff (docs/kalshi_api.md, 2.12)."""
        return CUTOFF % self._times

    def series(self, series: int) -> bytes:
        """A series object of about 1.3 kB (docs/kalshi_api.md, 2.10)."""
        return SERIES % {
            b"ticker": series_ticker(series).encode(),
            b"number": series,
            **self._times,
        }


def series_ticker(series: int) -> str:
    return f"KXBENCH{series:05d}"


def _activities(chance: random.Random, mean: int) -> list[int]:
    """The number of candles of each tape, whose mean is exactly `mean`."""
    weights = [chance.lognormvariate(0, SPREAD_OF_ACTIVITY) for _ in range(TAPES)]
    total = mean * TAPES
    found = [min(DAY_MINUTES, int(total * weight / sum(weights))) for weight in weights]
    tape = 0
    while sum(found) < total:
        # the candles that rounding down has lost are given to the tapes in turn
        found[tape % TAPES] += found[tape % TAPES] < DAY_MINUTES
        tape += 1
    return found


def _rests(chance: random.Random, candles: int) -> list[bytes]:
    """Candles of a random walk of quotes, each as its JSON from after `end_period_ts` on."""
    # every tenth tape has ticks of a tenth of a cent (docs/kalshi_api.md, 3.4), the others whole
    # cents
    tick = 10 if chance.random() < 0.1 else 100
    bid = chance.randrange(1, 9_500 // tick) * tick
    interest = chance.randint(0, 5_000_000)
    last = bid
    found = []
    for _ in range(candles):
        opened = bid
        bid = min(max(bid + chance.choice((-2, -1, 0, 0, 0, 1, 2)) * tick, 0), 9_800)
        spread = chance.randint(1, 3) * tick if tick == 100 else chance.randint(1, 30) * tick
        volume = 0
        price = b'"previous_dollars":"%s"' % _exact(last)
        if chance.random() < TRADED:
            volume = chance.randint(1, 500_00)
            interest += volume // 2
            price = _price(min(opened, bid) + tick, max(opened, bid) + tick, last)
            last = max(opened, bid) + tick
        found.append(
            CANDLE
            % {
                b"interest": b"%d.%02d" % divmod(interest, 100),
                b"price": price,
                b"volume": b"%d.%02d" % divmod(volume, 100),
                b"ask": _quote(opened + spread, bid + spread),
                b"bid": _quote(opened, bid),
            }
        )
    return found


def _quote(opened: int, closed: int) -> bytes:
    return QUOTE % (
        _exact(closed),
        _exact(max(opened, closed)),
        _exact(min(opened, closed)),
        _exact(opened),
    )


def _price(low: int, high: int, previous: int) -> bytes:
    return TRADE % (
        _exact(high),
        _exact(high),
        _exact(low),
        _exact((low + high) // 2),
        _exact(low),
        _exact(previous),
    )


def _exact(ten_thousandths: int) -> bytes:
    """Dollars with four decimals."""
    return b"%d.%04d" % divmod(min(ten_thousandths, 10_000), 10_000)


def _dollars(cents: int) -> bytes:
    return _exact(cents * 100)


def _times(now: int) -> dict[bytes, bytes]:
    """The times that all objects share: the markets opened 30 days ago and close in 44 days."""

    def at(days: float) -> bytes:
        moment = datetime.fromtimestamp(now // 86_400 * 86_400, UTC) + timedelta(days=days)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ").encode()

    return {
        b"created": at(-30.5),
        b"opened": at(-30),
        b"updated": at(-29),
        b"expected": at(30),
        b"closes": at(44),
        b"cutoff": at(-60),
    }


CANDLE = (
    b'"open_interest_fp":"%(interest)s","price":{%(price)s},"volume_fp":"%(volume)s",'
    b'"yes_ask":{%(ask)s},"yes_bid":{%(bid)s}}'
)
QUOTE = b'"close_dollars":"%s","high_dollars":"%s","low_dollars":"%s","open_dollars":"%s"'
TRADE = (
    b'"close_dollars":"%s","high_dollars":"%s","low_dollars":"%s","mean_dollars":"%s",'
    b'"open_dollars":"%s","previous_dollars":"%s"'
)

MARKET = (
    b'{"can_close_early":true,"close_time":"%(closes)s","created_time":"%(created)s",'
    b'"custom_strike":{"contender":"00000000-0000-4000-8000-%(number)06d%(strike)06d"},'
    b'"early_close_condition":"This market closes as soon as question %(number)d is answered.",'
    b'"event_ticker":"%(event)s","exchange_index":0,"expected_expiration_time":"%(expected)s",'
    b'"expiration_time":"%(closes)s","expiration_value":"","floor_strike":%(strike)d.5,'
    b'"last_price_dollars":"%(last)s","latest_expiration_time":"%(closes)s",'
    b'"market_type":"binary","no_ask_dollars":"%(no_ask)s","no_bid_dollars":"%(no_bid)s",'
    b'"no_sub_title":"Contender %(strike)d","notional_value_dollars":"1.0000",'
    b'"occurrence_datetime":"%(expected)s","open_interest_fp":"%(volume)d.50",'
    b'"open_time":"%(opened)s","previous_price_dollars":"%(last)s",'
    b'"previous_yes_ask_dollars":"%(yes_ask)s","previous_yes_bid_dollars":"%(yes_bid)s",'
    b'"price_level_structure":"linear_cent",'
    b'"price_ranges":[{"end":"1.0000","start":"0.0000","step":"0.0100"}],"result":"",'
    b'"rules_primary":"If contender %(strike)d comes out ahead in question %(number)d of the '
    b'benchmark, as planned for %(expected)s, then the market resolves to Yes.",'
    b'"rules_secondary":"This market is about who comes out ahead in question %(number)d. Should '
    b"two contenders finish level, each of them pays half a dollar. A question that is put off for "
    b"less than two days stays open, and counts with its final answer; one that is put off for "
    b"longer, or is never asked, pays what the book showed last.\\n\\nNothing in here happens "
    b"outside of this machine: names, prices and times are made up from a seed, and come out the "
    b'same whenever the same seed is given.",'
    b'"settlement_bounds_type":"default","settlement_timer_seconds":60,"status":"active",'
    b'"strike_type":"structured","subtitle":"Contender %(strike)d","ticker":"%(ticker)s",'
    b'"title":"Will contender %(strike)d come out ahead in question %(number)d?",'
    b'"updated_time":"%(updated)s","volume_24h_fp":"%(size)d.25","volume_fp":"%(volume)d.75",'
    b'"yes_ask_dollars":"%(yes_ask)s","yes_ask_size_fp":"%(size)d.00",'
    b'"yes_bid_dollars":"%(yes_bid)s","yes_bid_size_fp":"%(size)d.50",'
    b'"yes_sub_title":"Contender %(strike)d"}'
)

EVENT = (
    b'{"category":"Sports","collateral_return_type":"MECNET","event_ticker":"%(ticker)s",'
    b'"exchange_index":0,"last_updated_ts":"%(updated)s",%(markets)s"mutually_exclusive":true,'
    b'"product_metadata":{"competition":"Benchmark","competition_scope":"Question"},'
    b'"series_ticker":"%(series)s",'
    b'"settlement_sources":[{"name":"The seed","url":"https://www.example.org/seed"}],'
    b'"strike_period":"","sub_title":"Question %(number)d","title":"Who wins %(number)d?"}'
)

CUTOFF = (
    b'{"market_positions_last_updated_ts":"%(cutoff)s","market_settled_ts":"%(cutoff)s",'
    b'"orders_updated_ts":"%(cutoff)s","trades_created_ts":"%(cutoff)s"}'
)

SERIES = (
    b'{"additional_prohibitions":["Whoever knows the answer to question %(number)d beforehand.",'
    b'"Whoever sets the seed, and whoever works with them or lives in the same household.",'
    b'"Employees of the source that settles the market, and of those that it relies upon.",'
    b'"Holders of information that is not public and that bears on what the outcome will be."],'
    b'"categories":["Sports"],"category":"Sports",'
    b'"contract_terms_url":"https://www.example.org/terms/%(ticker)s.pdf",'
    b'"contract_url":"https://www.example.org/certifications/%(ticker)s.pdf",'
    b'"exchange_index":0,"fee_multiplier":1,"fee_type":"quadratic","frequency":"custom",'
    b'"last_updated_ts":"%(updated)s",'
    b'"product_metadata":null,'
    b'"settlement_sources":[{"name":"The seed","url":"https://www.example.org/seed"},'
    b'{"name":"The second seed","url":"https://www.example.org/second"},'
    b'{"name":"The third seed","url":"https://www.example.org/third"}],'
    b'"tags":["Benchmark","Question"],"ticker":"%(ticker)s","title":"Question %(number)d"}'
)
