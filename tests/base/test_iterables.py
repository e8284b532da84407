"""Several calls at once: results as they come, never far ahead of the reader."""

from collections.abc import Generator, Iterator
from itertools import count
from threading import Barrier, Event, Lock, get_ident

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_elt.base.iterables import in_parallel

SECONDS = 5
"""More than any test takes: a wait that long has failed."""


def stop(results: Iterator[int]) -> None:
    """Read no more of them."""
    assert isinstance(results, Generator)
    results.close()


def double(number: int) -> int:
    return number * 2


@settings(deadline=None, max_examples=30)
@given(items=st.lists(st.integers(), max_size=30), workers=st.integers(1, 6))
def test_every_item_has_one_result(items: list[int], workers: int) -> None:
    assert sorted(in_parallel(double, items, workers)) == sorted(map(double, items))


def test_one_worker_keeps_the_order() -> None:
    assert list(in_parallel(double, range(20), 1)) == [2 * number for number in range(20)]


def test_no_items_make_no_calls() -> None:
    assert list(in_parallel(pytest.fail, [], 3)) == []


def test_results_come_in_the_order_of_completion() -> None:
    slow_may_end = Event()

    def call(name: str) -> str:
        if name == "slow":
            assert slow_may_end.wait(SECONDS)
        return name

    results = in_parallel(call, ["slow", "quick", "quicker"], 2)

    assert {next(results), next(results)} == {"quick", "quicker"}
    slow_may_end.set()
    assert next(results) == "slow"
    assert next(results, None) is None


def test_as_many_are_called_at_once_as_there_are_workers() -> None:
    together = Barrier(3)

    def call(item: int) -> int:
        together.wait(SECONDS)  # breaks unless all three are called at the same time
        return get_ident()

    assert len(set(in_parallel(call, range(3), 3))) == 3


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_no_more_than_one_item_a_worker_is_called_ahead_of_the_reader(workers: int) -> None:
    taken = 0
    lock = Lock()
    is_called = Event()

    def items() -> Iterator[int]:
        nonlocal taken
        for number in count():
            with lock:
                taken += 1
            yield number

    def call(number: int) -> int:
        is_called.set()
        return number

    results = in_parallel(call, items(), workers)
    assert taken == 0, "called before anything was read"

    for read in range(1, 30):
        is_called.clear()
        next(results)
        is_called.wait(0.002)  # time to run ahead, for whoever would
        assert taken <= read + workers

    stop(results)


def test_an_exception_goes_to_the_reader() -> None:
    def call(number: int) -> int:
        if number == 3:
            raise LookupError("three")
        return number

    found: list[int] = []

    with pytest.raises(LookupError, match="three"):
        found.extend(in_parallel(call, range(10), 1))

    assert found == [0, 1, 2]


def test_after_an_exception_nothing_more_is_called() -> None:
    called: list[int] = []

    def call(number: int) -> int:
        called.append(number)
        raise LookupError(number)

    with pytest.raises(LookupError):
        list(in_parallel(call, range(1_000), 2))

    assert len(called) <= 4


def test_an_exception_of_the_items_goes_to_the_reader() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(in_parallel(double, items(), 2))


def test_a_reader_that_stops_ends_the_calls() -> None:
    called: list[int] = []

    def call(number: int) -> int:
        called.append(number)
        return number

    results = in_parallel(call, count(), 2)
    next(results)
    stop(results)
    after_close = len(called)

    assert after_close <= 4
    assert next(results, None) is None
    assert len(called) == after_close
