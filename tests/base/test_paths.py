"""Names of files for tickers, which may be anything."""

import re

import pytest

from kalshi_elt.base.paths import LONGEST_NAME, file_name


@pytest.mark.parametrize("ticker", ["KXPRESPERSON-28", "KXSIMU3-26DEC06E0", "A.B-1", "X" * 80])
def test_most_tickers_are_their_own_names(ticker: str) -> None:
    assert file_name(ticker) == ticker


@pytest.mark.parametrize(
    "ticker",
    [
        *("", ".", "..", "../../etc/passwd", "a/b", "A_B", "kxlower", "CON", "NUL.X", "COM1"),
        *("X" * 81, "X" * 4000, "KX'\"<script>", "\u202eRTL", "é", "KX 1", "A\0B", ".HIDDEN", "-X"),
    ],
)
def test_others_get_a_safe_one(ticker: str) -> None:
    name = file_name(ticker)

    assert re.fullmatch(r"[A-Za-z0-9_-]*_[0-9a-f]{20}", name)
    assert len(name) <= LONGEST_NAME


def test_names_differ_where_case_makes_no_difference() -> None:
    tickers = ["KXA", "kxa", "KXa", "KX_A", "KX-A", "KX/A", "KX A", "KX-a", "KX-A_"]

    assert len({file_name(one).lower() for one in tickers}) == len(tickers)


def test_a_hostile_name_is_no_other_events_name() -> None:
    """Who knows the scheme could name an event as another's page."""
    other = file_name("a/b")

    assert file_name(other) != other
    assert file_name(other.upper()).lower() != other.lower()
