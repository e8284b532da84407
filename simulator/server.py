"""The HTTP side: sockets, threads, the log of requests, and faults carried out."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from types import TracebackType
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from .answers import Answer, too_many_requests, unknown_path
from .exchange import Exchange
from .faults import Fault, FaultLayer
from .routes import PREFIX, Api

NO_STATUS = 0
"""Status in the log of a request whose connection was reset."""


class Request(NamedTuple):
    """A request that was answered. path begins after /trade-api/v2."""

    method: str
    path: str
    query: dict[str, str]
    status: int


class RequestLog:
    """All requests so far, oldest first; safe to read while the server runs."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._requests: list[Request] = []

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[Request]:
        return iter(self.all())

    def __getitem__(self, index: int) -> Request:
        return self._requests[index]

    def all(self, path: str = "") -> list[Request]:
        """A copy of the requests whose path begins with `path`."""
        with self._lock:
            return [request for request in self._requests if request.path.startswith(path)]

    def clear(self) -> None:
        """Forget all requests so far."""
        with self._lock:
            self._requests.clear()

    def add(self, request: Request) -> None:
        """Note a request."""
        with self._lock:
            self._requests.append(request)


class TokenBucket:
    """Lets `rate` requests a second through, and bursts of `burst` (docs/kalshi_api.md, 6)."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._lock = Lock()
        self._tokens, self._at = burst, time.monotonic()

    def take(self) -> bool:
        """Whether one more request may pass now."""
        with self._lock:
            now = time.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
            self._at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    _path: str
    _query: dict[str, str]

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        inside = url.path.startswith(PREFIX + "/")
        self._path = url.path[len(PREFIX) :] if inside else url.path
        self._query = dict(parse_qsl(url.query))
        if inside:
            self._serve(url.query)
        else:
            self._send(unknown_path())

    def _serve(self, raw_query: str) -> None:
        """Answer a request to the API, or carry out the fault that strikes it."""
        simulator = self.server.simulator
        if simulator.bucket is not None and not simulator.bucket.take():
            self._send(too_many_requests())
        elif fault := simulator.faults.choose(self._path, raw_query):
            self._fail(fault)
        else:
            self._send(simulator.api.answer(self._path, self._query))

    def _fail(self, fault: Fault) -> None:
        simulator = self.server.simulator
        if fault.kind == "reset":
            self._reset()
            return
        if fault.kind == "hang":
            simulator.stopping.wait(fault.seconds)
        if instead := fault.instead(self._path, self._query.get("cursor", "")):
            self._send(instead)
            return
        overlap = fault.rows if fault.kind == "duplicate_rows" else 0
        answer = simulator.api.answer(self._path, self._query, overlap)
        half = answer.body[: len(answer.body) // 2]
        if fault.kind == "truncated_json":
            self._send(Answer(answer.status, half, answer.content_type))
        elif fault.kind == "cut_body":
            self.close_connection = True
            self._send(answer, sent=half)
        else:
            self._send(answer)

    def _note(self, status: int) -> None:
        # Before the answer leaves, so that whoever has it finds its request in the log.
        request = Request("GET", self._path, self._query, status)
        self.server.simulator.requests.add(request)

    def _send(self, answer: Answer, sent: bytes | None = None) -> None:
        """Send an answer in one piece. With `sent` that is the body, though the head announces the
        length of the answer's own."""
        self._note(answer.status)
        lines = [
            f"{self.protocol_version} {answer.status} {HTTPStatus(answer.status).phrase}",
            f"Date: {self.date_time_string()}",
            f"Content-Type: {answer.content_type}",
            f"Content-Length: {len(answer.body)}",
            *(f"{name}: {value}" for name, value in answer.headers.items()),
            *(["Connection: close"] if self.close_connection else []),
        ]
        head = "\r\n".join(lines) + "\r\n\r\n"
        # In one write: a body that is written after the head waits until the client has confirmed
        # the head, which it puts off (Nagle's algorithm and delayed ACK).
        self.wfile.write(head.encode("latin-1") + (answer.body if sent is None else sent))

    def _reset(self) -> None:
        self._note(NO_STATUS)
        # To close a socket with a linger of zero seconds sends RST instead of FIN: a reset.
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.server.drop(self.connection)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing; requests are in the log."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() then waits for them
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], simulator: Simulator) -> None:
        self.simulator = simulator
        self._lock = Lock()
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def drop(self, request: socket.socket) -> None:
        """Close a connection at once, so that it is reset."""
        with self._lock:
            self._open.discard(request)
        request.close()

    def drop_all(self) -> None:
        """Shut all open connections down, which wakes the threads that wait for requests on
        them."""
        with self._lock:
            waiting = list(self._open)
        for request in waiting:
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client has closed it meanwhile

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: tests let clients go away, and that is no error here."""


class Simulator:
    """The exchange behind HTTP on 127.0.0.1.

    rate_limit: requests a second, beyond which the answer is 429; no limit when None. burst: how
    many may come at once; twice the rate when None. Use it as a context manager, or by start() and
    stop().
    """

    def __init__(
        self,
        exchange: Exchange | None = None,
        *,
        port: int = 0,
        rate_limit: float | None = None,
        burst: float | None = None,
        fault_seed: int = 0,
    ) -> None:
        self.exchange = exchange if exchange is not None else Exchange.demo()
        self.api = Api(self.exchange)
        self.faults = FaultLayer(fault_seed)
        self.requests = RequestLog()
        self.stopping = Event()
        self.bucket: TokenBucket | None = None
        if rate_limit is not None:
            self.bucket = TokenBucket(rate_limit, max(1, burst or 2 * rate_limit))
        self._port = port
        self._server: _Server | None = None
        self._thread: Thread | None = None

    @property
    def url(self) -> str:
        """The base URL, with /trade-api/v2 and without a slash at its end."""
        if self._server is None:
            raise RuntimeError("the simulator is not running")
        return f"http://127.0.0.1:{self._server.server_address[1]}{PREFIX}"

    def start(self) -> None:
        """Listen and serve in threads of its own."""
        if self._server is not None:
            raise RuntimeError("the simulator runs already")
        self.stopping.clear()
        self._server = _Server(("127.0.0.1", self._port), self)
        # It looks every 0.02 s whether to stop; by default every half second, which tests would
        # wait.
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), name="simulator")
        self._thread.start()

    def stop(self) -> None:
        """Close all connections and end all threads."""
        if self._server is None or self._thread is None:
            return
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.drop_all()
        self._server.server_close()
        self._server = self._thread = None

    def __enter__(self) -> Simulator:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
