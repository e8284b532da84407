"""Invented series, events and markets in any number. The same arguments make the same ones.

Made in another hour, their times, and the dates in their texts and tickers, differ by as much.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from random import Random
from uuid import UUID

from .model import DAY, SECOND, Event, Leg, Market, Quote, Series, Source
from .prices import ONE_DOLLAR

HOUR = 3_600 * SECOND
MINUTE = 60 * SECOND

EVENTS_PER_SERIES = 20


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """The texts and the form of a sort of series, with its events and markets.

    In the texts {name} stands for who or what, {strike} for the number, and {date}.
    """

    ticker: str
    title: str
    category: str
    event: str
    market: str
    strike: str | None
    names: tuple[str, ...] = ()
    custom_key: str = ""
    structure: str = "linear_cent"
    frequency: str = "weekly"
    tags: tuple[str, ...] | None = None
    step: float = 0.1
    start: float = 1
    unit: str = ""
    metadata: dict[str, object] | None = None
    mecnet: bool = False


_PLAYERS = ("José Ramírez", "Ronald Acuña Jr.", "Shohei Ohtani", "Bobby Witt Jr.", "Ketel Marte")
_CLUBS = ("Bodø/Glimt", "Atlético Madrid", "København", "Beşiktaş", "Saint-Étienne")
_FILMS = (
    "Amélie\u2019s Return",
    "The Queen's Gambit",
    "L\u2019Été sans fin",
    "Noël \u2013 Part Two",
)

KINDS: tuple[Kind, ...] = (
    Kind(
        "KXSIMU3", "Unemployment", "Economics", "Unemployment in {date}",
        "Will the unemployment rate be above {strike}% in {date}?", "greater",
        frequency="monthly", tags=("Jobs & Economy",), start=4.5, unit="%",
        metadata={"important_info": None},
    ),
    Kind(
        "KXSIMUCL", "Continental cup match", "Sports", "Continental cup: who wins on {date}?",
        "Will {name} win on {date}?", "structured", _CLUBS, "soccer_team", tags=("Soccer",),
        structure="center_half_edge_deci_cent",
        metadata={"competition": "Continental Cup", "competition_scope": "Game"},
    ),
    Kind(
        "KXSIMMLB", "Baseball player of the week", "Sports", "Who will be player of the week?",
        "Will {name} be the player of the week of {date}?", "structured", _PLAYERS,
        "baseball_player", tags=("Baseball",), mecnet=True,
        metadata={"competition": "Pro Baseball", "competition_scope": "Awards"},
    ),
    Kind(
        "KXSIMCEO", "Who leaves next?", "Companies", "Which company\u2019s CEO leaves first?",
        "Will {name}\u2019s CEO leave before {date}?", "custom",
        ("Nestlé", "Procter & Gamble", "L'Oréal", "Ørsted", "Citroën"), "Company",
        structure="tapered_deci_cent", mecnet=True,
    ),
    Kind(
        "KXSIMBTC", "Bitcoin price", "Crypto", "Bitcoin price on {date}",
        "Will Bitcoin be at or above ${strike} on {date}?", "greater_or_equal",
        frequency="hourly", structure="deci_cent", step=250.5, start=90_000, tags=("BTC", "Hourly"),
    ),
    Kind(
        "KXSIMHIGHNY", "Highest temperature in New York", "Climate and Weather",
        "Highest temperature in NYC on {date}?",
        "Will the **high temp in NYC** be {strike}° on {date}?", "between",
        frequency="daily", step=2, start=40, unit="°",
    ),
    Kind(
        "KXSIMFILM", "Film of the year", "Entertainment", "Which film wins?",
        "Will “{name}” win by {date}?", "custom", _FILMS, "Film", frequency="annual", mecnet=True,
    ),
    Kind(
        "KXSIMMIN", "Ministers", "Politics", "Will the minister resign by {date}?",
        "Will the minister of *{name}* resign by {date}?", None,
        ("finance", "justice", "the interior", "culture \u2013 and sport"), frequency="one_off",
    ),
    Kind(
        "KXSIMRAIN", "Days of rain", "Climate and Weather", "Days of rain before {date}",
        "Will there be fewer than {strike} days of rain before {date}?", "less",
        frequency="monthly", step=1, start=3,
    ),
    Kind(
        "KXSIMTURN", "Turnout", "Elections", "Turnout of the vote on {date}",
        "Will turnout be at most {strike}% on {date}?", "less_or_equal",
        frequency="custom", step=2.5, start=40, unit="%",
    ),
)  # fmt: skip

_PHASES = (
    "open", "settled", "paused", "archived", "open", "closed", "open", "unopened",
    "open", "open", "determined", "open", "open", "settled", "open", "open",
    "archived", "open", "open", "open",
)  # fmt: skip
"""The state of each event in turn, so that a small exchange, too, has events in every state."""

_SOURCE = Source("the Source Agency", "https://www.example.org/releases")
_LONG_RULES = (
    "The Source Agencies are not affiliated with this simulator. If the figure is revised after"
    " its first release, the revision does not count; if it is not released within seven days,"
    " the market resolves to the last fair price before that.\n\n**Note**: times are Eastern."
)


@dataclass(slots=True)
class Catalogue:
    """What was generated."""

    series: list[Series] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    markets: list[Market] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Life:
    """The times of an event's markets."""

    phase: str
    opens: int
    closes: int
    settled: int | None
    created: int
    updated: int


def catalogue(
    events: int,
    markets_per_event: int,
    seed: int,
    now: int,
    *,
    multivariate: int | None = None,
    pace: str | None = None,
) -> Catalogue:
    """So many events, with so many markets each. `now` is in Unix seconds."""
    rng = Random(seed)
    hour = now * SECOND // HOUR * HOUR
    made = Catalogue()
    known: set[str] = set()
    for number in range(events):
        kind = KINDS[number % len(KINDS)]
        series = _series_ticker(kind, number)
        if series not in known:
            known.add(series)
            made.series.append(_series(kind, series, hour))
        life = _life(_PHASES[number % len(_PHASES)], hour, rng)
        event = _event(kind, series, number, life)
        made.events.append(event)
        made.markets += _markets(kind, event, number, life, markets_per_event, pace, rng)
    wanted = -(-events // 10) if multivariate is None else multivariate
    if made.markets:
        _add_multivariate(made, wanted, hour, rng)
    return made


def _series_ticker(kind: Kind, number: int) -> str:
    group = number // (len(KINDS) * EVENTS_PER_SERIES)
    return kind.ticker + (str(group + 1) if group else "")


def _series(kind: Kind, ticker: str, hour: int) -> Series:
    return Series(
        ticker=ticker,
        title=kind.title,
        category=kind.category,
        frequency=kind.frequency,
        updated=hour - 200 * DAY + 59_346_529,
        tags=kind.tags,
        sources=(_SOURCE,),
        metadata=kind.metadata,
        prohibitions=("Persons employed by the Source Agencies may not trade.",),
    )


def _life(phase: str, hour: int, rng: Random) -> _Life:
    day = rng.randrange(1, 40)
    minute = rng.randrange(1_440) * MINUTE
    settled: int | None = None
    if phase == "unopened":
        opens = hour + DAY + day * HOUR
        closes = opens + 20 * DAY
    elif phase == "settled":
        closes = hour - (1 + day) * DAY + minute
        opens = closes - rng.randrange(5, 60) * DAY
        settled = closes + rng.randrange(1, 300) * MINUTE + rng.randrange(SECOND)
    elif phase == "archived":
        closes = hour - (70 + 3 * day) * DAY + minute
        opens = closes - rng.randrange(5, 60) * DAY
        settled = closes + rng.randrange(1, 300) * MINUTE + rng.randrange(SECOND)
    elif phase in ("closed", "determined"):
        closes = hour - rng.randrange(1, 20) * HOUR
        opens = closes - day * DAY
    else:
        opens = hour - day * DAY + minute - DAY
        closes = hour + rng.randrange(1, 200) * DAY + 15 * HOUR
    created = opens - rng.randrange(10 * MINUTE, DAY)
    created -= created % rng.choice((1,) * 8 + (10, 100))
    if phase == "unopened":
        created = hour - day * HOUR
    updated = settled + 10_000 if settled is not None else created + 761_287
    return _Life(phase, opens, closes, settled, created, updated)


def _event(kind: Kind, series: str, number: int, life: _Life) -> Event:
    when = datetime.fromtimestamp(life.closes // SECOND, UTC)
    date = f"{when:%b} {when.day}, {when.year}"
    return Event(
        event_ticker=f"{series}-{when:%y%b}".upper() + f"{when:%d}E{number}",
        series_ticker=series,
        title=kind.event.format(date=date),
        sub_title=f"On {date}",
        category=kind.category,
        updated=life.created + 5_417,
        expiration=life.closes + 7 * DAY,
        collateral_return_type="MECNET" if kind.mecnet else ("DIRECNET" if number % 3 else ""),
        strike_date=life.closes if number % 20 == 0 else None,
        sources=(_SOURCE,),
        metadata=kind.metadata if kind.category != "Economics" else None,
    )


def _markets(
    kind: Kind,
    event: Event,
    event_number: int,
    life: _Life,
    number: int,
    pace: str | None,
    rng: Random,
) -> list[Market]:
    when = datetime.fromtimestamp(life.closes // SECOND, UTC)
    date = f"{when:%b} {when.day}, {when.year}"
    winner = rng.randrange(max(number, 1))
    markets: list[Market] = []
    for index in range(number):
        strike = _strike(kind, index)
        title = kind.market.format(name=strike.name, strike=strike.name, date=date)
        result, value = _outcome(kind, life, index, winner, event)
        markets.append(
            Market(
                ticker=f"{event.event_ticker}-{strike.suffix}",
                event_ticker=event.event_ticker,
                series_ticker=event.series_ticker,
                title=title,
                yes_sub_title=strike.label,
                no_sub_title=strike.label,
                subtitle=strike.label if kind.strike in ("greater", "less") else None,
                created=life.created,
                updated=life.updated,
                opens=life.opens,
                closes=life.closes,
                expected_expiration=life.closes + HOUR,
                latest_expiration=life.closes + 7 * DAY,
                occurrence=life.closes + HOUR if kind.strike is not None else None,
                settlement_timer_seconds=300 if index % 4 else 1_800,
                early_close_condition=_EARLY if kind.custom_key else None,
                rules_primary=f"If the answer to “{title}” is yes, the market resolves to Yes.",
                rules_secondary=_LONG_RULES if index % 3 == 1 else "",
                price_structure=kind.structure,
                strike_type=kind.strike,
                floor_strike=strike.floor,
                cap_strike=strike.cap,
                custom_strike=strike.custom,
                participant_key=kind.custom_key if kind.strike == "structured" else None,
                held_status=_held(life.phase, index),
                result=result,
                expiration_value=strike.name if result else "",
                settlement_value=value,
                settled=life.settled,
                pace=pace,
                drawn_as=f"{event.series_ticker}-{event_number}-{strike.suffix}",
            )
        )
    return markets


_EARLY = "This market will close and expire early if the event occurs."


def _held(phase: str, index: int) -> str | None:
    if phase == "determined":
        return ("determined", "disputed", "amended")[index % 3]
    return "inactive" if phase == "paused" and index == 0 else None


def _outcome(
    kind: Kind, life: _Life, index: int, winner: int, event: Event
) -> tuple[str, int | None]:
    """Result and settlement value in 1/10,000 dollars."""
    if life.settled is None and life.phase != "determined":
        return "", None
    if kind.category == "Sports" and not event.mutually_exclusive and index == winner:
        return "scalar", 5_000
    won = index == winner if kind.mecnet else index <= winner
    return ("yes", 10_000) if won else ("no", 0)


@dataclass(frozen=True, slots=True)
class _Strike:
    """What distinguishes one market of an event from the others."""

    suffix: str
    name: str
    label: str
    floor: float | int | None = None
    cap: float | int | None = None
    custom: dict[str, str] | None = None


def _number(value: float) -> float | int:
    """Kalshi sends whole strikes as JSON integers and others as floats (docs/kalshi_api.md,
    2.4)."""
    value = round(value, 2)
    return int(value) if value == int(value) else value


@cache
def _strike(kind: Kind, index: int) -> _Strike:
    if kind.names:
        return _named_strike(kind, index)
    low = _number(kind.start + index * kind.step)
    if kind.strike == "between":
        high = _number(kind.start + (index + 1) * kind.step - 1)
        name = f"{low}-{high}"
        return _Strike(f"B{low}", name, f"{low}{kind.unit} to {high}{kind.unit}", low, high)
    if kind.strike in ("less", "less_or_equal"):
        return _Strike(f"T{low}", str(low), f"Below {low}{kind.unit}", cap=low)
    return _Strike(f"T{low}", str(low), f"Above {low}{kind.unit}", floor=low)


def _named_strike(kind: Kind, index: int) -> _Strike:
    turn, at = divmod(index, len(kind.names))
    name = kind.names[at] + (f" {turn + 1}" if turn else "")
    letters = "".join(letter for letter in kind.names[at].upper() if letter in _LETTERS)
    suffix = letters[:5] + (str(turn + 1) if turn else "")
    custom: dict[str, str] | None = None
    if kind.strike == "structured":
        custom = {kind.custom_key: str(UUID(int=index * 7_919 + at + 1))}
    elif kind.strike == "custom":
        custom = {kind.custom_key: name}
    return _Strike(suffix, name, name, custom=custom)


_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_MVE_SERIES = "KXMVESIMMULTIGAME"

_NOTHING = Quote(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
_MVE_QUOTES = (_NOTHING, replace(_NOTHING, yes_ask=ONE_DOLLAR), None)
"""Quotes of combinations: the two forms in which Kalshi sends an empty book (docs/kalshi_api.md,
5.4), and None for one that follows the candles."""


def _add_multivariate(made: Catalogue, number: int, hour: int, rng: Random) -> None:
    """Add combinations of generated markets, each with an event of its own (docs/kalshi_api.md,
    5.11)."""
    if not number:
        return
    made.series.append(
        Series(_MVE_SERIES, "Combo", "Sports", "custom", hour - 90 * DAY, exchange_index=1)
    )
    choices = list(made.markets)
    for index in range(number):
        event_ticker = f"{_MVE_SERIES}-S{0x2026F00000 + index:X}"
        legs = tuple(
            Leg(market.event_ticker, market.ticker, rng.choice(("yes", "no")))
            for market in rng.sample(choices, min(3, len(choices)))
        )
        created = hour - rng.randrange(1, 48) * HOUR - rng.randrange(SECOND)
        closes = hour + rng.randrange(1, 10) * DAY
        made.events.append(
            Event(
                event_ticker, _MVE_SERIES, "Combo", "MVE", "Sports", created, closes,
                exchange_index=1, multivariate=True,
            )
        )  # fmt: skip
        title = ",".join(f"{leg.side} {leg.market_ticker}" for leg in legs)
        made.markets.append(
            Market(
                ticker=f"{event_ticker}-{rng.randrange(16**11):011X}",
                event_ticker=event_ticker,
                series_ticker=_MVE_SERIES,
                title=title,
                yes_sub_title=title,
                no_sub_title=title,
                created=created,
                updated=created + 100_000,
                opens=created,
                closes=closes,
                expected_expiration=closes,
                latest_expiration=closes,
                settlement_timer_seconds=5,
                price_structure="center_deci_edge_centi_cent",
                strike_type="custom",
                custom_strike={
                    "Associated Events": ",".join(leg.event_ticker for leg in legs),
                    "Associated Market Sides": ",".join(leg.side for leg in legs),
                    "Associated Markets": ",".join(leg.market_ticker for leg in legs),
                    "Multivariate Event Ticker": event_ticker,
                },
                collection_ticker=f"{_MVE_SERIES}-R",
                legs=legs,
                is_provisional=True,
                exchange_index=1,
                pace="dead",
                quote=_MVE_QUOTES[index % len(_MVE_QUOTES)],
            )
        )
