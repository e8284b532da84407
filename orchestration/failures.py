"""Failed steps: one line that says what is wrong, as on the command line."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from kalshi_elt.base.errors import KalshiEltError


@contextmanager
def failures_in_one_line() -> Iterator[None]:
    """An error of ours fails the step with its message alone: a cause could quote a secret."""
    try:
        yield
    except KalshiEltError as error:
        raise dg.Failure(str(error)) from None
