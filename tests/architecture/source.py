"""The project's own source, read for the tests of its shape."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (ROOT / "src" / "tailrace", ROOT / "services" / "src" / "tailrace_services")


@dataclass(frozen=True)
class Module:
    """One file of the product or the services."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """Its path from the project's root."""
        return str(self.path.relative_to(ROOT))

    def length(self, node: ast.AST | None = None) -> int:
        """Lines of the module, or of ``node``, without docstrings: documentation never makes code too long."""
        node = node or self.tree
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        docstrings = sum(
            statement.end_lineno - statement.lineno + 1
            for owner in ast.walk(node)
            if isinstance(owner, documented)
            for statement in owner.body
            if _is_string(statement)
        )
        whole = self.text.count("\n") if node is self.tree else node.end_lineno - node.lineno + 1  # type: ignore[attr-defined]
        return int(whole - docstrings)

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function and method."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    def public(self) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every class and function of the module's own that ``__all__`` names."""
        exported = set(self._exported())
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name in exported:
                yield node

    def _exported(self) -> Iterator[str]:
        """The names in ``__all__``, as far as it is written out."""
        for node in self.tree.body:
            named = isinstance(node, ast.Assign) and [t.id for t in node.targets if isinstance(t, ast.Name)]
            if named == ["__all__"]:
                yield from (n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str))

    def names(self) -> set[str]:
        """Every name used or imported."""
        used = {node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)}
        imports = (node for node in ast.walk(self.tree) if isinstance(node, ast.ImportFrom))
        return used | {alias.name for node in imports for alias in node.names}

    def strings(self) -> Iterator[str]:
        """Every string."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def _is_string(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(getattr(statement.value, "value", None), str)


@cache
def modules() -> tuple[Module, ...]:
    """All modules of the product and of the services."""
    found = []
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            text = path.read_text()
            found.append(Module(path, text, ast.parse(text)))
    return tuple(found)
