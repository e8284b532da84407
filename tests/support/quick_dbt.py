"""dbt made quick for a suite that builds hundreds of times in one process.

An unchanged `dbt run` of this project takes 2.8 s of CPU time when hardly a row is new, and only a
tenth of that runs our macros. It is spent on events that nobody reads (a fifth), on the same macro
namespace made twice for each node (a fifth), on Jinja's modules made anew at each call of a macro
(a tenth), on parsing, and on writing `manifest.json` twice and the graph (a quarter). Under pytest,
where the stack is deep, looking through it for the name of a module takes 1 to 3 s more. Without
all this it takes 0.7 s. What dbt sends to the warehouse stays the same, byte by byte but for its
order: `tests/support/test_quick_dbt.py` compares it with that of a dbt that is as it was installed.
"""

import fcntl
import gc
import json
import os
import threading
from collections.abc import Callable
from contextlib import chdir
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dbt.clients.jinja
import dbt.context.macros
import psycopg2
from dbt.adapters.base.connections import BaseConnectionManager
from dbt.cli import requires
from dbt.cli.main import dbtRunner
from dbt.clients.jinja import MacroGenerator
from dbt.compilation import Compiler
from dbt.context import providers
from dbt.contracts.graph.manifest import Manifest
from dbt.events.logging import track_behavior_change_warn
from dbt.graph import Graph
from dbt_common.behavior_flags import BehaviorFlagRendered
from dbt_common.clients import agate_helper
from dbt_common.clients import jinja as common_jinja
from dbt_common.events.base_types import BaseEvent, EventLevel
from dbt_common.events.event_manager import EventManager

from kalshi_elt.base.paths import PROJECT_ROOT

BUILDS = ("build", "run", "test", "freshness")
"""Commands that write no file about what they did."""

KEPT_FOR = (*BUILDS, "generate")
"""Commands that take the parsed project of this process; others parse it."""

NOWHERE = {
    "PGHOST": "nowhere",
    "PGPORT": "1",
    "PGUSER": "nobody",
    "PGPASSWORD": "",
    "PGDATABASE": "nothing",
}
"""What the project is parsed for, always the same, as dbt parses all of it anew for another server,
port or database."""

FOLDER = PROJECT_ROOT / ".pytest_cache" / "dbt"
"""Where the parsed project is kept, from one session to the next."""

LEVELS = list(EventLevel)
"""From the least to the most important."""


@cache
def install() -> None:
    """Change dbt in this process, once."""
    _skip_events_that_nobody_reads()
    _keep_templates_and_types()
    _keep_macros()
    _keep_connections()
    _keep_the_parsed_project()
    # what is here now stays, and a build makes 50,000 objects that stay as long as it lasts: to
    # look for garbage among them takes a fifth of its time
    gc.collect()
    gc.freeze()
    gc.set_threshold(1_000_000, 20, 50)


@cache
def parsed() -> "ParsedProject":
    """The project, parsed once in this process, and only where it changed since another one did."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    environment = {**NOWHERE, "DBT_LOG_PATH": str(FOLDER / "logs"), "DBT_LOG_LEVEL_FILE": "none"}
    with (
        (FOLDER / "lock").open("w") as lock,
        chdir(PROJECT_ROOT),
        patch.dict(os.environ, environment),
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = dbtRunner().invoke(["--quiet", "parse", "--target-path", str(FOLDER)])
        assert isinstance(result.result, Manifest), result.exception
        return ParsedProject(result.result, json.loads((FOLDER / "manifest.json").read_text()))


class ParsedProject:
    """dbt's own object, which a build changes in a few places, and what it wrote about it."""

    def __init__(self, manifest: Manifest, written: dict[str, Any]) -> None:
        self.manifest = manifest
        self.written = written
        self.database = NOWHERE["PGDATABASE"]
        self.foreign_keys = [
            (constraint, constraint.to)
            for node in manifest.nodes.values()
            for constraint in getattr(node, "constraints", ())
            if constraint.to
        ]

    def of_database(self, name: str) -> Manifest:
        """The project as if it had been parsed for that database."""
        for constraint, parent in self.foreign_keys:
            # dbt writes the parent's relation over its `ref`
            constraint.to = parent
        if name != self.database:
            for node in (*self.manifest.nodes.values(), *self.manifest.sources.values()):
                if node.relation_name:
                    old, new = f'"{self.database}".', f'"{name}".'
                    node.relation_name = new + node.relation_name.removeprefix(old)
                node.database = name
            self.manifest.build_flat_graph()
            self.database = name
        return self.manifest


def _keep_the_parsed_project() -> None:
    set_up_manifest = requires.setup_manifest

    def set_up(context: Any, write: bool = True, write_perf_info: bool = False) -> None:
        config, flags = context.obj["runtime_config"], context.obj["flags"]
        is_ours = Path(config.project_root) == PROJECT_ROOT and not config.cli_vars
        if flags.WHICH in KEPT_FOR and is_ours:
            context.obj["manifest"] = parsed().of_database(config.credentials.database)
            writes = flags.WHICH not in BUILDS or "DBT_WRITE_JSON" in os.environ
            for name in ("write_json", "WRITE_JSON"):
                object.__setattr__(flags, name, writes)
        set_up_manifest(context, write, write_perf_info)

    parsed()
    requires.setup_manifest = set_up
    _keep_the_graph()


def _keep_the_graph() -> None:
    """The graph of the parsed project, with the tests that a build waits for and without."""
    link = Compiler.compile
    graphs: dict[bool, Graph] = {}

    def get_kept_graph(
        compiler: Compiler, manifest: Manifest, write: bool = True, add_test_edges: bool = False
    ) -> Graph:
        if manifest is not parsed().manifest:
            return link(compiler, manifest, write, add_test_edges)
        if add_test_edges not in graphs:
            graphs[add_test_edges] = link(compiler, manifest, write, add_test_edges)
        return graphs[add_test_edges]

    Compiler.compile = get_kept_graph


def _skip_events_that_nobody_reads() -> None:
    """An event's message is made when it is asked for, and no event below the loggers' level is."""
    fire, make = EventManager.fire_event, BaseEvent.__init__

    def fire_if_read(
        manager: EventManager,
        event: BaseEvent,
        level: EventLevel | None = None,
        node: Any = None,
        force_warn_or_error_handling: bool = False,
    ) -> None:
        importance = LEVELS.index(level or event.level_tag())
        is_read = (
            importance >= LEVELS.index(EventLevel.WARN)
            or manager.callbacks != [track_behavior_change_warn]
            or any(importance >= LEVELS.index(logger.level) for logger in manager.loggers)
        )
        if is_read:
            fire(manager, event, level, node, force_warn_or_error_handling)

    def remember(event: BaseEvent, *args: Any, **kwargs: Any) -> None:
        object.__setattr__(event, "given", (args, kwargs))

    def get(event: BaseEvent, name: str) -> Any:
        if name == "pb_msg":
            args, kwargs = object.__getattribute__(event, "given")
            make(event, *args, **kwargs)
            return object.__getattribute__(event, name)
        return getattr(event.pb_msg, name)

    # which looks through the stack and all modules for whom an event is of that is not fired
    BehaviorFlagRendered._default_source = staticmethod(lambda: "dbt.adapters")
    EventManager.fire_event = fire_if_read
    BaseEvent.__init__ = remember
    BaseEvent.__getattr__ = get


def _keep_templates_and_types() -> None:
    """Compiled Jinja code by its source, and the testers of result columns by their names."""
    get_template = common_jinja.get_template
    type_tester = cache(agate_helper.build_type_tester)

    @cache
    def environment(native: bool) -> Any:
        return common_jinja.get_environment(None, False, native)

    @cache
    def code(source: str, native: bool) -> Any:
        return environment(native).compile(source)

    def get_kept_template(
        string: str,
        ctx: dict[str, Any],
        node: Any = None,
        capture_macros: bool = False,
        native: bool = False,
    ) -> Any:
        if capture_macros:
            return get_template(string, ctx, node, capture_macros, native)
        with common_jinja.catch_jinja(node):
            environs = environment(native)
            return environs.template_class.from_code(
                environs, code(str(string), native), environs.make_globals(ctx), None
            )

    def get_kept_type_tester(
        text_columns: Any, string_null_values: tuple[str, ...] = ("null", "")
    ) -> Any:
        return type_tester(frozenset(text_columns), string_null_values)

    common_jinja.get_template = dbt.clients.jinja.get_template = get_kept_template
    agate_helper.build_type_tester = get_kept_type_tester


def _keep_macros() -> None:
    """A macro by its generator, and a macro's context by its thread, of which each build has new
    ones."""
    get_macro = common_jinja.BaseMacroGenerator.get_macro
    make_context = requires.generate_runtime_macro_context
    of_thread = threading.local()

    def get_kept_macro(generator: Any) -> Callable[..., Any]:
        if "kept_macro" not in generator.__dict__:
            generator.kept_macro = get_macro(generator)
        return generator.kept_macro

    def make_generator(macro: Any, context: dict[str, Any], node: Any, stack: Any) -> Any:
        # the same without its initialisers: there are 500 of them for each of a node's two contexts
        generator = object.__new__(MacroGenerator)
        generator.__dict__ = {"macro": macro, "context": context, "node": node, "stack": stack}
        return generator

    def get_kept_context(
        macro: Any, config: Any, manifest: Manifest, package_name: str | None
    ) -> dict[str, Any]:
        if getattr(of_thread, "config", None) is not config:
            of_thread.config, of_thread.contexts = config, {}
        key = (macro.unique_id, package_name)
        if key not in of_thread.contexts:
            of_thread.contexts[key] = make_context(macro, config, manifest, package_name)
        return of_thread.contexts[key]

    common_jinja.BaseMacroGenerator.get_macro = get_kept_macro
    requires.generate_runtime_macro_context = get_kept_context
    dbt.context.macros.MacroGenerator = make_generator
    # as a protocol it looks through all attributes of a node
    providers.IsFQNResource = HasFqn


class _HasFqn(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return hasattr(instance, "fqn") and hasattr(instance, "package_name")


class HasFqn(metaclass=_HasFqn):
    """Anything with these attributes, as dbt's own protocol has it."""


def _keep_connections() -> None:
    """A thread's next node takes its connection, made as new: connecting takes the server 5 ms, and
    the first query of a new session 5 ms more."""
    close = BaseConnectionManager.release

    def release(manager: BaseConnectionManager) -> None:
        connection = manager.get_if_exists()
        if connection is not None and connection.state == "open":
            try:
                connection.handle.rollback()
                connection.handle.autocommit = True
                with connection.handle.cursor() as cursor:
                    cursor.execute("discard all")
                connection.handle.autocommit = False
                connection.transaction_open = False
                return
            except psycopg2.Error:
                pass
        close(manager)

    BaseConnectionManager.release = release
