"""Failed steps say in one line what is wrong, as the command line does."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from kalshi_elt.base.errors import KalshiEltError


@contextmanager
def failures_in_one_line() -> Iterator[None]:
    """Let an error of ours in the block fail the step with its message alone. Its causes are left
    out, as they could quote a password."""
    try:
        yield
    except KalshiEltError as error:
        raise dg.Failure(str(error)) from None
