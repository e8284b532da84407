"""How time grows with size: 1, 2, 4 and 8 units of an exchange day, and the exponent."""

import argparse
import math
from collections.abc import Sequence

from bench.day import Day, measure
from bench.exchange import Size
from bench.measure import verdict
from bench.workspace import server

UNITS = (1, 2, 4, 8)
TARGET = 1.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--unit", type=float, default=0.02, help="fraction of an exchange day")
    parser.add_argument("--units", type=int, nargs="+", default=UNITS)
    parser.add_argument("--rate", default="100000", help="requests a second")


def run(arguments: argparse.Namespace) -> None:
    """Load and transform each size into a database of its own, on one server."""
    days: list[Day] = []
    with server(arguments.server) as postgres:
        # a first, small one, which is not measured: dbt parses the project in it
        measure(postgres.database("bench"), Size().part(arguments.unit / 10), arguments.rate)
        for units in arguments.units:
            size = Size().part(arguments.unit * units)
            day = measure(postgres.database("bench"), size, arguments.rate)
            days.append(day)
            print(
                f"  {units:>3} units: {day.candles:>9,} candles, load {day.load.seconds:.2f} s, "
                f"transform {day.transform.seconds:.2f} s, peak {day.load.peak_mb:.0f} and "
                f"{day.transform.peak_mb:.0f} MB",
                flush=True,
            )
    _report("load", arguments.units, [day.load.seconds for day in days])
    _report("transform", arguments.units, [day.transform.seconds for day in days])


def _report(name: str, units: Sequence[int], seconds: Sequence[float]) -> None:
    steps = [
        f"{(seconds[i + 1] - seconds[i]) / (units[i + 1] - units[i]):.2f}"
        for i in range(len(units) - 1)
    ]
    # the time that each command takes whatever the size makes the exponent smaller than it is; in
    # the differences between sizes that time is left out
    print(f"  {name}: seconds for each further unit, from size to size: {', '.join(steps)}")
    verdict(f"scale of {name}", exponent(units, seconds), "(exponent)", target=TARGET)


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The exponent of seconds as a power of size: the slope of the logarithms, by least squares."""
    xs, ys = [math.log(size) for size in sizes], [math.log(second) for second in seconds]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return slope / sum((x - mean_x) ** 2 for x in xs)
