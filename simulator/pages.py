"""Pages of a list, each found by the key that the page before ended with, as behind Kalshi's opaque
cursors (docs/kalshi_api.md, 5.6)."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .answers import bad_request
from .exchange import Key


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page of a list: the rows that follow the key `after`, the first ones if that is None,
    with the last `overlap` rows of the page before once more."""

    limit: int
    after: Key | None = None
    overlap: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """The tickers of a page, and the cursor of the next one, which is empty on the last page."""

    tickers: list[str]
    cursor: str


def take_page(keys: Sequence[Key], request: PageRequest, accept: Callable[[str], bool]) -> Page:
    """The page, from keys in ascending order. Lists run the other way, from the greatest key
    down."""
    at = len(keys) if request.after is None else bisect_left(keys, request.after)
    at = _step_back(keys, at, request.overlap, accept)
    tickers: list[str] = []
    last: Key | None = None
    while at:
        at -= 1
        ticker = keys[at][1]
        if not accept(ticker):
            continue
        if last is not None and len(tickers) == request.limit:
            return Page(tickers, encode_cursor(last))
        tickers.append(ticker)
        last = keys[at]
    return Page(tickers, "")


def _step_back(keys: Sequence[Key], at: int, rows: int, accept: Callable[[str], bool]) -> int:
    while rows and at < len(keys):
        rows -= accept(keys[at][1])
        at += 1
    return at


def encode_cursor(key: Key) -> str:
    """The opaque text of a key."""
    return base64.urlsafe_b64encode(f"{key[0]}:{key[1]}".encode()).decode().rstrip("=")


def decode_cursor(text: str) -> Key | None:
    """The key in a cursor; None for the empty one, which asks for the first page."""
    if not text:
        return None
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        time, _, ticker = plain.decode().partition(":")
        return int(time), ticker
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise bad_request() from None


FIRST_PAGE = encode_cursor((1 << 62, ""))
"""A cursor from which the list begins anew."""
