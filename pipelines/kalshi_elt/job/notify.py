"""Telling a monitor or a chat how a run ended: one POST, in the form that both kinds take."""

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests

from kalshi_elt.base.errors import BusyError, first_line
from kalshi_elt.base.text import redacted
from kalshi_elt.job.record import Job

SECONDS = 10.0
TRIES = 3


@dataclass
class Listeners:
    """Who is told, and of which run."""

    on_failure: str | None
    on_success: str | None
    job: Job | None = None

    def hear(self, text: str, *, is_failure: bool) -> None:
        """Tell the one that it is meant for."""
        url = self.on_failure if is_failure else self.on_success
        if url:
            tell(url, text)


@contextmanager
def telling(on_failure: str | None, on_success: str | None) -> Iterator[Listeners]:
    """Tell how the run in the block ended, also when it ended with an error.

    A run that found another one under way has not failed.
    """
    listeners = Listeners(on_failure, on_success)
    try:
        yield listeners
    except BusyError:
        raise
    except BaseException as error:
        reason = first_line(error) if isinstance(error, Exception) else "stopped"
        listeners.hear(f"run failed: {reason}", is_failure=True)
        raise
    if job := listeners.job:
        listeners.hear(str(job), is_failure=job.exit_status != 0)


def tell(url: str, text: str) -> None:
    """POST `{"text": ...}`, which Slack and its kin show, and heartbeat services count.

    A monitor that is away never fails a run: that is one line on standard error, without the
    URL's path, which is often a secret.
    """
    body = {"text": f"kalshi-elt on {platform.node()}: {redacted(text)}"}
    error = ""
    for _ in range(TRIES):
        try:
            response = requests.post(url, json=body, timeout=SECONDS)
        except requests.RequestException as failure:
            error = type(failure).__name__
            continue
        if response.ok:
            return
        error = str(response.status_code)
    host = urlsplit(url).hostname
    print(f"kalshi-elt: {host} could not be told how the run ended ({error})", file=sys.stderr)
