"""Client of Kalshi's public REST API: paces requests, retries, and says what a failure means."""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urlencode

import msgspec
import requests
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)
from urllib3.exceptions import NewConnectionError

from kalshi_elt.base.errors import (
    ApiError,
    ApiUnreachableError,
    BadRequestError,
    NotFoundError,
    OutOfTimeError,
)
from kalshi_elt.kalshi.sanitize import flatten, sanitize

Answer = TypeVar("Answer")
Params = Mapping[str, str | int]

CONNECT_SECONDS = 10.0
FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 30.0

SLOWEST = 0.05
"""Share of the wanted pace that remains, however many requests are refused."""

STEP = 0.02
"""Share of the wanted pace that each answer brings back: fifty answers undo all refusals."""


class RetryableError(ApiError):
    """An answer that may be different next time: 429, 5xx, no answer, no JSON."""

    retry_after: float | None = None
    """Seconds that the server asked to wait. Kalshi sends none so far (docs/kalshi_api.md, 5.5)."""


class UnreachableError(RetryableError):
    """No connection came about."""


class Pace:
    """A token bucket of one second's requests: short bursts pass, the mean stays at `rate`.

    Every refusal (429) halves the pace, down to SLOWEST of `rate`; answers bring it back by steps.
    """

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._highest = self._rate = rate
        self.count = 0
        """Requests let through so far."""
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._tokens = self._size = max(1.0, rate)
        self._filled_at = clock()

    def wait(self) -> None:
        """Return when the next request may go out."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._size, self._tokens + (now - self._filled_at) * self._rate)
            self._filled_at = now
            self._tokens -= 1
            self.count += 1
            debt = max(0.0, -self._tokens / self._rate)
        if debt:
            self._sleep(debt)

    def slow_down(self) -> None:
        """After a refusal."""
        with self._lock:
            self._rate = max(self._rate / 2, self._highest * SLOWEST)
            self._tokens = min(self._tokens, 0.0)

    def speed_up(self) -> None:
        """After an answer."""
        with self._lock:
            self._rate = min(self._rate + self._highest * STEP, self._highest)

    @property
    def rate(self) -> float:
        """Requests a second at present."""
        return self._rate


READ_BYTES = 1 << 20
"""Answers are read in pieces of so many bytes. Measured: in pieces of 10 kB, as the library reads
by itself, reading took a fifth of the loader's time with candles."""


class KalshiApi:
    """A client of the API's public GET endpoints. Safe to share between threads."""

    def __init__(
        self,
        base_url: str,
        *,
        rate: float,
        attempts: int,
        timeout: float,
        deadline: float = math.inf,
    ) -> None:
        """`rate`: requests a second. `deadline`: when to stop asking, on the clock of
        `time.monotonic`."""
        self.base_url = base_url
        self.outcomes: Counter[str] = Counter()
        """Requests by what came of them: the status, or `unreachable`, `timeout`, `broken off`,
        `no JSON`, `no address`."""
        self._pace = Pace(rate)
        self._timeout = timeout
        self._deadline = deadline
        self._threads = threading.local()
        self._lock = threading.Lock()
        self._attempts = attempts

    @property
    def has_answered(self) -> bool:
        """Whether any request had an answer of use."""
        return self.outcomes["200"] > 0

    @property
    def request_count(self) -> int:
        """Requests sent so far, retries included."""
        return self._pace.count

    def get(self, path: str, params: Params, answer: type[Answer]) -> Answer:
        """The decoded answer of GET `path`.

        Raises NotFoundError on 404, ApiUnreachableError when no connection came about,
        OutOfTimeError after the deadline, and ApiError on any other answer that is of no use, after
        all attempts where a retry may help.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(RetryableError),
            stop=stop_after_attempt(self._attempts),
            wait=self._wait,
            reraise=True,
        )
        try:
            found: Answer = retrying(self._get_once, path, params, answer)
        except RetryableError as error:
            if isinstance(error, UnreachableError):
                raise ApiUnreachableError(
                    f"{error} (after {self._attempts} tries); check the network and "
                    "KALSHI_API_URL, or see the product work without the network: `make demo`"
                ) from error
            raise ApiError(f"{error} (after {self._attempts} tries); run it again later") from error
        return found

    def _get_once(self, path: str, params: Params, answer: type[Answer]) -> Answer:
        self._require_time()
        self._pace.wait()
        seconds = min(self._timeout, self._require_time())
        try:
            with self._send(path, params, seconds) as response:
                if response.status_code != 200:
                    self._count(str(response.status_code))
                    raise self._refusal(path, response)
                body = b"".join(response.iter_content(READ_BYTES))
        except requests.RequestException as error:
            outcome, failure = self._failure(path, error, seconds)
            self._count(outcome)
            raise failure from error
        self._pace.speed_up()
        return self._decode(path, body, answer)

    def _decode(self, path: str, body: bytes, answer: type[Answer]) -> Answer:
        try:
            # msgspec passes over text that it does not read; Postgres refuses what is not UTF-8
            body.decode()
            decoded = _decoded(sanitize(body), answer)
        except msgspec.ValidationError as error:
            raise ApiError(f"GET {path}: an answer of unknown form ({error})") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._count("no JSON")
            raise RetryableError(
                f"GET {path}: the answer is not JSON (it begins {body[:40]!r})"
            ) from error
        self._count("200")
        return decoded

    def _require_time(self) -> float:
        """Seconds until the deadline. Raises OutOfTimeError when there are none left."""
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise OutOfTimeError("the time for this load is up")
        return seconds

    def _wait(self, state: RetryCallState) -> float:
        """Exponential backoff with full jitter, never sooner than the server asked, nor longer than
        there is time."""
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, RetryableError) else None
        wanted = max(_backoff(state), min(asked or 0.0, LONGEST_BACKOFF_SECONDS))
        return min(wanted, max(0.0, self._deadline - time.monotonic()))

    def _count(self, outcome: str) -> None:
        with self._lock:
            self.outcomes[outcome] += 1

    def _send(self, path: str, params: Params, seconds: float) -> requests.Response:
        session, prepared = self._session()
        request = prepared.copy()
        # the commas between tickers are left as they are: to escape those of a hundred tickers
        # takes more processor time than all else that is done to make a request
        request.url = f"{str(prepared.url).removesuffix('/')}{path}?{urlencode(params, safe=',')}"
        return session.send(
            request,
            timeout=(min(CONNECT_SECONDS, seconds), seconds),
            stream=True,
            proxies=session.proxies,
        )

    def _session(self) -> tuple[requests.Session, requests.PreparedRequest]:
        """This thread's session, and a prepared request of which each of its requests is a copy.

        A session keeps connections open, but is not made to be shared between threads. Copying a
        prepared request takes half the processor time of preparing each one.
        """
        if not hasattr(self._threads, "session"):
            session = requests.Session()
            # without it titles may come in the language of the machine (docs/kalshi_api.md, 1)
            session.headers["Accept-Language"] = "en"
            # proxies and certificates of the environment are read once here: the library reads
            # them for each request, a third of the processor time that it takes. Without
            # `trust_env` it sends no password from ~/.netrc either
            settings = session.merge_environment_settings(self.base_url, {}, None, None, None)
            session.proxies, session.verify = settings["proxies"], settings["verify"]
            session.trust_env = False
            prepared = session.prepare_request(requests.Request("GET", self.base_url))
            self._threads.session = session, prepared
        found: tuple[requests.Session, requests.PreparedRequest] = self._threads.session
        return found

    def _failure(
        self, path: str, error: requests.RequestException, seconds: float
    ) -> tuple[str, ApiError]:
        """What it means that a request got no whole answer: its outcome (as in `outcomes`), and
        the error to raise."""
        cause = _cause(error)
        if _is_unreachable(error):
            return "unreachable", UnreachableError(f"{self.base_url} can't be reached ({cause})")
        if isinstance(error, requests.Timeout) or "timed out" in str(error):
            return "timeout", RetryableError(f"GET {path}: no answer in {seconds:.3g} s")
        if isinstance(error, MAY_PASS):
            return "broken off", RetryableError(f"GET {path}: the answer broke off ({cause})")
        return "no address", ApiError(
            f"{self.base_url} can't be asked ({cause}); check KALSHI_API_URL"
        )

    def _refusal(self, path: str, response: requests.Response) -> ApiError:
        """The error for an answer with another status than 200."""
        status = response.status_code
        message = f"GET {path}: {status} {_reason(response)}"
        if status == 404:
            return NotFoundError(message)
        if status == 400:
            return BadRequestError(message)
        if status == 429 or status >= 500:
            error = RetryableError(message)
            error.retry_after = _seconds(response.headers.get("Retry-After"))
            if status == 429:
                self._pace.slow_down()
            return error
        return ApiError(message)


def _decoded(body: bytes, answer: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(body, type=answer)
    except RecursionError:
        # objects nested deeper than it reads, which no answer of Kalshi's is
        return msgspec.json.decode(flatten(body), type=answer)


MAY_PASS = (
    requests.ConnectionError,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)
"""Errors of a connection, after which a retry may help; all others mean a wrong address."""


def _is_unreachable(error: requests.RequestException) -> bool:
    """Whether no connection came about, unlike one that broke after it had."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError)


class _ErrorDetails(msgspec.Struct):
    code: str | None = None
    message: str | None = None
    details: str | None = None


class _ErrorBody(msgspec.Struct):
    """The three envelopes of docs/kalshi_api.md, 5.5: `error` as text, `error` as an object, or
    `msg`."""

    error: str | _ErrorDetails | None = None
    msg: str | None = None


def _reason(response: requests.Response) -> str:
    """What the body says went wrong, in few words."""
    try:
        body = msgspec.json.decode(response.content, type=_ErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return response.reason or ""
    said = body.error or body.msg
    if isinstance(said, _ErrorDetails):
        said = said.details or said.message or said.code
    return " ".join((said or response.reason or "").split())


def _seconds(header: str | None) -> float | None:
    """Retry-After in seconds; its other form, a date, is left to the backoff."""
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None


_backoff = wait_random_exponential(multiplier=FIRST_BACKOFF_SECONDS, max=LONGEST_BACKOFF_SECONDS)


def _cause(error: requests.RequestException) -> str:
    """The innermost reason of an error: the outer ones only repeat the URL and Python objects."""
    inner: BaseException = error
    while True:
        reason = getattr(inner, "reason", None) or inner.__cause__ or inner.__context__
        if not isinstance(reason, BaseException):
            break
        inner = reason
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return str(text).splitlines()[0]
