"""Telling a monitor or a chat how a run ended: one POST, in the form that both kinds take."""

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import sleep
from urllib.parse import urlsplit

import requests
from tenacity import (
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential_jitter,
)

from kalshi_elt.base.errors import BusyError, first_line
from kalshi_elt.base.text import redacted
from kalshi_elt.job.record import Job

SECONDS = 10.0
"""How long an answer may take."""

TRIES = 4
FIRST_PAUSE, LONGEST_PAUSE, PAUSE_GROWS = 1.0, 10.0, 3.0
"""Seconds, and by how much the next pause is longer: 1, 3 and 9, each up to a second more, which
keeps many machines from asking at once. A monitor that restarts is back by then."""


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

    A monitor that is away is asked again, after pauses that grow. It never fails a run: that is one
    line on standard error, without the URL's path, which is often a secret.
    """
    body = {"text": f"kalshi-elt on {platform.node()}: {redacted(text)}"}
    retrying = Retrying(
        stop=stop_after_attempt(TRIES),
        wait=wait_exponential_jitter(FIRST_PAUSE, LONGEST_PAUSE, PAUSE_GROWS, jitter=FIRST_PAUSE),
        retry=retry_if_exception(_may_pass),
        sleep=sleep,
        reraise=True,
    )
    try:
        retrying(_post, url, body)
    except requests.RequestException as error:
        host = urlsplit(url).hostname
        print(
            f"kalshi-elt: {host} could not be told how the run ended ({_reason(error)})",
            file=sys.stderr,
        )


def _post(url: str, body: dict[str, str]) -> None:
    requests.post(url, json=body, timeout=SECONDS).raise_for_status()


def _may_pass(error: BaseException) -> bool:
    """Whether another try may do better: a refusal (404, 410) stays one."""
    if not isinstance(error, requests.RequestException):
        return False
    status = _status(error)
    return status is None or status >= 500 or status in (408, 429)


def _status(error: requests.RequestException) -> int | None:
    return None if error.response is None else error.response.status_code


def _reason(error: requests.RequestException) -> str:
    return str(_status(error) or type(error).__name__)
