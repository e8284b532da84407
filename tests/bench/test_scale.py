"""docs/scale.md: each figure of its tables is what its formula gives."""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Any

import pytest

from kalshi_elt.base.paths import PROJECT_ROOT

SCALE = PROJECT_ROOT / "docs" / "scale.md"
PERFORMANCE = PROJECT_ROOT / "docs" / "performance.md"

NOT_APPLICABLE = "-"

FUNCTIONS: dict[str, Callable[..., float]] = {"min": min, "sqrt": sqrt}

Table = list[list[str]]


@dataclass(frozen=True)
class Figure:
    """One computed figure: where it stands, what it says, what its formula gives."""

    where: str
    printed: str
    computed: float


def tables() -> Iterator[Table]:
    """The rows of each table, the header first."""
    said = SCALE.read_text(encoding="utf-8")
    for block in re.findall(r"(?:^\|.*\n)+", said, re.MULTILINE):
        header, _, *rows = (
            [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()
        )
        yield [header, *rows]


def number(said: str) -> float:
    assert re.fullmatch(r"\d{1,3}(,\d{3})*(\.\d+)?", said), f"{said!r} is no number"
    return float(said.replace(",", ""))


def code(said: str) -> str:
    """What stands between backticks."""
    (found,) = re.findall(r"^`([^`]+)`$", said)
    return str(found)


def known() -> dict[str, float]:
    """The inputs, by symbol."""
    ((_, *rows),) = (table for table in tables() if table[0][0] == "symbol")
    return {code(symbol): number(value) for symbol, value, *_ in rows}


def evaluate(expression: str, values: dict[str, float]) -> float:
    """A formula of the document: arithmetic on symbols, and a few functions."""
    tree = ast.parse(expression, mode="eval")
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    unknown = names - values.keys() - FUNCTIONS.keys()
    assert not unknown, f"{expression}: nothing says what {', '.join(sorted(unknown))} is"
    compiled: Any = compile(tree, str(SCALE), "eval")
    return float(eval(compiled, {"__builtins__": {}, **FUNCTIONS}, values))


def figures() -> Iterator[Figure]:
    """Each figure of each table with formulas, from left to right and down."""
    for header, *rows in tables():
        if header[1] != "how":
            continue
        cases = [dict(known()) for _ in header[2:]]
        for what, how, *cells in rows:
            assert len(cells) == len(cases), what
            if not how:
                continue
            name, _, expression = (part.strip() for part in code(how).partition("="))
            for case, title, printed in zip(cases, header[2:], cells, strict=True):
                if printed == NOT_APPLICABLE:
                    continue
                case[name] = evaluate(expression, case) if expression else number(printed)
                if expression:
                    yield Figure(f"{what} ({title})", printed, case[name])


def result(name: str, title: str) -> float:
    """What a formula gives in one column."""
    for header, *rows in tables():
        if header[1] == "how" and title in header:
            for what, how, *_ in rows:
                if how and code(how).partition("=")[0].strip() == name:
                    (found,) = (one for one in figures() if one.where == f"{what} ({title})")
                    return found.computed
    raise AssertionError(f"no formula gives {name} in a column {title}")


@pytest.mark.parametrize("figure", list(figures()), ids=lambda figure: figure.where)
def test_each_figure_is_what_its_formula_gives(figure: Figure) -> None:
    decimals = len(figure.printed.partition(".")[2])

    assert number(figure.printed) == pytest.approx(figure.computed, abs=0.5001 * 10**-decimals)


def test_there_are_tables_with_formulas() -> None:
    assert len(list(figures())) > 100


def test_what_performance_md_is_named_for_stands_there() -> None:
    measured = PERFORMANCE.read_text(encoding="utf-8")
    ((_, *rows),) = (table for table in tables() if table[0][0] == "symbol")

    named = [value for _, value, _, source in rows if "performance.md" in source]

    assert len(named) > 5
    for value in named:
        assert re.search(rf"(?<![\d,.]){re.escape(value)}(?![\d,]*\d)", measured), value


def test_inputs_that_the_last_section_measured_are_its_results() -> None:
    inputs = known()

    assert inputs["overhead"] == pytest.approx(result("insert_ratio", "Citus"), abs=0.005)
    assert inputs["passes"] == result("copy_rate", "Citus")
    assert inputs["shard_ms"] == pytest.approx(182 / 256, abs=0.005)
    assert inputs["backup_rate"] == pytest.approx(630_000 / 5.85, abs=500)


@pytest.mark.parametrize(
    ("said", "of"),
    [
        ("of 151 million minutes", lambda known: known["markets"] * 1440 / 1e6),
        ("fifty times narrower", lambda known: _candles_at_pace(known)),
        ("a year of it takes 40 days", lambda known: result("history", "one") * 365 / 24),
        ("16 KiB a market", lambda known: 2 * 8192 / 1024),
        ("23 minutes a look", lambda known: result("look", "ten") / 60),
        ("31.5 hours a day", lambda known: result("hours", "one, by the second")),
        ("takes 23 of 24 hours", lambda known: result("typing", "ten, by the second") / 3600),
        ("253,000 candles/s", lambda known: result("types", "4 nodes") * 1e3),
        ("are 118 MB/s", lambda known: 253_000 * _bytes(known) / 1e6),
        ("takes raw windows away, an eighth", lambda known: _bytes(known) / known["raw"]),
        ("passes 8,000 days", lambda known: known["passes"] * 86400 / known["candles"]),
    ],
)
def test_figures_in_the_text_are_those_of_the_tables(
    said: str, of: Callable[[dict[str, float]], float]
) -> None:
    """To the precision with which one speaks."""
    words = {"fifty": 50, "an eighth": 8}
    text = re.sub(r"\s+", " ", SCALE.read_text(encoding="utf-8"))

    assert said in text
    spoken = [float(value) for word, value in words.items() if word in said]
    spoken += [number(found) for found in re.findall(r"\d[\d,]*(?:\.\d+)?", said)]
    assert spoken[0] == pytest.approx(of(known()), rel=0.075)


def _bytes(inputs: dict[str, float]) -> float:
    return inputs["raw"] + inputs["typed"] + inputs["marts"]


def _candles_at_pace(inputs: dict[str, float]) -> float:
    """How many times more candles a loader lands than the pace lets it ask for."""
    dense = inputs["candles"] / (inputs["markets"] * 1440)
    return inputs["load_rate"] / (inputs["pace"] * inputs["cap"] * dense)
