"""What can go wrong, each with the exit status that a shell or a scheduler sees.

Every message is one line that says what is wrong, where, and what to do.
"""

from kalshi_elt.base.text import visible


class KalshiEltError(Exception):
    """Something asked for could not be done. Exit status 1."""

    exit_status = 1

    def __str__(self) -> str:
        """One harmless line, whatever the API or the server had to say."""
        return visible(super().__str__())


class UsageError(KalshiEltError):
    """Wrong arguments or settings. Exit status 2."""

    exit_status = 2


class BusyError(KalshiEltError):
    """Another load is running on the warehouse. Exit status 3."""

    exit_status = 3


class WarehouseError(KalshiEltError):
    """The Postgres server can't be started, reached or used."""


class RefusedError(WarehouseError):
    """Postgres refuses a value of a package, which therefore can never land."""


class ApiError(KalshiEltError):
    """Kalshi's API gave no usable answer to a request."""


class NoMoreAnswersError(ApiError):
    """Nothing else can be asked for in this load."""


class ApiUnreachableError(NoMoreAnswersError):
    """No connection to the API, after all attempts."""


class OutOfTimeError(NoMoreAnswersError):
    """The load's time is up."""


class BadRequestError(ApiError):
    """The API refuses the request as it is (400)."""


class NotFoundError(ApiError):
    """The API has nothing of that name (404)."""


def first_line(error: BaseException) -> str:
    """The first line of an error's text that says something, for use inside a message."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)
