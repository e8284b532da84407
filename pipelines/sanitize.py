"""Making an answer fit for jsonb, visibly: the few JSON escapes that Postgres refuses.

One of them in one title would fail a COPY, and with it the load and every later one.
"""

import re

ESCAPE = re.compile(
    rb"(?<!\\)((?:\\\\)*)"
    rb"(?:\\u0000"
    rb"|(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
"""NUL and half of a surrogate pair, as escapes. Group 2: a whole pair, which jsonb takes."""

REPLACEMENT = rb"\uFFFD"
"""U+FFFD in upper case, as no JSON writer spells it: so a replacement can be told afterwards."""

REPLACED = re.compile(rb"(?<!\\)(?:\\\\)*\\uFFFD")
"""The replacement as an escape, not as text after an escaped backslash."""


def sanitize(body: bytes) -> bytes:
    """The JSON text with every refused escape replaced by U+FFFD; most often the text itself."""
    if b"\\u" not in body:
        return body
    return ESCAPE.sub(lambda found: found[0] if found[2] else found[1] + REPLACEMENT, body)


def is_sanitized(payload: bytes) -> bool:
    """Whether something in the payload was replaced."""
    return REPLACEMENT in payload and REPLACED.search(payload) is not None
