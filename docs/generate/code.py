"""What other pages say of the code: exit codes, errors, messages of the control API, packages."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from inspect import cleandoc
from itertools import pairwise
from pathlib import Path
from types import ModuleType, NoneType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

import devtls
from devtls import errors
from devtls.errors import DevtlsError, ExitCode
from devtls.web import control_messages
from docs.generate.configuration import table

PACKAGE = Path(devtls.__file__).parent


def exit_codes() -> str:
    """Return the table of exit codes; what each means stands below it in `errors.py`."""
    meanings = attribute_docstrings(errors, ExitCode)
    return table(("Code", "Means"), ((str(code.value), meanings[code.name]) for code in ExitCode))


def error_tree() -> str:
    """Return the tree of exceptions, each with its exit code and its first sentence."""
    return "\n".join(_branch(DevtlsError, 0))


def _branch(kind: type[DevtlsError], depth: int) -> Iterator[str]:
    sentence = cleandoc(kind.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    yield f"{'  ' * depth}* `{kind.__name__}` ({int(kind.exit_code)}): {sentence}"
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from _branch(below, depth + 1)


def attribute_docstrings(module: ModuleType, kind: type) -> dict[str, str]:
    """Return attribute -> the text that stands below it in the source of a class."""
    tree = ast.parse(inspect.getsource(module))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind.__name__)
    found = {}
    for before, node in pairwise(body):
        target = before.targets[0] if isinstance(before, ast.Assign) else getattr(before, "target", None)
        if isinstance(target, ast.Name) and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found[target.id] = cleandoc(str(node.value.value))
    return found


def messages() -> str:
    """Return each message of the control API with its fields."""
    kinds = [kind for kind in vars(control_messages).values() if _is_message(kind)]
    return "\n\n".join(_message(kind) for kind in kinds)


def _is_message(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__ == control_messages.__name__


def _message(kind: type[msgspec.Struct]) -> str:
    hints, below = get_type_hints(kind), attribute_docstrings(control_messages, kind)
    rows = []
    for field in msgspec.structs.fields(kind):
        default = "" if field.required else f"`{msgspec.json.encode(_default(field)).decode()}`"
        rows.append((f"`{field.encode_name}`", _json_type(hints[field.name]), default, below.get(field.name, "")))
    text = cleandoc(kind.__doc__ or "").replace(" is None ", " is null ")
    for field in msgspec.structs.fields(kind):
        text = text.replace(f"`{field.name}`", f"`{field.encode_name}`")
    return "\n\n".join([f"### {kind.__name__}", text, table(("Field", "Type", "Default", ""), rows)])


def _default(field: msgspec.structs.FieldInfo) -> object:
    # A dict is made anew for each message.
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _json_type(hint: Any) -> str:
    choices = get_args(hint)
    if get_origin(hint) is tuple:
        return f"list of {_json_type(choices[0])}"
    if NoneType in choices:
        return " or ".join([*(_json_type(each) for each in choices if each is not NoneType), "null"])
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    return {str: "text", int: "number", float: "number", bool: "true or false"}.get(hint, "any value")


def module_map() -> str:
    """Return each package of devtls with the first line of its docstring, and how many modules it has."""
    rows = []
    for path in sorted(PACKAGE.rglob("__init__.py")):
        name = ".".join(path.parent.relative_to(PACKAGE.parent).parts)
        sentence = cleandoc(import_module(name).__doc__ or "").partition("\n")[0]
        rows.append((f"`{name}`", str(len(list(path.parent.glob("*.py"))) - 1), sentence))
    return table(("Package", "Modules", "Owns"), rows)
