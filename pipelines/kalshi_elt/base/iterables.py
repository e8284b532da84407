"""Several calls at once, with few results waiting in memory."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Call `function` with each item on `workers` threads; yields results as they become ready.

    The next item is taken only when a result is, so at most `workers` results wait in memory:
    results are answers of the API, which may be several megabytes each. An exception of `function`
    is raised in the place of its result.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        pending: set[Future[Result]] = {
            pool.submit(function, item) for item in islice(iterator, workers)
        }
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                pending |= {pool.submit(function, item) for item in islice(iterator, 1)}
                yield future.result()


def batched(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    """`items` in tuples of `size`, the last one shorter (itertools has it from Python 3.12 on)."""
    iterator = iter(items)
    while batch := tuple(islice(iterator, size)):
        yield batch
