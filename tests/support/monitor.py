"""A monitor on loopback, which hears how runs end."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Monitor:
    """Keeps what it is told."""

    url: str
    bodies: list[dict[str, str]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """What it answers, in order; then 200."""


@contextmanager
def running_monitor() -> Iterator[Monitor]:
    """One at a URL with a secret in its path."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            monitor.bodies.append(json.loads(body))
            self.send_response(monitor.statuses.pop(0) if monitor.statuses else 200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        monitor = Monitor(f"http://127.0.0.1:{server.server_port}/services/s3cr3t")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield monitor
        server.shutdown()
