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


PROTOCOLS = {
    node.name
    for path in (ROOT / "proxy").rglob("*.py")
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases)
}


def defaults_that_are_none(tree: ast.AST) -> list[str]:
    """Attributes of a Protocol's type that are None by their class: compiled, they are not there at all."""
    return [
        ast.unparse(node)
        for owner in ast.walk(tree)
        if isinstance(owner, ast.ClassDef)
        for node in owner.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.value, ast.Constant)
        and node.value.value is None
        if {each.id for each in ast.walk(node.annotation) if isinstance(each, ast.Name)} & PROTOCOLS
    ]


@pytest.mark.parametrize("path", INCLUDED, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_attribute_of_a_protocol_is_none_by_its_class(path):
    assert not defaults_that_are_none(ast.parse(path.read_text()))


def test_attributes_that_would_not_be_there_are_found():
    assert "Waiter" in PROTOCOLS
    source = "class A:\n waiting: Waiter | None = None\n size: int | None = None\n"
    assert defaults_that_are_none(ast.parse(source)) == ["waiting: Waiter | None = None"]


def waits_in_handlers(tree: ast.AST) -> list[str]:
    """Where an error is handled while something is awaited: compiled, it is then handled by all who run meanwhile.

    What they raise refers to it, and it is never let go where they end in another order than they began.
    """
    return [
        ast.unparse(node)
        for handling in ast.walk(tree)
        if isinstance(handling, ast.ExceptHandler | ast.Try)
        for statement in (handling.body if isinstance(handling, ast.ExceptHandler) else handling.finalbody)
        for node in ast.walk(statement)
        if isinstance(node, ast.Await | ast.Yield | ast.YieldFrom | ast.AsyncFor | ast.AsyncWith)
    ]


@pytest.mark.parametrize("path", INCLUDED, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_awaited_while_an_error_is_handled(path):
    assert not waits_in_handlers(ast.parse(path.read_text()))


def test_waits_in_handlers_are_found():
    source = "async def f():\n try: g()\n except E: await h()\n finally: await k()\n await m()\n"
    assert waits_in_handlers(ast.parse(source)) == ["await k()", "await h()"]


def test_errors_of_two_types_under_one_name_are_found():
    source = "def f():\n try: g()\n except A as error: h(error)\n except B as error: k(error)\n"
    assert errors_of_two_types(ast.parse(source)) == [("f", "error")]
