"""Answers and the bodies of errors (docs/kalshi_api.md, 5.5)."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field

from .shapes import dumps


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back for a request."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class ApiError(Exception):
    """A request that can't be served. It carries the answer to give instead."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def _as_escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    half = error.object[error.start : error.end]
    return "".join(f"\\u{ord(character):04x}" for character in half), error.end


codecs.register_error("lone_surrogate_as_escape", _as_escape)


def json_answer(value: object, status: int = 200) -> Answer:
    """An answer with a value as JSON."""
    # half of a surrogate pair has no form in UTF-8, so it can be sent only as an escape
    return Answer(status, dumps(value).encode(errors="lone_surrogate_as_escape"))


def error_answer(status: int, code: str, message: str, details: str | None = None) -> Answer:
    """An error in Kalshi's usual envelope."""
    error = {"code": code, "message": message}
    if details is not None:
        error["details"] = details
    # Keys of errors are sent in this order, while those of everything else are sorted.
    text = ",".join(f"{dumps(key)}:{dumps(error[key])}" for key in error)
    return Answer(status, f'{{"error":{{{text}}}}}'.encode())


def bad_request(details: str | None = None) -> ApiError:
    """400, with or without details."""
    return ApiError(error_answer(400, "bad_request", "bad request", details))


def invalid_argument(message: str) -> ApiError:
    """400 in the envelope of the argument parser, which differs from the usual one."""
    return ApiError(json_answer({"msg": message}, 400))


def not_found(code: str = "not_found") -> ApiError:
    """404 for an unknown ticker."""
    return ApiError(error_answer(404, code, "not found"))


def unknown_path() -> Answer:
    """404 for a path that no endpoint has."""
    return Answer(404, b"404 page not found", "text/plain; charset=utf-8")


def too_many_requests(*, as_string: bool = False, retry_after: float | None = None) -> Answer:
    """429; its `error` is an object, or a string as the documentation has it."""
    if as_string:
        answer = json_answer({"error": "too many requests"}, 429)
    else:
        answer = error_answer(429, "too_many_requests", "too many requests")
    headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    return Answer(answer.status, answer.body, answer.content_type, headers)
