"""The event this project was asked for, with the values its notebook shows (January 2026)."""

from __future__ import annotations

from datetime import UTC, datetime

from .model import SECOND, ZERO_TIME, Event, Market, Quote, Series, Source

EVENT_TICKER = "KXPRESPERSON-28"
SERIES_TICKER = "KXPRESPERSON"


def _time(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


SEEN_AT = _time("2026-01-27T14:00:00") // SECOND
"""When the notebook's values were seen, in Unix seconds."""

_OPENS = _time("2025-05-10T14:00:00")
_CLOSES = _time("2029-11-07T15:00:00")
_EXPECTED = _time("2029-01-21T15:00:00")

_SOURCES = (Source("The White House", "https://www.whitehouse.gov"),)

SERIES = Series(
    ticker=SERIES_TICKER,
    title="Next U.S. president",
    category="Elections",
    frequency="one_off",
    updated=_OPENS,
    tags=("US Elections",),
    sources=_SOURCES,
)

EVENT = Event(
    event_ticker=EVENT_TICKER,
    series_ticker=SERIES_TICKER,
    title="Next U.S. Presidential Election Winner?",
    sub_title="In 2028",
    category="Elections",
    updated=_OPENS,
    expiration=_CLOSES,
    collateral_return_type="MECNET",
    sources=_SOURCES,
    available_on_brokers=True,
)

# suffix, candidate, party, last price, yes bid, yes ask (cents), liquidity (cents),
# open interest, volume, volume of 24 hours (contracts)
_ROWS = (
    ("GNEWS", "Gavin Newsom", "Democratic", 20, 19, 20, 1687788542, 637079, 1064135, 11869),
    ("AOCA", "Alexandria Ocasio-Cortez", "Democratic", 6, 5, 6, 1618018807, 459607, 561405, 1579),
    ("PBUT", "Pete Buttigieg", "Democratic", 4, 3, 4, 1636308945, 271676, 334697, 4729),
    ("JSHA", "Josh Shapiro", "Democratic", 4, 3, 4, 1623454560, 327390, 354921, 5842),
    ("KHAR", "Kamala Harris", "Democratic", 3, 2, 3, 1452795617, 498028, 562904, 3121),
    ("WMOO", "Wes Moore", "Democratic", 3, 2, 3, 1616357273, 175774, 253223, 905),
    ("SSMI", "Stephen A. Smith", "Unknown", 1, 0, 1, 1571123549, 189473, 189973, 85),
    ("GWHI", "Gretchen Whitmer", "Democratic", 3, 2, 3, 1614748413, 277124, 312970, 0),
    ("ABES", "Andy Beshear", "Democratic", 3, 2, 3, 1392765186, 236684, 268630, 888),
    ("JPRI", "J.B. Pritzker", "Democratic", 3, 2, 3, 1618593126, 555637, 594056, 435),
)


def _market(
    suffix: str,
    name: str,
    party: str,
    last: int,
    bid: int,
    ask: int,
    liquidity: int,
    open_interest: int,
    volume: int,
    volume_24h: int,
) -> Market:
    return Market(
        ticker=f"{EVENT_TICKER}-{suffix}",
        event_ticker=EVENT_TICKER,
        series_ticker=SERIES_TICKER,
        title="Who will win the next presidential election?",
        subtitle=f":: {party}",
        yes_sub_title=name,
        no_sub_title=name,
        created=ZERO_TIME,
        updated=_OPENS,
        opens=_OPENS,
        closes=_CLOSES,
        expected_expiration=_EXPECTED,
        latest_expiration=_CLOSES,
        early_close_condition=(
            "This market will close and expire after a person has been inaugurated as President"
            " pursuant to the next presidential election."
        ),
        # The notebook cuts this sentence after "inaugurated"; the rest is ours.
        rules_primary=(
            f"If {name} is the next person inaugurated as President of the United States pursuant"
            " to the next presidential election, then the market resolves to Yes."
        ),
        strike_type="custom",
        custom_strike={"Pres candidate": name},
        pace="lively" if last > 10 else "steady",
        level=last * 100 - 50,
        quote=Quote(
            yes_bid=bid * 100,
            yes_ask=ask * 100,
            last_price=last * 100,
            previous_yes_bid=0,
            previous_yes_ask=0,
            previous_price=0,
            volume=volume * 100,
            volume_24h=volume_24h * 100,
            open_interest=open_interest * 100,
            yes_bid_size=100_000 if bid else 0,
            yes_ask_size=100_000,
            liquidity=liquidity,
        ),
    )


MARKETS: tuple[Market, ...] = tuple(_market(*row) for row in _ROWS)
