"""Every query of docs/cookbook.md runs as it stands there, and answers its question."""

import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from kalshi_elt.base.paths import PROJECT_ROOT
from simulator import Simulator
from tests.conftest import Project, empty_project
from tests.support.landing import START, Landing, Window, candle, event, flat, land, market

RECIPE = re.compile(r"^## \d+\. (.+?)$.*?```sql\n(.+?)```", re.MULTILINE | re.DOTALL)
RECIPES = dict(RECIPE.findall((PROJECT_ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def warehouse(server_url: str, simulator: Simulator, dbt_work: Path) -> Iterator[Project]:
    """The seed's event, and three markets that settled a day after their last candle: a long shot
    that came true, and two that did not."""
    with empty_project(server_url, simulator, dbt_work) as project:
        project.must("load", "--since", "40h")
        close = (START + timedelta(hours=24, minutes=30)).isoformat()
        quotes = {name: f"0.0{n}00" for n, name in enumerate(("A", "B", "C"), start=2)}
        land(
            project,
            Landing(
                minute=70,
                events=[event(category="Sports")],
                markets=[
                    market(
                        name,
                        close_time=close,
                        status="finalized",
                        result="yes" if name == "A" else "no",
                        settlement_ts=close,
                        settlement_value_dollars="1.0000" if name == "A" else "0.0000",
                    )
                    for name in quotes
                ],
                windows=[
                    Window(
                        name,
                        [candle(1, yes_bid=flat(bid), yes_ask=flat("0.0800"), volume_fp="3.00")],
                    )
                    for name, bid in quotes.items()
                ],
            ),
        )
        project.must("dbt", "run")
        yield project


def test_there_are_fifteen_questions_and_each_has_a_query() -> None:
    text = (PROJECT_ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8")

    assert len(RECIPES) >= 15
    assert len(RECIPES) == text.count("\n## ") == text.count("```sql")


@pytest.mark.parametrize("question", RECIPES)
def test_the_query_answers_its_question(warehouse: Project, question: str) -> None:
    rows = warehouse.query(RECIPES[question])

    assert rows
    # no column that is empty everywhere: a wrong join would make one
    empty = {n for n in range(len(rows[0])) if all(row[n] is None for row in rows)}
    assert len(empty) <= {"What did Kalshi say of a market, and when did that change?": 2}.get(
        question, 1
    )


def test_the_answers_are_right_where_we_know_them(warehouse: Project) -> None:
    (buckets,) = warehouse.query(RECIPES["How good were prices a day before settlement?"])
    assert buckets[2:5] == (3, Decimal("0.055000"), Decimal("0.333333"))
    (long_shot,) = warehouse.query(RECIPES["Which long shots came true?"])
    assert (long_shot[0], long_shot[2]) == ("A", Decimal("0.05"))
    total = warehouse.query(RECIPES["How did all outcomes of an event move together?"])
    by_time: dict[object, Decimal] = {}
    for end, _, _, share in total:
        by_time[end] = by_time.get(end, Decimal(0)) + (share or 0)
    assert len(by_time) > 20
    assert all(abs(share - 1) < Decimal("0.0001") for share in by_time.values())
