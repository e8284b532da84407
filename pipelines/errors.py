"""What can go wrong, each with the exit status that a shell or a scheduler sees.

Every message is one line that says what is wrong, where, and what to do.
"""

import re

from pipelines.sanitize import visible


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
    """The API knows nothing under that ticker (404)."""


URL_PASSWORD = re.compile(r"(\w+://[^\s:/@]*):[^\s/]+@")
"""The password in a URL, up to its last @."""


def redacted(text: str, *secrets: str) -> str:
    """A text for eyes of others: without passwords in URLs, and without the given secrets."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return URL_PASSWORD.sub(r"\1:***@", text)


NODE_UNREACHABLE = re.compile(
    r"(?:connection to the remote node|failure on connection marked as essential:|"
    r"failed to connect to|failed to COPY to shard \d+ on) (?:\S*@)?([^\s;]+:\d+)"
    r"(?: failed with the following error: (.*))?"
)
"""How Citus' coordinator says that it can't reach one of its nodes."""

NODE_CONTEXT = re.compile(r"while executing command on (?:\S*@)?(\S+:\d+)")
"""How it says which node had something to say."""

NODE_GONE = re.compile(
    r"(?:FATAL|ERROR|WARNING)?:?\s*(server closed the connection.*|terminating connection.*|"
    r"the database system is .*|connection not open)"
)
"""What is said of a node, or by it, when it goes or comes back."""


def lost_node(text: str) -> str | None:
    """What a text says of a node of the Citus cluster that can't be reached: which, why, what to
    do. None when it says nothing of the kind."""
    found = NODE_UNREACHABLE.search(text)
    context, gone = NODE_CONTEXT.search(text), NODE_GONE.search(text)
    if found:
        address, reason = found[1], found[2]
    elif context and gone:
        address, reason = context[1], gone[1]
    else:
        return None
    why = f" ({reason.strip()})" if reason else ""
    # it is there, and refuses the coordinator or its role
    is_refused = reason and "FATAL" in reason and "database system" not in reason
    remedy = "mend its pg_hba.conf or role" if is_refused else "start it"
    return f"node {address} of the Citus cluster can't be reached{why}: {remedy}"


def first_line(error: BaseException) -> str:
    """The first line of an error's text that says something, for use inside a message; of a node of
    a cluster with its address."""
    text = str(error)
    if lost := lost_node(text):
        return lost
    lines = (line.strip() for line in text.splitlines())
    line = next((line for line in lines if line), type(error).__name__)
    node = NODE_CONTEXT.search(text)
    return f"{line} (node {node[1]} of the Citus cluster)" if node else line
