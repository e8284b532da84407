"""Payloads that jsonb takes: what Postgres refuses is replaced, and can be told afterwards."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_elt.kalshi.sanitize import DEEPEST, flatten, is_sanitized, sanitize


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(rb'"\u0000"', rb'"\uFFFD"', id="NUL alone"),
        pytest.param(rb'"a\u0000b"', rb'"a\uFFFDb"', id="NUL within"),
        pytest.param(rb'"\u0000\u0000\u0000"', rb'"\uFFFD\uFFFD\uFFFD"', id="several NULs"),
        pytest.param(rb'{"\u0000":1}', rb'{"\uFFFD":1}', id="NUL in a key"),
        pytest.param(rb'"\\\u0000"', rb'"\\\uFFFD"', id="backslash, then NUL"),
        pytest.param(rb'"\\\\\u0000"', rb'"\\\\\uFFFD"', id="two backslashes, then NUL"),
        pytest.param(rb'"\n\u0000"', rb'"\n\uFFFD"', id="line feed, then NUL"),
        pytest.param(rb'"\ud83d"', rb'"\uFFFD"', id="high surrogate alone"),
        pytest.param(rb'"\ude00"', rb'"\uFFFD"', id="low surrogate alone"),
        pytest.param(rb'"\uD83D\n"', rb'"\uFFFD\n"', id="upper case, then another escape"),
        pytest.param(rb'"\ude00\ud83d"', rb'"\uFFFD\uFFFD"', id="surrogates in wrong order"),
        pytest.param(
            rb'"\ud83d\ud83d\ude00"', rb'"\uFFFD\ud83d\ude00"', id="high surrogate before a pair"
        ),
        pytest.param(
            rb'"\ud83d\ude00\ude00"', rb'"\ud83d\ude00\uFFFD"', id="low surrogate after a pair"
        ),
        pytest.param(
            rb'"\ud83d\\ude00"', rb'"\uFFFD\\ude00"', id="high surrogate before a backslash"
        ),
    ],
)
def test_what_jsonb_refuses_is_replaced(payload: bytes, expected: bytes) -> None:
    clean = sanitize(payload)

    assert clean == expected
    assert is_sanitized(clean)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"[]", id="no text"),
        pytest.param(b'{"a":"4.9"}', id="no escape"),
        pytest.param('"José 🗳"'.encode(), id="letters not escaped"),
        pytest.param(rb'"\"\\\/\b\f\n\r\t"', id="short escapes"),
        pytest.param(rb'"\u00e9\u0001\uffff"', id="other letters"),
        pytest.param(rb'"\\u0000"', id="escaped backslash before u0000"),
        pytest.param(rb'"\\\\u0000"', id="two escaped backslashes before u0000"),
        pytest.param(rb'"\\ud83d"', id="escaped backslash before ud83d"),
        pytest.param(rb'"\ud83d\ude00"', id="a pair"),
        pytest.param(rb'"\uD83D\uDE00\ud83d\ude00"', id="pairs"),
        pytest.param(rb'"\\\ud83d\ude00"', id="escaped backslash before a pair"),
        pytest.param(rb'"\udbff\udfff\ud800\udc00"', id="the last pair and the first"),
        pytest.param(rb'"\ud7ff\ue000"', id="letters beside the surrogates"),
        pytest.param(rb'"\ufffd"', id="U+FFFD that Kalshi sent, as a writer spells it"),
        pytest.param('"\ufffd"'.encode(), id="U+FFFD that Kalshi sent, not escaped"),
    ],
)
def test_what_jsonb_takes_is_left_alone(payload: bytes) -> None:
    assert sanitize(payload) == payload
    assert not is_sanitized(payload)


def test_text_that_looks_like_a_replacement_is_none() -> None:
    payload = json.dumps(r"the escape \uFFFD").encode()

    assert sanitize(payload) == payload
    assert not is_sanitized(payload)


def test_a_payload_without_escapes_is_not_even_copied() -> None:
    payload = b'{"end_period_ts":1795357800,"volume_fp":"4.00"}'

    assert sanitize(payload) is payload


def documents(text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """JSON values of any depth whose texts and keys are made by `text`."""
    plain = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | text
    )
    return st.recursive(
        plain,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
        max_leaves=12,
    )


pieces = st.sampled_from(["\\", "\\\\", "u0000", "\\u0000", "ud83d", "\\ud83d", "ude00", "😀", "é"])
"""Texts that look like such escapes but are not: in JSON each of their backslashes is escaped."""

letters = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
good_texts = st.lists(pieces | letters, max_size=5).map("".join)

surrogates = st.sampled_from(["\ud83d", "\udbff", "\ud800", "\ude00", "\udc00", "\udfff"])
bad_texts = st.lists(pieces | surrogates | st.just("\0") | letters, max_size=7).map("".join)


@settings(deadline=None)
@given(value=documents(good_texts), is_escaped=st.booleans())
def test_no_json_without_nul_and_lone_surrogates_is_changed(value: Any, is_escaped: bool) -> None:
    payload = json.dumps(value, ensure_ascii=is_escaped).encode()

    assert sanitize(payload) == payload
    assert not is_sanitized(payload)


@settings(deadline=None)
@given(value=documents(bad_texts))
def test_the_result_is_json_that_any_strict_reader_takes(value: Any) -> None:
    payload = json.dumps(value).encode()

    clean = sanitize(payload)

    # msgspec refuses lone surrogates, as jsonb does
    msgspec.json.decode(clean)
    assert rb"\u0000" not in clean.replace(rb"\\", b"")
    assert is_sanitized(clean) == (clean != payload)
    assert sanitize(clean) == clean


@settings(deadline=None)
@given(text=bad_texts)
def test_every_other_letter_of_a_text_is_kept(text: str) -> None:
    in_utf_16 = text.replace("\0", "\ufffd").encode("utf-16-le", "surrogatepass")
    expected = in_utf_16.decode("utf-16-le", "replace")

    clean = sanitize(json.dumps(text).encode())

    assert json.loads(clean) == expected


def cut(value: Any, levels: int = DEEPEST) -> Any:
    """What `flatten` is to make of a value, told by recursion."""
    if not isinstance(value, list | dict):
        return value
    if levels == 0:
        return "\ufffd"
    if isinstance(value, list):
        return [cut(inner, levels - 1) for inner in value]
    return {name: cut(inner, levels - 1) for name, inner in value.items()}


brackets = st.text('[]{}\\":,x', max_size=6)


@settings(deadline=None)
@given(inner=documents(brackets), text=brackets, levels=st.integers(DEEPEST - 6, DEEPEST + 6))
def test_what_is_nested_too_deep_is_one_replacement(inner: Any, text: str, levels: int) -> None:
    value = inner
    for number in range(levels):
        value = [text, value, text] if number % 2 else {text: value, "last": [text]}
    payload = json.dumps(value).encode()

    flat = flatten(payload)

    assert json.loads(flat) == cut(value)
    assert is_sanitized(flat) == (cut(value) != value)
    assert flatten(flat) == flat


def test_what_never_ends_stays_no_json() -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(flatten(b"[" * 5_000))
