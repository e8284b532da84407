"""Which listed markets candles are asked for."""

from collections.abc import Iterable
from decimal import Decimal
from itertools import combinations

import pytest

from kalshi_elt.kalshi.records import Market
from kalshi_elt.kalshi.selection import STATUSES, Selection

ANSWERED = sorted(status for spelled in STATUSES.values() for status in spelled)
"""Every status that an answer bears (docs/kalshi_api.md, 4), in today's spelling and in older
ones."""

NAMED, LISTED = True, False


def market(
    status: str | None = "active",
    *,
    volume: str = "0",
    is_multivariate: bool = False,
    ticker: str = "M",
) -> Market:
    return Market(ticker, "E", status, 0, None, None, Decimal(volume), is_multivariate)


def selecting(*statuses: str, is_named: bool = False, **others: object) -> Selection:
    return Selection(statuses=frozenset(statuses), narrows_named=is_named, **others)  # type: ignore[arg-type]


def wanted(selection: Selection, *, is_named: bool) -> Iterable[str]:
    """The statuses that a selection lets through."""
    return {status for status in ANSWERED if selection.wants(market(status), is_named=is_named)}


# What it is about


def test_with_nothing_named_it_is_the_whole_exchange() -> None:
    assert Selection().is_everything
    assert Selection(statuses=frozenset({"settled"}), min_volume=Decimal(5)).is_everything


@pytest.mark.parametrize("name", ["events", "markets", "series", "categories"])
def test_with_anything_named_it_is_not(name: str) -> None:
    assert not Selection(**{name: ("X",)}).is_everything  # type: ignore[arg-type]


@pytest.mark.parametrize("statuses", [set(pair) for pair in combinations(STATUSES, 2)])
def test_the_historical_tier_matters_where_settled_markets_are_meant(statuses: set[str]) -> None:
    assert selecting(*statuses).wants_settled == ("settled" in statuses)


# Status


@pytest.mark.parametrize(
    ("status", "answered"),
    [
        ("unopened", {"initialized", "unopened"}),
        ("open", {"active", "open"}),
        ("paused", {"inactive", "paused"}),
        ("closed", {"closed", "determined", "disputed", "amended"}),
        ("settled", {"finalized", "settled"}),
    ],
)
def test_each_status_filter_lets_through_the_statuses_that_answers_bear(
    status: str, answered: set[str]
) -> None:
    assert wanted(selecting(status), is_named=LISTED) == answered


def test_every_status_of_an_answer_belongs_to_one_filter() -> None:
    assert len(ANSWERED) == len(set(ANSWERED))
    assert wanted(selecting(*STATUSES), is_named=LISTED) == set(ANSWERED)


def test_several_statuses_add_up() -> None:
    found = wanted(selecting("open", "paused"), is_named=LISTED)

    assert found == {"active", "open", "inactive", "paused"}


@pytest.mark.parametrize("status", [None, "", "brandnew"])
def test_a_status_that_nobody_knows_is_asked_for_by_name_alone(status: str | None) -> None:
    selection = selecting(*STATUSES)

    assert not selection.wants(market(status), is_named=LISTED)
    assert selection.wants(market(status), is_named=NAMED)


def test_what_is_named_itself_is_wanted_in_every_state() -> None:
    assert wanted(selecting("open"), is_named=NAMED) == set(ANSWERED)


def test_a_status_that_was_asked_for_narrows_what_is_named_too() -> None:
    found = wanted(selecting("settled", is_named=True), is_named=NAMED)

    assert found == {"finalized", "settled"}


# Volume


@pytest.mark.parametrize(
    ("volume", "is_wanted"),
    [
        pytest.param("99.99", False, id="less"),
        pytest.param("100", True, id="exactly as much"),
        pytest.param("100.00", True, id="exactly as much, with cents"),
        pytest.param("100.01", True, id="more"),
    ],
)
@pytest.mark.parametrize("is_named", [NAMED, LISTED])
def test_a_least_volume_narrows_all_markets(volume: str, is_wanted: bool, is_named: bool) -> None:
    selection = selecting("open", min_volume=Decimal(100))

    assert selection.wants(market(volume=volume), is_named=is_named) == is_wanted


# Multivariate


@pytest.mark.parametrize(
    ("is_let_in", "is_named", "is_wanted"),
    [
        pytest.param(False, LISTED, False, id="left out"),
        pytest.param(True, LISTED, True, id="let in"),
        pytest.param(False, NAMED, True, id="named itself"),
        pytest.param(True, NAMED, True, id="both"),
    ],
)
def test_multivariate_markets_stay_out_unless_they_are_let_in_or_named(
    is_let_in: bool, is_named: bool, is_wanted: bool
) -> None:
    selection = selecting("open", multivariate=is_let_in)

    assert selection.wants(market(is_multivariate=True), is_named=is_named) == is_wanted


def test_letting_multivariate_markets_in_lets_no_other_status_in() -> None:
    selection = selecting("open", multivariate=True)

    assert not selection.wants(market("finalized", is_multivariate=True), is_named=LISTED)
