"""The data dictionary is what dbt's YAML says, and the YAML says what there is to know."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import yaml

from kalshi_elt.transform.dictionary import DICTIONARY, DOC, MODELS, docs_blocks, render

FROM_THE_API = ("series", "events", "markets", "candles")


class Column(NamedTuple):
    """A column of a typed table, with its description in full."""

    table: str
    name: str
    kind: str
    is_never_null: bool
    text: str


def documents(pattern: str = "**/*.yml") -> list[Any]:
    return [
        yaml.safe_load(file.read_text(encoding="utf-8")) for file in sorted(MODELS.glob(pattern))
    ]


def descriptions(node: Any, seen: set[int]) -> Iterator[str]:
    """The texts in the YAML; one that an anchor repeats stands there once."""
    if not isinstance(node, dict | list) or id(node) in seen:
        return
    seen.add(id(node))
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if key == "description":
            yield value
        else:
            yield from descriptions(value, seen)


def all_descriptions() -> list[str]:
    return list(descriptions(documents(), set()))


def typed_columns() -> Iterator[Column]:
    blocks = docs_blocks()
    for document in [*documents("core/*.yml"), *documents("marts/*.yml")]:
        for table in document["models"]:
            keys = [
                column
                for constraint in table.get("constraints", ())
                if constraint["type"] == "primary_key"
                for column in constraint["columns"]
            ]
            for column in table["columns"]:
                name = column["name"]
                constraints = [constraint["type"] for constraint in column.get("constraints", ())]
                text = DOC.sub(lambda match: blocks[match[1]], column["description"])
                is_never_null = name in keys or "not_null" in constraints
                yield Column(
                    table["name"], name, column["data_type"], is_never_null, " ".join(text.split())
                )


def columns_lacking(pattern: str, condition: Callable[[Column], object]) -> list[str]:
    """The columns that meet the condition, but whose description lacks what is looked for."""
    chosen = [column for column in typed_columns() if condition(column)]
    assert chosen
    return [
        f"{column.table}.{column.name}: {column.text}"
        for column in chosen
        if not re.search(pattern.format(name=column.name), column.text)
    ]


def test_the_dictionary_is_not_stale() -> None:
    assert DICTIONARY.read_text(encoding="utf-8") == render(), "run `make dictionary`"


def test_every_column_has_a_description_and_every_typed_one_a_type() -> None:
    rows = [line for line in render().splitlines() if line.startswith("| `")]

    assert len(rows) > 200
    assert not [row for row in rows if re.search(r"\|\s*\|\s*$", row)]
    typed = render().partition("## kalshi_raw.")[0]
    assert not re.findall(r"^\| `\w+` \|\s*\|.*", typed, re.MULTILINE)


def test_the_views_of_staging_are_described_column_by_column() -> None:
    for file in (MODELS / "staging").glob("stg_kalshi__*.yml"):
        text = file.read_text(encoding="utf-8")
        assert text.count("- name: problem") == 1, file
        assert "doc(" in text, file


def test_no_text_of_some_length_stands_twice_in_the_yaml() -> None:
    texts = Counter(" ".join(DOC.sub("", text).split()) for text in all_descriptions())

    assert texts.total() > 300
    assert [text for text, times in texts.items() if times > 1 and len(text) >= 40] == []


def test_every_docs_block_is_referred_to_and_no_two_say_the_same() -> None:
    blocks = docs_blocks()

    assert {name for text in all_descriptions() for name in DOC.findall(text)} == blocks.keys()
    assert len(set(blocks.values())) == len(blocks)


def test_every_column_says_its_unit() -> None:
    assert not columns_lacking(r"\bin dollars\b", lambda column: column.name.endswith("_dollars"))
    assert not columns_lacking(r"\bin (whole )?cents\b", lambda column: column.kind == "smallint")
    assert not columns_lacking(r"\b[Cc]ontracts\b", lambda column: column.name.endswith("_fp"))
    assert not columns_lacking(r"\bUTC\b", lambda column: column.kind == "timestamptz")
    assert not columns_lacking(r"\bin minutes\b", lambda column: column.name.endswith("_min"))
    assert not columns_lacking(r"\bin seconds\b", lambda column: column.name.endswith("_seconds"))


def test_every_column_without_a_constraint_says_when_it_is_null() -> None:
    """Or that it never is."""
    assert not columns_lacking(r"\bNULL\b", lambda column: not column.is_never_null)


def test_every_column_says_which_field_of_the_api_it_comes_from() -> None:
    """Or of which exact column it is a coarser form, or that the API has no part in it."""
    source = r"\bAPI [a-z]|: {name}_dollars times 100\.|: {name}_fp cut to|Not from the API\."

    assert not columns_lacking(source, lambda column: column.table in FROM_THE_API)
