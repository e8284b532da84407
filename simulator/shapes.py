"""How series, events, markets and candles are written in answers, in each era and tier.

live: fixed-point strings alone (docs/kalshi_api.md, 2.1, 2.4, 2.9); legacy, as in January 2026:
strings, and beside them integers cut from the dollars (3.2, 3.3); historical: candles whose fields
are strings and have no suffix (2.12).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from .candles import Candle
from .model import SECOND, Era, Event, Market, Quote, Series, Source
from .prices import DOLLARS, ONE_DOLLAR, PRICE_STRUCTURES, contracts

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

CandleText = Callable[[Candle], str]


def dumps(value: object) -> str:
    """JSON as Kalshi writes it: sorted keys, no spaces, letters not escaped."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@lru_cache(maxsize=65_536)
def rfc3339(micros: int) -> str:
    """A time in UTC with the trailing zeros of its fraction cut (docs/kalshi_api.md, 5.3)."""
    seconds, fraction = divmod(micros, SECOND)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    return text + (f".{fraction:06d}".rstrip("0") if fraction else "") + "Z"


# Series and events


def series_object(series: Series, era: Era) -> dict[str, object]:
    """A series (docs/kalshi_api.md, 2.10)."""
    found: dict[str, object] = {
        "additional_prohibitions": _list(series.prohibitions),
        "category": series.category,
        "contract_terms_url": f"https://www.example.org/terms/{series.ticker}.pdf",
        "contract_url": f"https://www.example.org/certifications/{series.ticker}.pdf",
        "fee_multiplier": series.fee_multiplier,
        "fee_type": series.fee_type,
        "frequency": series.frequency,
        "settlement_sources": _sources(series.sources),
        "tags": _list(series.tags),
        "ticker": series.ticker,
        "title": series.title,
    }
    if era == "live":
        found["categories"] = [series.category]
        found["exchange_index"] = series.exchange_index
        found["last_updated_ts"] = rfc3339(series.updated)
    return found


def _list(items: Sequence[str] | None) -> list[str] | None:
    return None if items is None else list(items)


def _sources(sources: Sequence[Source] | None) -> list[dict[str, str]] | None:
    if sources is None:
        return None
    return [{"name": source.name, "url": source.url} for source in sources]


def event_object(event: Event, era: Era) -> dict[str, object]:
    """An event without its markets (docs/kalshi_api.md, 2.1)."""
    found: dict[str, object] = {
        "category": event.category,
        "collateral_return_type": event.collateral_return_type,
        "event_ticker": event.event_ticker,
        "mutually_exclusive": event.mutually_exclusive,
        "series_ticker": event.series_ticker,
        "strike_period": event.strike_period,
        "sub_title": event.sub_title,
        "title": event.title,
    }
    if event.strike_date is not None:
        found["strike_date"] = rfc3339(event.strike_date)
    if era == "legacy":
        found["available_on_brokers"] = event.available_on_brokers
        return found
    found["exchange_index"] = event.exchange_index
    found["last_updated_ts"] = rfc3339(event.updated)
    found["settlement_sources"] = _sources(event.sources)
    if event.metadata is not None:
        found["product_metadata"] = event.metadata
    return found


# Markets


def market_object(
    market: Market, quote: Quote, status: str, era: Era, *, listed: bool = False
) -> dict[str, object]:
    """A market (docs/kalshi_api.md, 2.4). `listed` means in an answer of /markets, where it has one
    key more."""
    found: dict[str, object] = {
        "can_close_early": market.can_close_early,
        "close_time": rfc3339(market.closes),
        "created_time": rfc3339(market.created),
        "event_ticker": market.event_ticker,
        "expected_expiration_time": rfc3339(market.expected_expiration),
        "expiration_time": rfc3339(market.latest_expiration),
        "expiration_value": market.expiration_value,
        "latest_expiration_time": rfc3339(market.latest_expiration),
        "market_type": market.market_type,
        "no_sub_title": market.no_sub_title,
        "open_time": rfc3339(market.opens),
        "price_level_structure": market.price_structure,
        "price_ranges": _PRICE_RANGES[market.price_structure],
        "result": market.result,
        "rules_primary": market.rules_primary,
        "rules_secondary": market.rules_secondary,
        "settlement_timer_seconds": market.settlement_timer_seconds,
        "status": status,
        "ticker": market.ticker,
        "title": market.title,
        "yes_sub_title": market.yes_sub_title,
    }
    found.update(_prices(market, quote))
    found.update(_optional(market, listed))
    if era == "legacy":
        _add_legacy(found, market, quote)
    else:
        _add_live(found, market, quote)
    return found


_PRICE_RANGES = {
    name: [
        {"end": DOLLARS[end], "start": DOLLARS[start], "step": DOLLARS[step]}
        for start, end, step in ranges
    ]
    for name, ranges in PRICE_STRUCTURES.items()
}


def _cents(market: Market, quote: Quote) -> dict[str, int]:
    """The prices of a market under the names that had integers before March 2026."""
    found = {
        "last_price": quote.last_price,
        "no_ask": ONE_DOLLAR - quote.yes_bid,
        "no_bid": ONE_DOLLAR - quote.yes_ask,
        "notional_value": ONE_DOLLAR,
        "previous_price": quote.previous_price,
        "previous_yes_ask": quote.previous_yes_ask,
        "previous_yes_bid": quote.previous_yes_bid,
        "yes_ask": quote.yes_ask,
        "yes_bid": quote.yes_bid,
    }
    if market.settlement_value is not None:
        found["settlement_value"] = market.settlement_value
    return found


def _counts(quote: Quote) -> dict[str, int]:
    return {
        "open_interest": quote.open_interest,
        "volume": quote.volume,
        "volume_24h": quote.volume_24h,
    }


def _prices(market: Market, quote: Quote) -> dict[str, object]:
    found: dict[str, object] = {
        f"{name}_dollars": DOLLARS[price] for name, price in _cents(market, quote).items()
    }
    for name, number in _counts(quote).items():
        found[f"{name}_fp"] = contracts(number)
    return found


def _optional(market: Market, listed: bool) -> dict[str, object]:
    """The keys that are left out when they have no value (docs/kalshi_api.md, 5.4)."""
    found: dict[str, object] = {
        "cap_strike": market.cap_strike,
        "custom_strike": market.custom_strike,
        "early_close_condition": market.early_close_condition,
        "floor_strike": market.floor_strike,
        "mve_collection_ticker": market.collection_ticker,
        "settlement_ts": None if market.settled is None else rfc3339(market.settled),
        "strike_type": market.strike_type,
        "subtitle": market.subtitle,
    }
    if market.legs:
        found["mve_selected_legs"] = [
            {"event_ticker": leg.event_ticker, "market_ticker": leg.market_ticker, "side": leg.side}
            for leg in market.legs
        ]
    if market.is_provisional:
        found["is_provisional"] = True
    if listed:
        found["primary_participant_key"] = market.participant_key
    return {key: value for key, value in found.items() if value is not None}


def _add_live(found: dict[str, object], market: Market, quote: Quote) -> None:
    found["exchange_index"] = market.exchange_index
    found["settlement_bounds_type"] = "default"
    found["updated_time"] = rfc3339(market.updated)
    found["yes_ask_size_fp"] = contracts(quote.yes_ask_size)
    found["yes_bid_size_fp"] = contracts(quote.yes_bid_size)
    if market.occurrence is not None:
        found["occurrence_datetime"] = rfc3339(market.occurrence)


def _add_legacy(found: dict[str, object], market: Market, quote: Quote) -> None:
    # Integers are the dollars and contracts cut, not rounded (docs/kalshi_api.md, 3.2).
    found.update((name, price // 100) for name, price in _cents(market, quote).items())
    found.update((name, number // 100) for name, number in _counts(quote).items())
    found["liquidity"] = quote.liquidity
    found["liquidity_dollars"] = f"{quote.liquidity // 100}.{quote.liquidity % 100:02d}00"
    found["response_price_units"] = "usd_cent"
    found["subtitle"] = market.subtitle or ""
    found["tick_size"] = 1


# Candles. They are written as text directly, which is quicker, as benchmarks ask for millions.


def candle_list(candles: Sequence[Candle], shape: CandleText) -> str:
    """A JSON array of candles."""
    return "[" + ",".join(map(shape, candles)) + "]"


def live_candle(c: Candle) -> str:
    """A candle of the live tier since March 2026 (docs/kalshi_api.md, 2.9)."""
    return (
        f'{{"end_period_ts":{c.end_ts},"open_interest_fp":"{contracts(c.open_interest)}",'
        f'"price":{{{_live_price(c)}}},"volume_fp":"{contracts(c.volume)}",'
        f'"yes_ask":{{"close_dollars":"{DOLLARS[c.ask_close]}",'
        f'"high_dollars":"{DOLLARS[c.ask_high]}","low_dollars":"{DOLLARS[c.ask_low]}",'
        f'"open_dollars":"{DOLLARS[c.ask_open]}"}},'
        f'"yes_bid":{{"close_dollars":"{DOLLARS[c.bid_close]}",'
        f'"high_dollars":"{DOLLARS[c.bid_high]}","low_dollars":"{DOLLARS[c.bid_low]}",'
        f'"open_dollars":"{DOLLARS[c.bid_open]}"}}}}'
    )


def _live_price(c: Candle) -> str:
    """The members of `price`: none before the first trade, `previous` alone when nothing traded."""
    traded = ""
    if c.price_close is not None:
        traded = (
            f'"close_dollars":"{_dollars(c.price_close)}","high_dollars":"{_dollars(c.price_high)}",'
            f'"low_dollars":"{_dollars(c.price_low)}","mean_dollars":"{_dollars(c.price_mean)}",'
            f'"open_dollars":"{_dollars(c.price_open)}"'
        )
    if c.previous is None:
        return traded
    return f'{traded}{"," if traded else ""}"previous_dollars":"{DOLLARS[c.previous]}"'


def _dollars(price: int | None) -> str:
    return DOLLARS[price or 0]


def historical_candle(c: Candle) -> str:
    """A candle of the historical tier: dollars in strings without suffix, nulls kept."""
    return dumps(
        {
            "end_period_ts": c.end_ts,
            "open_interest": contracts(c.open_interest),
            "price": {name: _maybe_dollars(price) for name, price in _price(c).items()},
            "volume": contracts(c.volume),
            "yes_ask": {name: DOLLARS[price] for name, price in _ask(c).items()},
            "yes_bid": {name: DOLLARS[price] for name, price in _bid(c).items()},
        }
    )


def legacy_candle(c: Candle) -> str:
    """A candle of January 2026: cents, counts and their strings (docs/kalshi_api.md, 3.3)."""
    price: dict[str, object] = {"max": None, "min": None}
    for name, value in _price(c).items():
        price[name] = None if value is None else value // 100
        if value is not None:
            price[f"{name}_dollars"] = DOLLARS[value]
    return dumps(
        {
            "end_period_ts": c.end_ts,
            "open_interest": c.open_interest // 100,
            "open_interest_fp": contracts(c.open_interest),
            "price": price,
            "volume": c.volume // 100,
            "volume_fp": contracts(c.volume),
            "yes_ask": _both(_ask(c)),
            "yes_bid": _both(_bid(c)),
        }
    )


def _both(prices: dict[str, int]) -> dict[str, object]:
    found: dict[str, object] = {name: price // 100 for name, price in prices.items()}
    found.update((f"{name}_dollars", DOLLARS[price]) for name, price in prices.items())
    return found


def _maybe_dollars(price: int | None) -> str | None:
    return None if price is None else DOLLARS[price]


def _price(c: Candle) -> dict[str, int | None]:
    return {
        "close": c.price_close,
        "high": c.price_high,
        "low": c.price_low,
        "mean": c.price_mean,
        "open": c.price_open,
        "previous": c.previous,
    }


def _ask(c: Candle) -> dict[str, int]:
    return {"close": c.ask_close, "high": c.ask_high, "low": c.ask_low, "open": c.ask_open}


def _bid(c: Candle) -> dict[str, int]:
    return {"close": c.bid_close, "high": c.bid_high, "low": c.bid_low, "open": c.bid_open}


def synthetic(candle: Candle, end_ts: int) -> Candle:
    """The candle that include_latest_before_start puts first (docs/kalshi_api.md, 2.6).

    How Kalshi writes it is not known. This one has the last quotes of the real candle throughout,
    no trade, and the real candle's last price as `previous`.
    """
    bid, ask = candle.bid_close, candle.ask_close
    previous = candle.previous if candle.price_close is None else candle.price_close
    return Candle(
        end_ts, bid, bid, bid, bid, ask, ask, ask, ask,
        None, None, None, None, None, previous, 0, candle.open_interest,
    )  # fmt: skip
