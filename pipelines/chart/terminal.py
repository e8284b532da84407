"""Charts for a terminal, drawn by plotext."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from pipelines.chart.data import Chart, EventChart, MarketChart
from pipelines.chart.spec import percent, summary_of, title_of
from pipelines.sanitize import visible

LEAST_WIDTH, LEAST_HEIGHT = 40, 15
TICKS = 5

COLOURS = ("blue+", "orange+", "green+", "magenta+", "yellow+", "cyan+", "red+")
MARKERS = ("hd", "dot", "cross", "x", "o", "*", "+", "#", "@", "%", "$", "=")
"""Lines differ also without colour."""

Steps = Sequence[tuple[datetime, Decimal]]


def render_terminal(chart: Chart, width: int, height: int, *, colour: bool) -> str:
    """The chart in so many columns and lines, at least 40 by 15."""
    width, height = max(width, LEAST_WIDTH), max(height, LEAST_HEIGHT)
    drawn = (
        _market(chart, width, height)
        if isinstance(chart, MarketChart)
        else _event(chart, width, height)
    )
    # plotext has no other way to leave out colours and bold type
    import plotext

    text = drawn if colour else plotext.uncolorize(drawn)
    lines = [line.rstrip() for line in text.splitlines()]
    return "\n".join([title_of(chart)[:width], summary_of(chart)[:width], *lines])


def _event(chart: EventChart, width: int, height: int) -> str:
    import plotext

    names = [
        f" {_marker(number)} {visible(line.name)[: width - 14]} {percent(line.latest)}"
        for number, line in enumerate(chart.lines)
    ]
    _begin(width, max(height - len(names), LEAST_HEIGHT))
    for number, line in enumerate(chart.lines):
        x, y = _stairs(line.steps)
        plotext.plot(x, y, marker=_marker(number), color=COLOURS[number % len(COLOURS)])
    _label_times([end for line in chart.lines for end, _ in line.steps])
    _label_probabilities([value for line in chart.lines for _, value in line.steps])
    drawn = plotext.build()
    keys = [
        plotext.colorize(name, COLOURS[number % len(COLOURS)]) for number, name in enumerate(names)
    ]
    return "\n".join([str(drawn), *map(str, keys)])


def _market(chart: MarketChart, width: int, height: int) -> str:
    import plotext

    ends = [period.end for period in chart.periods]
    volume_height = max(height // 4, 5)
    _begin(width, height - volume_height)
    known: list[Decimal] = []
    for field, marker, colour in (
        ("yes_bid", "dot", "gray"),
        ("yes_ask", "dot", "gray"),
        ("probability", "hd", "blue+"),
    ):
        steps = [(p.end, v) for p in chart.periods if (v := getattr(p, field)) is not None]
        known += [value for _, value in steps]
        if steps:
            x, y = _stairs(steps)
            plotext.plot(x, y, marker=marker, color=colour)
    _label_times(ends)
    _label_probabilities(known)
    prices = str(plotext.build())
    _begin(width, volume_height)
    plotext.bar(
        [end.timestamp() for end in ends],
        [float(period.volume) for period in chart.periods],
        color="blue+",
        marker="hd",
    )
    _label_times(ends)
    plotext.yfrequency(3)
    plotext.ylabel("contracts")
    return f"{prices}\n{plotext.build()}"


def _begin(width: int, height: int) -> None:
    """plotext draws on one figure of its own, which keeps what was drawn before."""
    import plotext

    plotext.clear_figure()
    plotext.theme("clear")
    plotext.limitsize(False, False)
    plotext.plotsize(width, height)


def _marker(number: int) -> str:
    return {"hd": "\N{FULL BLOCK}", "dot": "\N{BULLET}", "cross": "\N{MULTIPLICATION SIGN}"}.get(
        MARKERS[number % len(MARKERS)], MARKERS[number % len(MARKERS)]
    )


def _stairs(steps: Steps) -> tuple[list[float], list[float]]:
    """A value holds until the next one: two points for each change."""
    x: list[float] = []
    y: list[float] = []
    for end, value in steps:
        if y:
            x.append(end.timestamp())
            y.append(y[-1])
        x.append(end.timestamp())
        y.append(float(value))
    return x, y


def _label_times(moments: Sequence[datetime]) -> None:
    import plotext

    first, last = min(moments).timestamp(), max(moments).timestamp()
    positions = [first + (last - first) * number / (TICKS - 1) for number in range(TICKS)]
    form = "%H:%M" if last - first < 36 * 3600 else "%m-%d %H:%M"
    if last - first > 10 * 86400:
        form = "%Y-%m-%d"
    plotext.xticks(positions, [f"{datetime.fromtimestamp(p, UTC):{form}}" for p in positions])


def _label_probabilities(values: Sequence[Decimal]) -> None:
    import plotext

    if not values:
        return
    low, high = float(min(values)), float(max(values))
    positions = [low + (high - low) * number / (TICKS - 1) for number in range(TICKS)]
    plotext.yticks(positions, [f"{position:.1%}" for position in positions])
