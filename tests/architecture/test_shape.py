"""The shape of the code, as failing tests rather than as advice."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

from tests.architecture.source import ROOT, modules

from tailrace.asgi.stack import ORDER

MODULE_LINES = 320
FUNCTION_LINES = 50
"""Docstrings not counted."""


def test_there_is_something_to_check() -> None:
    """The tests below look at the whole project, not at an empty list."""
    names = {module.name for module in modules()}
    assert "src/tailrace/errors.py" in names
    assert "services/src/tailrace_services/settings.py" in names


def test_a_module_is_one_idea() -> None:
    """A longer module is two."""
    assert {m.name: m.length() for m in modules() if m.length() > MODULE_LINES} == {}


def test_a_function_is_one_step() -> None:
    """A longer function is two."""
    lengths = {f"{module.name} {node.name}": module.length(node) for module in modules() for node in module.functions()}
    assert {name: length for name, length in lengths.items() if length > FUNCTION_LINES} == {}


def test_a_module_says_what_it_is() -> None:
    """Every module that holds anything begins with a docstring."""
    assert [m.name for m in modules() if m.text.strip() and not ast.get_docstring(m.tree)] == []


def test_public_names_are_documented() -> None:
    """Whoever uses a public class or function finds out from it what it does."""
    assert [
        f"{module.name} {node.name}" for module in modules() for node in module.public() if not ast.get_docstring(node)
    ] == []


def test_no_slow_middleware_base() -> None:
    """Starlette's BaseHTTPMiddleware costs hundreds of microseconds a layer and breaks streaming."""
    assert [module.name for module in modules() if "BaseHTTPMiddleware" in module.names()] == []


def test_no_vague_names() -> None:
    """A module named for nothing collects everything."""
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert [m.name for m in modules() if vague & set(m.path.relative_to(ROOT).with_suffix("").parts)] == []


def test_nothing_is_left_to_do() -> None:
    """What is not done is not in the code."""
    assert [module.name for module in modules() if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", module.text)] == []


def test_no_paths_of_one_machine() -> None:
    """The code runs wherever it is checked out."""
    machine = re.compile(r"(?<![\w.])/(home|Users|root|work|workspace)/\w")
    assert [f"{m.name}: {text[:60]}" for m in modules() for text in m.strings() if machine.search(text)] == []


def test_importing_costs_nothing() -> None:
    """``import tailrace`` loads none of its rooms and no third-party package."""
    code = "import sys; before = set(sys.modules); import tailrace; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {name.partition(".")[0] for name in done.stdout.split()} - set(sys.stdlib_module_names)
    assert loaded == {"tailrace"}
    assert not [
        name for name in done.stdout.split() if name.startswith(("tailrace.cache", "tailrace.db", "tailrace.asgi"))
    ]


def test_help_is_quick() -> None:
    """``tailrace-services --help`` loads no web framework, database client or server."""
    code = (
        "import sys\n"
        "from tailrace_services.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.partition("LOADED")[2].split())
    assert not loaded & {"fastapi", "starlette", "sqlalchemy", "asyncpg", "numpy", "uvicorn", "alembic"}


def test_the_order_of_layers_is_the_documented_one() -> None:
    """The page names every layer in the order in which they stand."""
    page = " ".join((ROOT / "ARCHITECTURE.md").read_text().split())
    assert ", ".join(name for name, _ in ORDER) + ", then the application" in page
