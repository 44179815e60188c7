"""What the compiler takes otherwise than the interpreter, without a word: the sources that it is given avoid it."""

import ast
import tomllib
from collections import defaultdict

import pytest

from tests.proxy_process import ROOT

HOOK = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
    "hooks"
]
INCLUDED = [
    path
    for each in HOOK["mypyc"]["include"]
    for found in ROOT.glob(each.lstrip("/"))
    for path in (found.rglob("*.py") if found.is_dir() else (found,))
    if path.name != "__init__.py"
]


def test_what_is_compiled_is_there():
    assert len(INCLUDED) > 50
    for each in HOOK["mypyc"]["include"] + HOOK["mypyc"]["exclude"]:
        assert "/" not in each or list(ROOT.glob(each.lstrip("/"))), each


def errors_of_two_types(tree: ast.AST) -> list[tuple[str, str]]:
    """Functions in which one name is given to errors of different types: compiled, it has the type of the first."""
    found = []
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        types = defaultdict(set)
        for node in ast.walk(function):
            if isinstance(node, ast.ExceptHandler) and node.name:
                types[node.name].add(ast.unparse(node.type))
        found += [(function.name, name) for name, several in types.items() if len(several) > 1]
    return found


@pytest.mark.parametrize("path", INCLUDED, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_name_is_given_to_errors_of_one_type(path):
    assert not errors_of_two_types(ast.parse(path.read_text()))


def test_errors_of_two_types_under_one_name_are_found():
    source = "def f():\n try: g()\n except A as error: h(error)\n except B as error: k(error)\n"
    assert errors_of_two_types(ast.parse(source)) == [("f", "error")]
