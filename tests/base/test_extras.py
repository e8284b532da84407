"""A module that only an extra brings: the error says which, and what to install."""

import re
import tomllib

import pytest

from kalshi_elt.base.extras import EXTRAS, missing_extra
from kalshi_elt.base.paths import PROJECT_ROOT


@pytest.mark.parametrize("module", EXTRAS)
def test_a_module_of_an_extra_is_named_with_what_installs_it(module: str) -> None:
    said = missing_extra(ModuleNotFoundError(f"No module named '{module}.x'", name=f"{module}.x"))

    assert said is not None
    assert f"`{EXTRAS[module]}`" in said
    assert f"`make setup EXTRAS={EXTRAS[module]}`" in said
    assert f"pip install '.[{EXTRAS[module]}]'" in said


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'psycopg2'", name="psycopg2"),
        ModuleNotFoundError("no name"),
        ImportError("pyarrow is broken", name="pyarrow"),
        ValueError("pyarrow"),
    ],
)
def test_any_other_error_is_none_of_it(error: Exception) -> None:
    assert missing_extra(error) is None


def test_the_extras_are_the_packages_own() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    for module, extra in EXTRAS.items():
        packages = project["optional-dependencies"][extra]
        names = {re.split(r"[^\w-]", package)[0].replace("-", "_") for package in packages}
        assert names & {module, f"{module}_python"}
