"""The mark `server`, which `make test-fast` leaves out, follows from what a test asks for."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kalshi_elt.warehouse import embedded
from simulator import servers
from tests.conftest import SERVER_FIXTURES, starts_a_server


def item(*fixtures: str, **names: Any) -> Any:
    return SimpleNamespace(fixturenames=fixtures, module=SimpleNamespace(**names))


@pytest.mark.parametrize("fixture", sorted(SERVER_FIXTURES))
def test_a_test_that_asks_for_a_server_starts_one(fixture: str) -> None:
    assert starts_a_server(item("tmp_path", fixture))


@pytest.mark.parametrize(
    "starter", [embedded.EmbeddedServer, servers.embedded_server, servers.postgres_15]
)
def test_so_does_one_whose_file_has_what_starts_one(starter: Any) -> None:
    assert starts_a_server(item("tmp_path", any_name=starter))


def test_no_other_does() -> None:
    assert not starts_a_server(item("tmp_path", "simulator", path=Path))


def test_one_that_starts_a_server_unmarked_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="marked `server`"):
        embedded.EmbeddedServer(tmp_path).start()
