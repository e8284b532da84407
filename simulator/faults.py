"""Faults on demand: which requests fail, and how. The server does what they say."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from threading import Lock
from typing import Literal, get_args

from .answers import Answer, error_answer, json_answer, too_many_requests
from .pages import FIRST_PAGE

Kind = Literal[
    "rate_limited",
    "server_error",
    "unavailable",
    "hang",
    "cut_body",
    "html",
    "truncated_json",
    "reset",
    "empty_page",
    "duplicate_rows",
]
"""
rate_limited: 429; as_string chooses the form of its error, retry_after (seconds) adds the header
server_error, unavailable: 500, 503
hang: wait `seconds` before the answer
cut_body: announce the whole body, send half of it, close the connection
html: 200 with a page of HTML
truncated_json: 200 with the first half of the JSON and a matching length
reset: no answer, the connection is reset
empty_page: a list page without rows whose cursor asks for the same rows again
duplicate_rows: a list page that begins with the last `rows` rows of the page before
"""


@dataclass(slots=True)
class Fault:
    """One rule: which requests match it, how often it strikes one of them, and what it does then.

    A request matches when its path, after /trade-api/v2, begins with `path`, and its raw query has
    `query` in it. The first `after` of them are spared. Of the others the rule strikes every
    `every`-th one, with `probability`, and `count` of them in all (None: without end).
    """

    kind: Kind
    path: str = ""
    query: str = ""
    count: int | None = None
    every: int = 1
    probability: float = 1.0
    after: int = 0
    seconds: float = 1.0
    retry_after: float | None = None
    as_string: bool = False
    rows: int = 1
    matched: int = field(default=0, init=False)
    """How many requests matched so far."""
    hits: int = field(default=0, init=False)
    """How many of them it struck."""

    def strikes(self, path: str, query: str, rng: Random) -> bool:
        """Whether it strikes this request, which is counted."""
        if not path.startswith(self.path) or self.query not in query:
            return False
        self.matched += 1
        if self.count is not None and self.hits >= self.count:
            return False
        turn = self.matched - self.after
        if turn < 1 or turn % self.every or rng.random() >= self.probability:
            return False
        self.hits += 1
        return True

    def instead(self, path: str, cursor: str) -> Answer | None:
        """The answer that is given in place of the true one; None for kinds of faults without
        one."""
        match self.kind:
            case "rate_limited":
                return too_many_requests(as_string=self.as_string, retry_after=self.retry_after)
            case "server_error":
                return error_answer(500, "internal_server_error", "internal server error")
            case "unavailable":
                return error_answer(503, "service_unavailable", "service_unavailable")
            case "html":
                return Answer(200, _HTML, "text/html; charset=utf-8")
            case "empty_page":
                return _empty_page(path, cursor)
        return None


_HTML = b"<!DOCTYPE html><html><body>Please wait</body></html>"


def _empty_page(path: str, cursor: str) -> Answer:
    again = cursor or FIRST_PAGE
    if path.startswith("/events"):
        return json_answer({"cursor": again, "events": [], "milestones": []})
    return json_answer({"cursor": again, "markets": []})


class FaultLayer:
    """The rules in force; the first that strikes wins. May change while the server runs."""

    def __init__(self, seed: int = 0) -> None:
        self._lock = Lock()
        self._rng = Random(seed)
        self._rules: list[Fault] = []

    def add(
        self,
        kind: Kind,
        *,
        path: str = "",
        query: str = "",
        count: int | None = None,
        every: int = 1,
        probability: float = 1.0,
        after: int = 0,
        seconds: float = 1.0,
        retry_after: float | None = None,
        as_string: bool = False,
        rows: int = 1,
    ) -> Fault:
        """Put a rule in force and return it; its `hits` tell how often it struck."""
        if kind not in get_args(Kind):
            raise ValueError(f"unknown kind of fault: {kind}")
        fault = Fault(
            kind, path, query, count, every, probability, after, seconds, retry_after, as_string,
            rows,
        )  # fmt: skip
        with self._lock:
            self._rules.append(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        """Take one rule out of force."""
        with self._lock:
            self._rules = [rule for rule in self._rules if rule is not fault]

    def clear(self) -> None:
        """Take all rules out of force."""
        with self._lock:
            self._rules.clear()

    def choose(self, path: str, query: str) -> Fault | None:
        """The rule that strikes this request, if any."""
        with self._lock:
            for rule in self._rules:
                if rule.strikes(path, query, self._rng):
                    return rule
        return None
