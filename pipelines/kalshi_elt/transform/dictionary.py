"""The data dictionary, `docs/data_dictionary.md`, made from dbt's own YAML.

`python -m kalshi_elt.transform.dictionary` writes it; a test fails when it is stale. Nothing but
the YAML is read: no database, no manifest.
"""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from kalshi_elt.base.paths import PROJECT_ROOT

MODELS = PROJECT_ROOT / "dbt_project" / "models"
DICTIONARY = PROJECT_ROOT / "docs" / "data_dictionary.md"

HEADER = """\
# Data dictionary

Made by `make dictionary` from the YAML beside the dbt models; don't edit it. Prices in `*_dollars`
are exact, columns without the suffix are whole cents; `*_fp` are contracts. All times are UTC.
"""

DOCS_BLOCK = re.compile(r"{% docs (\w+) %}(.*?){% enddocs %}", re.DOTALL)
DOC = re.compile(r"{{ doc\(\"(\w+)\"\) }}")
TABLES_FIRST = (
    *("series", "events", "markets", "candles", "market_history", "settlements"),
    *("market_summary", "event_probabilities", "candles_filled", "calibration"),
)


def render() -> str:
    """The whole dictionary as Markdown."""
    blocks = docs_blocks()
    sections = [HEADER]
    for model in sorted(_models(), key=_reading_order):
        sections.append("\n".join(_table(f"kalshi.{model['name']}", model, blocks)))
    for file in ("__kalshi_raw.yml", "__kalshi_ops.yml"):
        (source,) = _read(MODELS / "staging" / file)["sources"]
        for table in source["tables"]:
            sections.append("\n".join(_table(f"{source['name']}.{table['name']}", table, blocks)))
    return "\n".join(sections)


def docs_blocks() -> dict[str, str]:
    """The texts that descriptions refer to by `doc("name")`."""
    files = sorted((MODELS / "docs").glob("*.md"))
    return dict(DOCS_BLOCK.findall("".join(file.read_text(encoding="utf-8") for file in files)))


def _models() -> Iterator[dict[str, Any]]:
    for folder in ("core", "marts"):
        for file in sorted((MODELS / folder).glob("*.yml")):
            yield from _read(file)["models"]


def _reading_order(model: dict[str, Any]) -> tuple[int, str]:
    name = model["name"]
    return (TABLES_FIRST.index(name) if name in TABLES_FIRST else len(TABLES_FIRST), name)


def _read(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def _table(name: str, node: dict[str, Any], blocks: dict[str, str]) -> Iterator[str]:
    yield f"## {name}\n"
    yield _wrapped(_text(node["description"], blocks)) + "\n"
    for constraint in node.get("constraints", []):
        columns = ", ".join(f"`{column}`" for column in constraint["columns"])
        if constraint["type"] == "primary_key":
            yield f"Primary key `{constraint['name']}`: {columns}.\n"
        else:
            parent = re.sub(r"ref\('(\w+)'\)", r"kalshi.\1", constraint["to"])
            text = (
                f"Foreign key `{constraint['name']}`: {columns} refers to `{parent}`, "
                f"{constraint['expression']}."
            )
            yield _wrapped(text) + "\n"
    yield from _arguments(node, blocks)
    yield "| column | type | description |"
    yield "|---|---|---|"
    for column in node["columns"]:
        kind = str(column.get("data_type", "")).removeprefix("pg_catalog.")
        yield f"| `{column['name']}` | {kind} | {_text(column['description'], blocks)} |"
    yield ""


def _arguments(node: dict[str, Any], blocks: dict[str, str]) -> Iterator[str]:
    """The table of a function's arguments; nothing for a table or a view."""
    arguments = node.get("config", {}).get("meta", {}).get("arguments", [])
    if not arguments:
        return
    yield "| argument | type | description |"
    yield "|---|---|---|"
    for argument in arguments:
        text = _text(argument["description"], blocks)
        yield f"| `{argument['name']}` | {argument['data_type']} | {text} |"
    yield ""


def _text(description: str, blocks: dict[str, str]) -> str:
    filled = DOC.sub(lambda match: blocks[match[1]], description)
    return " ".join(filled.split()).replace("|", "\\|")


def _wrapped(text: str) -> str:
    """A paragraph in lines of at most 120 characters, as all prose of the project."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def main() -> None:
    """Write the dictionary."""
    DICTIONARY.parent.mkdir(exist_ok=True)
    DICTIONARY.write_text(render(), encoding="utf-8")
    print(f"dictionary: {DICTIONARY}")


if __name__ == "__main__":
    main()
