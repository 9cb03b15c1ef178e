"""A setting or metric nobody can read about is one nobody can use."""

from __future__ import annotations

import ast

from tests.architecture.source import ROOT, modules

from tailrace.cli import metrics, settings


def _undocumented(path: str) -> list[str]:
    """Fields of settings classes that are not followed by a docstring of their own."""
    (module,) = [each for each in modules() if each.name == path]
    missing = []
    for node in module.tree.body:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Settings"):
            for field, following in zip(node.body, [*node.body[1:], None], strict=True):
                documented = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and not documented:
                    missing.append(f"{node.name}.{field.target.id}")
    return missing


def test_every_setting_of_the_product_is_documented() -> None:
    """Each setting says what it means and in which unit."""
    rooms = {name for name in _undocumented("src/tailrace/settings.py") if not name.startswith("Settings.")}
    assert rooms == set()


def test_every_setting_of_the_services_is_documented() -> None:
    """Each setting says what it means and in which unit."""
    assert _undocumented("services/src/tailrace_services/settings.py") == []


def test_the_page_of_settings_is_what_the_code_says() -> None:
    """Renewed by ``tailrace settings --format markdown > docs/reference/settings.md``, where nothing is set."""
    assert (ROOT / "docs" / "reference" / "settings.md").read_text() == settings.reference()


def test_the_page_of_metrics_is_what_the_code_says() -> None:
    """Renewed by ``tailrace metrics list --format markdown > docs/reference/metrics.md``."""
    assert (ROOT / "docs" / "reference" / "metrics.md").read_text() == metrics.reference()
