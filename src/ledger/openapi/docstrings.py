"""The strings that stand under attributes, which Python throws away: read from the source of their classes."""

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise


def attribute_docstrings(kind: type) -> dict[str, str]:
    """What is said of each attribute of a class, by name; what a class says goes before what its bases say."""
    found: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        found |= _of_module(owner.__module__).get(owner.__name__, {})
    return found


def flowing(text: str | None) -> str:
    """A docstring without its line breaks; paragraphs stay apart."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


@cache
def _of_module(name: str) -> dict[str, dict[str, str]]:
    try:
        source = inspect.getsource(sys.modules[name])
    except (OSError, TypeError):  # written in C, or shipped without its source
        return {}
    return {node.name: _of_class(node) for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}


def _of_class(node: ast.ClassDef) -> dict[str, str]:
    return {
        declared.target.id: flowing(below.value.value)
        for declared, below in pairwise(node.body)
        if isinstance(declared, ast.AnnAssign)
        and isinstance(declared.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }
