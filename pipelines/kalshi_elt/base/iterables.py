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
    """`function` of each item, in the order in which the results come.

    No more than one item a worker is called ahead of the reader: answers are megabytes.
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
    """`items` in tuples of `size`, the last one shorter. (Python 3.12 has its own.)"""
    iterator = iter(items)
    while batch := tuple(islice(iterator, size)):
        yield batch
