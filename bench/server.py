"""The exchange behind HTTP on 127.0.0.1, in a process of its own.

It is a process of its own so that its cost is not part of the loader's. `BenchServer` starts and
stops it. `python -m bench.server` is that process: it prints its address, and serves until its
standard input ends, which it does with the process that started it.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from dataclasses import asdict, dataclass
from types import TracebackType
from urllib.parse import parse_qsl, unquote, urlsplit

from bench.exchange import MINUTE, Exchange, Size
from kalshi_elt.base.paths import PROJECT_ROOT

PREFIX = "/trade-api/v2"
STATS = "/bench/stats"

EVENTS_LIMIT = 200
MARKETS_LIMIT = 1_000
BATCH_TICKERS = 100
BATCH_CANDLES = 10_000
"""Caps of the real API (docs/kalshi_api.md, 2.1, 2.4, 2.6)."""

Query = dict[str, str]


class RefusedError(Exception):
    """A request whose answer has another status than 200."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class Answers:
    """Answers requests, and counts them."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.requests: Counter[str] = Counter()
        """How many there were, by path, in which `*` stands for a ticker."""
        self.candles = 0
        self.bytes = 0

    def answer(self, target: str) -> tuple[int, bytes]:
        """Status and body for a request's path and query."""
        url = urlsplit(target)
        if url.path == STATS:
            return 200, self._stats()
        query = dict(parse_qsl(url.query))
        parts = [unquote(part) for part in url.path.removeprefix(PREFIX).strip("/").split("/")]
        try:
            status, body = 200, self._route(parts, query)
        except RefusedError as refused:
            status, body = refused.status, refused.body
        self.bytes += len(body)
        return status, body

    def _route(self, parts: list[str], query: Query) -> bytes:
        """The body for the requests that the loader sends; all others have 404."""
        match parts:
            case ["markets", "candlesticks"]:
                return self._count(parts, self._batch(query))
            case ["events"]:
                return self._count(parts, self._events(query))
            case ["events", "multivariate"]:
                return self._count(parts, b'{"cursor":"","events":[]}')
            case ["events", ticker]:
                return self._count(["events", "*"], self._event(ticker, query))
            case ["markets"]:
                return self._count(parts, self._markets(query))
            case ["series"]:
                return self._count(parts, self._series_list())
            case ["series", ticker]:
                return self._count(["series", "*"], self._series(ticker))
            case ["historical", "cutoff"]:
                return self._count(parts, self._exchange.cutoff())
            case ["historical", "markets"]:
                return self._count(parts, b'{"cursor":"","markets":[]}')
        raise _not_found()

    def _count(self, parts: list[str], body: bytes) -> bytes:
        self.requests["/" + "/".join(parts)] += 1
        return body

    def _stats(self) -> bytes:
        stats = {"requests": self.requests, "candles": self.candles, "bytes": self.bytes}
        return json.dumps(stats).encode()

    def _batch(self, query: Query) -> bytes:
        tickers = query["market_tickers"].split(",")
        start, end = int(query["start_ts"]), int(query["end_ts"])
        if query["period_interval"] != "1":
            raise _bad_request("this exchange has 1-minute candles alone")
        if len(tickers) > BATCH_TICKERS:
            raise _bad_request(f"at most {BATCH_TICKERS} tickers")
        asked = len(tickers) * (end // MINUTE - (start - 1) // MINUTE)
        if asked > BATCH_CANDLES:
            raise _bad_request(
                f"requested candlesticks across all markets: {asked}, "
                f"max candlesticks: {BATCH_CANDLES}"
            )
        found = []
        for ticker in tickers:
            if (number := self._exchange.numbers.get(ticker)) is not None:
                part = self._exchange.candles(number, start, end)
                self.candles += part.candles
                found.append(ENTRY % (part.body, ticker.encode()))
        return b'{"markets":[' + b",".join(found) + b"]}"

    def _events(self, query: Query) -> bytes:
        limit = int(query.get("limit", EVENTS_LIMIT))
        if limit > EVENTS_LIMIT:
            raise _bad_request("limit")
        nested = query.get("with_nested_markets") == "true"
        numbers, cursor = _page(self._chosen_events(query), limit, query)
        events = b",".join(self._exchange.event(number, nested=nested) for number in numbers)
        return b'{"cursor":"%s","events":[%s],"milestones":[]}' % (cursor, events)

    def _chosen_events(self, query: Query) -> list[int]:
        exchange = self._exchange
        if query.get("status", "open") != "open":
            return []
        if tickers := query.get("tickers"):
            known = exchange.event_numbers
            return [known[ticker] for ticker in tickers.split(",") if ticker in known]
        numbers = range(exchange.size.events)
        if series := query.get("series_ticker"):
            wanted = exchange.series_numbers.get(series)
            return [number for number in numbers if exchange.series_of(number) == wanted]
        return list(numbers)

    def _event(self, ticker: str, query: Query) -> bytes:
        number = self._exchange.event_numbers.get(ticker)
        if number is None:
            raise _not_found()
        nested = query.get("with_nested_markets") == "true"
        return b'{"event":%s,"markets":[]}' % self._exchange.event(number, nested=nested)

    def _markets(self, query: Query) -> bytes:
        limit = int(query.get("limit", BATCH_TICKERS))
        if limit > MARKETS_LIMIT:
            raise _bad_request("limit")
        numbers, cursor = _page(self._chosen_markets(query), limit, query)
        markets = b",".join(map(self._exchange.market, numbers))
        return b'{"cursor":"%s","markets":[%s]}' % (cursor, markets)

    def _chosen_markets(self, query: Query) -> list[int]:
        exchange = self._exchange
        if query.get("status", "open") != "open":
            return []
        if tickers := query.get("tickers"):
            known = exchange.numbers
            return [known[ticker] for ticker in tickers.split(",") if ticker in known]
        if event := query.get("event_ticker"):
            number = exchange.event_numbers.get(event)
            return [] if number is None else list(exchange.markets_of(number))
        return list(range(exchange.size.markets))

    def _series_list(self) -> bytes:
        series = map(self._exchange.series, range(self._exchange.size.all_series))
        return b'{"series":[' + b",".join(series) + b"]}"

    def _series(self, ticker: str) -> bytes:
        number = self._exchange.series_numbers.get(ticker)
        if number is None:
            raise _not_found()
        return b'{"series":' + self._exchange.series(number) + b"}"


ENTRY = b'{"candlesticks":[%s],"market_ticker":"%s"}'


def _page(numbers: list[int], limit: int, query: Query) -> tuple[list[int], bytes]:
    """A page, and the cursor of the next one, which is its place in the list."""
    begin = int(query.get("cursor") or 0)
    end = begin + limit
    return numbers[begin:end], str(end).encode() if end < len(numbers) else b""


def _bad_request(details: str) -> RefusedError:
    error = {"code": "bad_request", "message": "bad request", "details": details}
    return RefusedError(400, json.dumps({"error": error}).encode())


def _not_found() -> RefusedError:
    return RefusedError(404, b'{"error":{"code":"not_found","message":"not found"}}')


class _Connection(asyncio.Protocol):
    """A connection that is kept open. Requests have no body, and come one after the other."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            target = head.split(b" ", 2)[1].decode()
            status, body = self._answers.answer(target)
            if self._transport is not None:
                self._transport.write(HEAD % (status, len(body)) + body)


HEAD = b"HTTP/1.1 %d Bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@dataclass(frozen=True)
class Stats:
    """What a server was asked for and has sent so far."""

    requests: int
    candles: int
    megabytes: float


class BenchServer:
    """The server's process, as a context manager."""

    def __init__(
        self, size: Size, *, now: int, seed: int = 0, quiet_from: int | None = None
    ) -> None:
        self._given = {"now": now, "seed": seed, "quiet_from": quiet_from, **asdict(size)}
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stats(self) -> Stats:
        """Requests of the API, candles and bytes sent so far."""
        with urllib.request.urlopen(self.url.removesuffix(PREFIX) + STATS) as answer:
            said = json.load(answer)
        return Stats(sum(said["requests"].values()), said["candles"], said["bytes"] / 1e6)

    def __enter__(self) -> "BenchServer":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.server", json.dumps(self._given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT_ROOT,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError("the bench server did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.communicate()


async def _serve(exchange: Exchange) -> None:
    answers = Answers(exchange)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(answers), "127.0.0.1", 0, backlog=128)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}{PREFIX}", flush=True)
    # in a thread of its own, as reading waits
    ended = asyncio.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait_for_end, daemon=True).start()
    await ended.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser("bench.server", description=__doc__)
    parser.add_argument("exchange", help="its size, now, seed and quiet_from as a JSON object")
    given = json.loads(parser.parse_args().exchange)
    own = {name: given.pop(name) for name in ("now", "seed", "quiet_from")}
    asyncio.run(_serve(Exchange(Size(**given), **own)))


if __name__ == "__main__":
    main()
