"""KalshiApi: what passes is retried, what does not is said in one line, and the pace is kept.

The faults are the simulator's; numbers are sections of docs/kalshi_api.md.
"""

import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Barrier, Event, Thread
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenacity import RetryCallState, Retrying

from kalshi_elt.base.errors import ApiError, ApiUnreachableError, NotFoundError, OutOfTimeError
from kalshi_elt.kalshi.client import LONGEST_BACKOFF_SECONDS, SLOWEST, KalshiApi, Pace, _backoff
from simulator import Exchange, Simulator

STATUS = "/exchange/status"
QUICK = 0.15
"""Seconds for what has to take some time: too short to make a test slower."""


class Status(msgspec.Struct):
    """What the tests read of an answer of /exchange/status, whose values they know."""

    exchange_active: bool


@pytest.fixture
def kalshi() -> Iterator[Simulator]:
    """An exchange of this test alone, as its faults are."""
    with Simulator(Exchange.demo(events=0)) as running:
        yield running


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once, unless the server asks for a wait."""
    monkeypatch.setattr("kalshi_elt.kalshi.client._backoff", lambda state: 0.0)


def client(url: str, *, attempts: int = 3, timeout: float = 5.0) -> KalshiApi:
    return KalshiApi(url, rate=10_000, attempts=attempts, timeout=timeout)


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    """An error's message, which has to be one line."""
    message = str(error.value)
    assert len(message.splitlines()) == 1, message
    return message


@contextmanager
def scripted(answer: bytes, *, then: Callable[[], object] | None = None) -> Iterator["Script"]:
    """A server that sends the same bytes to each request, and calls `then` before it hangs up."""
    done = Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(0.02)
        script = Script(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def serve() -> None:
            while not done.is_set():
                with suppress(TimeoutError), listener.accept()[0] as connection:
                    connection.settimeout(5)
                    script.requests.append(connection.recv(65_536).decode())
                    connection.sendall(answer)
                    if then is not None:
                        then()

        server = Thread(target=serve)
        server.start()
        try:
            yield script
        finally:
            done.set()
            server.join()


@dataclass(frozen=True)
class Script:
    """A scripted server and what it was asked."""

    url: str
    requests: list[str] = field(default_factory=list)


def http(status: str, body: bytes) -> bytes:
    """An answer on the wire."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


# What passes


def test_an_answer_is_decoded_into_the_wanted_type(kalshi: Simulator) -> None:
    api = client(kalshi.url)

    answer = api.get(STATUS, {}, Status)

    assert answer == Status(exchange_active=True)
    assert api.request_count == 1


def test_titles_are_asked_for_in_english() -> None:
    with scripted(http("200 OK", b"{}")) as server:
        client(server.url).get("/events", {"limit": 5}, dict)

    head = server.requests[0].splitlines()
    assert head[0] == "GET /events?limit=5 HTTP/1.1"
    assert "Accept-Language: en" in head


def test_what_a_netrc_file_holds_is_never_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    with scripted(http("200 OK", b"{}")) as server:
        client(server.url).get("/events", {}, dict)

    assert "Authorization" not in server.requests[0]


def test_a_proxy_that_the_environment_names_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(http("200 OK", b"{}")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        client("http://kalshi.invalid/trade-api/v2").get("/events", {}, dict)

    assert proxy.requests[0].startswith("GET http://kalshi.invalid/trade-api/v2/events HTTP/1.1")


def test_a_certificate_that_nobody_vouches_for_is_refused_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURL_CA_BUNDLE", "")
    monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    openssl = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost")
    subprocess.run([*openssl, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, daemon=True).start()

    with pytest.raises(ApiError) as error:
        client(f"https://127.0.0.1:{server.server_port}", attempts=1).get("/events", {}, dict)

    assert "certificate verify failed" in one_line(error)
    server.shutdown()
    server.server_close()


def test_a_deadline_ends_what_waits_and_what_comes_after(kalshi: Simulator) -> None:
    kalshi.faults.add("hang", seconds=60)
    started = time.monotonic()
    api = KalshiApi(kalshi.url, rate=100, attempts=9, timeout=30, deadline=started + 2 * QUICK)

    for _ in range(2):
        with pytest.raises(OutOfTimeError):
            api.get(STATUS, {}, Status)

    assert time.monotonic() - started < 10 * QUICK
    assert api.outcomes.keys() == {"timeout"}


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("rate_limited", "429"),
        ("server_error", "500"),
        ("html", "no JSON"),
        ("cut_body", "broken off"),
        ("reset", "broken off"),
    ],
)
def test_requests_are_counted_by_what_came_of_them(
    kalshi: Simulator, kind: Any, outcome: str
) -> None:
    kalshi.faults.add(kind, count=2)
    api = client(kalshi.url)

    api.get(STATUS, {}, Status)

    assert api.outcomes == {outcome: 2, "200": 1}


def test_escapes_that_postgres_refuses_are_replaced_before_anything_reads_them() -> None:
    body = rb'{"nul":"a\u0000b","half":"\ud83d","pair":"\ud83d\ude00"}'

    with scripted(http("200 OK", body)) as server:
        answer = client(server.url).get("/events", {}, dict)

    assert answer == {"nul": "a\ufffdb", "half": "\ufffd", "pair": "\U0001f600"}


FAULTS: list[Any] = [
    pytest.param({"kind": "rate_limited", "as_string": True}, id="429, error is a string"),
    pytest.param({"kind": "rate_limited"}, id="429, error is an object"),
    pytest.param({"kind": "rate_limited", "retry_after": 0.02}, id="429, Retry-After"),
    pytest.param({"kind": "server_error"}, id="500"),
    pytest.param({"kind": "unavailable"}, id="503"),
    pytest.param({"kind": "html"}, id="200 with HTML"),
    pytest.param({"kind": "truncated_json"}, id="200 with half of the JSON"),
    pytest.param({"kind": "cut_body"}, id="connection closed within the body"),
    pytest.param({"kind": "reset"}, id="connection reset"),
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_costs_a_retry_and_nothing_else(
    kalshi: Simulator, fault: dict[str, Any]
) -> None:
    ordered = kalshi.faults.add(**fault, count=2)
    api = client(kalshi.url, attempts=3)

    answer = api.get(STATUS, {}, Status)

    assert answer == Status(exchange_active=True)
    assert (ordered.hits, api.request_count) == (2, 3)


def test_an_answer_that_hangs_is_given_up_and_asked_for_again(kalshi: Simulator) -> None:
    hang = kalshi.faults.add("hang", count=1, seconds=60)
    api = client(kalshi.url, attempts=5, timeout=QUICK)

    answer = api.get(STATUS, {}, Status)

    assert answer == Status(exchange_active=True)
    assert hang.hits == 1


def test_a_retry_asks_the_same_question(kalshi: Simulator) -> None:
    kalshi.faults.add("unavailable", count=1)

    client(kalshi.url).get("/markets", {"limit": 3, "series_ticker": "KXPRESPERSON"}, dict)

    first, second = kalshi.requests
    assert (first.status, second.status) == (503, 200)
    assert first.path == second.path == "/markets"
    assert first.query == second.query == {"limit": "3", "series_ticker": "KXPRESPERSON"}


@pytest.mark.parametrize(
    ("tries", "longest"),
    [
        pytest.param(1, 0.5, id="after the first"),
        pytest.param(4, 4.0, id="after the fourth"),
        pytest.param(20, LONGEST_BACKOFF_SECONDS, id="after very many"),
    ],
)
def test_tries_are_spread_at_random_over_a_time_that_doubles(tries: int, longest: float) -> None:
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = tries

    waits = [_backoff(state) for _ in range(200)]

    assert longest / 2 < max(waits) <= longest
    assert min(waits) < longest / 2


def test_a_retry_waits_as_long_as_the_server_asks(kalshi: Simulator) -> None:
    kalshi.faults.add("rate_limited", count=1, retry_after=QUICK)
    started = time.monotonic()

    client(kalshi.url).get(STATUS, {}, Status)

    assert time.monotonic() - started >= QUICK


def test_a_server_can_not_ask_for_an_endless_wait(
    kalshi: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalshi_elt.kalshi.client.LONGEST_BACKOFF_SECONDS", 0.01)
    kalshi.faults.add("rate_limited", count=1, retry_after=10)
    started = time.monotonic()

    client(kalshi.url).get(STATUS, {}, Status)

    assert time.monotonic() - started < 10


def test_a_retry_after_that_is_a_date_does_no_harm() -> None:
    date = b"Retry-After: Sun, 22 Nov 2026 14:30:00 GMT\r\n"
    busy = http("429 Too Many Requests", b"").replace(b"\r\n\r\n", b"\r\n" + date + b"\r\n")

    with scripted(busy) as server, pytest.raises(ApiError) as error:
        client(server.url, attempts=2).get(STATUS, {}, Status)

    assert one_line(error).startswith(f"GET {STATUS}: 429 Too Many Requests (after 2 tries)")


# What does not pass


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        pytest.param(
            "/markets",
            {"status": "finalized"},
            "GET /markets: 400 invalid status filter",
            id="error.details",
        ),
        pytest.param("/events", {"limit": 201}, "GET /events: 400 bad request", id="error.message"),
        pytest.param(
            "/markets/candlesticks",
            {"market_tickers": "M", "end_ts": 60, "period_interval": 1},
            "GET /markets/candlesticks: 400 Query argument start_ts is required",
            id="msg",
        ),
        pytest.param(
            "/markets/candlesticks",
            {"market_tickers": "M,N", "start_ts": 0, "end_ts": 360_060, "period_interval": 1},
            "GET /markets/candlesticks: 400 requested candlesticks across all markets: 12002, "
            "max candlesticks: 10000",
            id="too many candles (2.6)",
        ),
    ],
)
def test_a_400_is_not_retried_and_says_what_the_body_says(
    kalshi: Simulator, path: str, params: dict[str, str | int], expected: str
) -> None:
    api = client(kalshi.url)

    with pytest.raises(ApiError) as error:
        api.get(path, params, dict)

    assert one_line(error) == expected
    assert api.request_count == 1


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        pytest.param("/events/NOSUCHEVENT", "not found", id="unknown ticker"),
        pytest.param("/no/such/path", "Not Found", id="unknown path, plain text"),
    ],
)
def test_a_404_is_not_retried_and_is_an_error_of_its_own(
    kalshi: Simulator, path: str, reason: str
) -> None:
    api = client(kalshi.url)

    with pytest.raises(NotFoundError) as error:
        api.get(path, {}, dict)

    assert one_line(error) == f"GET {path}: 404 {reason}"
    assert api.request_count == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b'{"error":"no entry"}', "no entry", id="error is a string"),
        pytest.param(b'{"error":{"code":"denied"}}', "denied", id="error with a code alone"),
        pytest.param(b"{}", "Forbidden", id="JSON that says nothing"),
        pytest.param(b"[1]", "Forbidden", id="JSON of another form"),
        pytest.param(b"<html>", "Forbidden", id="no JSON"),
        pytest.param(b'{"error":"\xff"}', "Forbidden", id="no UTF-8"),
        pytest.param(b"", "Forbidden", id="nothing"),
        pytest.param(b'{"more":' + b"[" * 5_000, "Forbidden", id="nested without end"),
    ],
)
def test_any_other_status_is_an_error_whatever_its_body(body: bytes, reason: str) -> None:
    with scripted(http("403 Forbidden", body)) as server:
        api = client(server.url)
        with pytest.raises(ApiError) as error:
            api.get("/x", {}, dict)

    assert one_line(error) == f"GET /x: 403 {reason}"
    assert api.request_count == 1


def test_what_a_body_says_in_two_lines_is_one_line_here() -> None:
    body = b'{"msg":"Key: start_ts\\nKey: end_ts"}'

    with scripted(http("400 Bad Request", body)) as server, pytest.raises(ApiError) as error:
        client(server.url).get("/x", {}, dict)

    assert "Key: start_ts" in one_line(error)


def test_an_answer_that_is_no_utf_8_is_none_even_where_nothing_reads_it() -> None:
    with scripted(http("200 OK", b'{"exchange_active":true,"other":"\xff"}')) as server:
        api = client(server.url, attempts=2)
        with pytest.raises(ApiError) as error:
            api.get(STATUS, {}, Status)

    assert one_line(error).startswith(f"GET {STATUS}: the answer is not JSON (it begins ")
    assert api.request_count == 2


def test_an_answer_of_unknown_form_is_not_retried(kalshi: Simulator) -> None:
    class Other(msgspec.Struct):
        candles: list[int]

    api = client(kalshi.url)

    with pytest.raises(ApiError, match=f"GET {STATUS}: an answer of unknown form") as error:
        api.get(STATUS, {}, Other)

    assert "`candles`" in one_line(error)
    assert api.request_count == 1


# What never passes

LASTING: list[Any] = [
    pytest.param({"kind": "rate_limited"}, "429 too many requests", id="429"),
    pytest.param({"kind": "server_error"}, "500 internal server error", id="500"),
    pytest.param({"kind": "unavailable"}, "503 service_unavailable", id="503"),
    pytest.param({"kind": "html"}, "the answer is not JSON", id="200 with HTML"),
    pytest.param({"kind": "truncated_json"}, "the answer is not JSON", id="half of the JSON"),
    pytest.param({"kind": "cut_body"}, "the answer broke off", id="cut body"),
]


@pytest.mark.parametrize(("fault", "reason"), LASTING)
def test_after_all_attempts_one_line_says_what_was_asked_and_what_came(
    kalshi: Simulator, fault: dict[str, Any], reason: str
) -> None:
    kalshi.faults.add(**fault)
    api = client(kalshi.url, attempts=4)

    with pytest.raises(ApiError) as error:
        api.get(STATUS, {}, Status)

    message = one_line(error)
    assert message.startswith(f"GET {STATUS}: {reason}")
    assert message.endswith("(after 4 tries); run it again later")
    assert api.request_count == 4
    assert not isinstance(error.value, ApiUnreachableError)


def test_a_server_that_never_answers_is_given_up(kalshi: Simulator) -> None:
    kalshi.faults.add("hang", seconds=60)

    with pytest.raises(ApiError) as error:
        client(kalshi.url, attempts=2, timeout=0.05).get(STATUS, {}, Status)

    assert one_line(error).startswith(f"GET {STATUS}: no answer in 0.05 s (after 2 tries)")
    assert not isinstance(error.value, ApiUnreachableError)


def test_an_answer_that_stalls_within_its_body_does_not_mean_that_the_api_is_unreachable() -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"

    with (
        scripted(half, then=lambda: time.sleep(QUICK)) as server,
        pytest.raises(ApiError) as error,
    ):
        client(server.url, attempts=1, timeout=0.05).get(STATUS, {}, Status)

    assert not isinstance(error.value, ApiUnreachableError)


def test_a_refused_connection_means_unreachable_and_the_message_knows_a_way_on() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/trade-api/v2"
    api = client(url, attempts=3)

    with pytest.raises(ApiUnreachableError) as error:
        api.get(STATUS, {}, Status)

    message = one_line(error)
    assert message.startswith(f"{url} can't be reached (Connection refused) (after 3 tries)")
    assert "KALSHI_API_URL" in message
    assert "`make demo`" in message
    assert api.request_count == 3


def test_an_unknown_host_means_unreachable_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_host(*arguments: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", no_such_host)

    with pytest.raises(ApiUnreachableError, match="Name or service not known") as error:
        client("http://kalshi.test").get(STATUS, {}, Status)

    assert one_line(error).startswith("http://kalshi.test can't be reached")


# Pace


@dataclass
class Watch:
    """A clock that only sleeping moves."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def pace(self, rate: float) -> Pace:
        return Pace(rate, clock=self.clock, sleep=self.sleep)


def times_of(pace: Pace, watch: Watch, requests: int) -> list[float]:
    """When so many requests may go out, each waiting for its turn."""
    found = []
    for _ in range(requests):
        pace.wait()
        found.append(watch.now)
    return found


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        pytest.param(4.0, [0, 0, 0, 0, 0.25, 0.5, 0.75, 1], id="a second's burst, then the rate"),
        pytest.param(1.0, [0, 1, 2, 3], id="one a second"),
        pytest.param(0.5, [0, 2, 4, 6], id="one in two seconds"),
    ],
)
def test_a_burst_passes_at_once_and_then_the_rate_holds(rate: float, expected: list[float]) -> None:
    watch = Watch()

    assert times_of(watch.pace(rate), watch, len(expected)) == pytest.approx(expected)


def test_a_slow_caller_never_waits() -> None:
    watch = Watch()
    pace = watch.pace(4.0)

    for _ in range(50):
        pace.wait()
        watch.now += 0.25

    assert watch.slept == []


def test_a_rest_saves_no_more_than_one_burst() -> None:
    watch = Watch()
    pace = watch.pace(4.0)
    times_of(pace, watch, 4)
    watch.now = 3_600.0

    found = times_of(pace, watch, 6)

    assert found == pytest.approx([3_600, 3_600, 3_600, 3_600, 3_600.25, 3_600.5])


def test_callers_that_wait_at_the_same_time_go_one_after_the_other() -> None:
    delays: list[float] = []
    pace = Pace(4.0, clock=lambda: 0.0, sleep=delays.append)

    for _ in range(4 + 3):
        pace.wait()

    assert delays == pytest.approx([0.25, 0.5, 0.75])


@settings(deadline=None)
@given(
    rate=st.floats(0.1, 50),
    gaps=st.lists(st.floats(0, 5), min_size=1, max_size=40),
)
def test_no_stretch_of_time_sees_more_than_a_burst_and_the_rate(
    rate: float, gaps: list[float]
) -> None:
    watch = Watch()
    pace = watch.pace(rate)
    sent: list[float] = []

    for gap in gaps:
        watch.now += gap
        pace.wait()
        sent.append(watch.now)

    burst = max(1.0, rate)
    for first, begin in enumerate(sent):
        for last, end in enumerate(sent[first:], first):
            assert last - first + 1 <= burst + (end - begin) * rate + 1e-6


def test_each_try_of_a_request_waits_for_its_turn(
    kalshi: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[Pace] = []
    monkeypatch.setattr(Pace, "wait", lambda pace: turns.append(pace))
    kalshi.faults.add("unavailable", count=2)

    client(kalshi.url, attempts=3).get(STATUS, {}, Status)

    assert len(turns) == 3


# A pace that is refused


def test_a_refusal_halves_the_pace_down_to_a_floor() -> None:
    pace = Watch().pace(8.0)

    rates = []
    for _ in range(10):
        pace.slow_down()
        rates.append(pace.rate)

    assert rates[:4] == [4.0, 2.0, 1.0, 0.5]
    assert set(rates[4:]) == {8.0 * SLOWEST}


def test_answers_bring_the_pace_back_by_steps_and_never_beyond_what_was_set() -> None:
    pace = Watch().pace(8.0)
    pace.slow_down()
    pace.slow_down()

    rates = []
    for _ in range(50):
        pace.speed_up()
        rates.append(pace.rate)

    assert rates[0] == pytest.approx(2.16)
    assert rates == sorted(rates)
    assert rates[-1] == 8.0
    assert max(rates) == 8.0


def test_fifty_answers_undo_any_number_of_refusals() -> None:
    pace = Watch().pace(8.0)
    for _ in range(1_000):
        pace.slow_down()

    for _ in range(50):
        pace.speed_up()

    assert pace.rate == pytest.approx(8.0)


def test_a_refusal_ends_the_burst_and_the_next_requests_keep_the_lower_pace() -> None:
    watch = Watch()
    pace = watch.pace(4.0)

    pace.slow_down()

    assert times_of(pace, watch, 4) == pytest.approx([0.5, 1.0, 1.5, 2.0])


def test_a_refusal_forgives_no_debt() -> None:
    delays: list[float] = []
    pace = Pace(1.0, clock=lambda: 0.0, sleep=delays.append)
    for _ in range(3):
        pace.wait()

    pace.slow_down()
    pace.wait()

    assert delays == pytest.approx([1.0, 2.0, 6.0])


@settings(deadline=None)
@given(rate=st.floats(0.1, 50), refusals=st.lists(st.booleans(), max_size=80), gap=st.floats(0, 1))
def test_whatever_comes_back_the_pace_stays_within_its_bounds(
    rate: float, refusals: list[bool], gap: float
) -> None:
    watch = Watch()
    pace = watch.pace(rate)
    sent: list[float] = []

    for is_refused in refusals:
        watch.now += gap
        pace.wait()
        sent.append(watch.now)
        (pace.slow_down if is_refused else pace.speed_up)()
        assert rate * SLOWEST <= pace.rate <= rate

    burst = max(1.0, rate)
    assert len(sent) <= burst + (sent[-1] if sent else 0.0) * rate + 1e-6


@pytest.mark.parametrize(
    ("fault", "is_lower"),
    [
        pytest.param({"kind": "rate_limited"}, True, id="429"),
        pytest.param({"kind": "rate_limited", "as_string": True}, True, id="429, a string"),
        pytest.param({"kind": "server_error"}, False, id="500"),
        pytest.param({"kind": "unavailable"}, False, id="503"),
        pytest.param({"kind": "reset"}, False, id="connection reset"),
    ],
)
def test_only_a_429_lowers_the_pace(
    kalshi: Simulator, fault: dict[str, Any], is_lower: bool
) -> None:
    kalshi.faults.add(**fault, count=3)
    api = client(kalshi.url, attempts=4)

    api.get(STATUS, {}, Status)

    # three times halved, then one step up
    assert api._pace.rate == pytest.approx(10_000 * (1 / 8 + 0.02) if is_lower else 10_000)


def test_after_a_storm_of_429s_answers_bring_the_pace_back(kalshi: Simulator) -> None:
    kalshi.faults.add("rate_limited", count=5)
    api = client(kalshi.url, attempts=6)

    for _ in range(50):
        api.get(STATUS, {}, Status)

    assert api._pace.rate == pytest.approx(10_000)


# Threads


def test_each_thread_has_a_session_of_its_own_and_keeps_it(kalshi: Simulator) -> None:
    api = client(kalshi.url)
    together = Barrier(3)
    sessions: list[tuple[int, int]] = []

    def ask() -> None:
        first = api._session()
        api.get(STATUS, {}, Status)
        together.wait(5)
        sessions.append((id(first), id(api._session())))

    threads = [Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(sessions) == 3
    assert all(first == last for first, last in sessions)
    assert len({first for first, _ in sessions}) == 3
    assert api.request_count == 3


def test_a_thread_asks_over_one_connection_again_and_again() -> None:
    with counting_server() as server:
        api = client(server.url)
        for _ in range(3):
            assert api.get("/x", {}, dict) == {}
        session, _ = api._session()
        session.close()

    assert len(server.requests) == 3
    assert server.connections == 1


@dataclass
class Counter:
    """A server that keeps its connections, and what it saw."""

    url: str
    requests: list[str] = field(default_factory=list)
    connections: int = 0


@contextmanager
def counting_server() -> Iterator[Counter]:
    """A server that answers any number of requests on a connection."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        counter = Counter(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def serve() -> None:
            with suppress(OSError), listener.accept()[0] as connection:
                connection.settimeout(5)
                counter.connections += 1
                while head := connection.recv(65_536):
                    counter.requests.append(head.decode())
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        server = Thread(target=serve)
        server.start()
        yield counter
        server.join()
