"""Settings as typed dataclasses, in YAML and back: what is written reads back equal, and a mistake names its place.

A field is a bool, number, string, ``None`` or another such class; a tuple of one kind (``tuple[int, ...]``); values by
name (``dict[str, float]``); one of some words (``Literal``); or several of these. Where a field may be one of several
classes, these inherit from a :class:`Kind`: the field is of that base, and ``kind`` says which it is. Fields that are
left out have their defaults. Words are checked by :class:`Checked`, ranges by the classes themselves
(``__post_init__``), whose messages open with the name of the field.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import os
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from ._files import beside

T = TypeVar("T")


class Checked:
    """A base of settings: a field that is one of some words is checked wherever an object is made, before the class's
    own ``__post_init__``."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = cls.__dict__.get("__post_init__")
        if own is None:
            return

        @functools.wraps(own)
        def checked(self: Checked) -> None:
            _check_words(self)
            own(self)

        cls.__post_init__ = checked  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        _check_words(self)


class Kind(Checked):
    """A base of settings that come in kinds: written with ``kind: TheClass`` before their fields."""


def _check_words(settings: Checked) -> None:
    kind: Any = type(settings)
    for name, words in _words_by_field(kind).items():
        value = getattr(settings, name)
        if value not in words:
            raise ValueError(f"{name} must be one of {', '.join(map(str, words))}, got {value!r}")


@functools.cache
def _words_by_field(kind: type[Any]) -> dict[str, tuple[Any, ...]]:
    """Of the fields that are one of some words."""
    try:
        hints = typing.get_type_hints(kind)
    except NameError:  # a class within a function, whose types are known there alone
        return {}
    fields = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    return {name: typing.get_args(hint) for name, hint in fields.items() if typing.get_origin(hint) is Literal}


def from_dict(kind: type[T], values: Mapping[str, Any], *, where: str = "") -> T:
    """A dataclass from plain values, as YAML and JSON have them.

    Parameters
    ----------
    kind : dataclass
    values : mapping of names to values
    where : str
        What messages open with: the file, say.

    Returns
    -------
    kind
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{where or kind.__name__} must be settings by name, got {values!r}")
    if issubclass(kind, Kind):
        values = dict(values)
        kind = _kind_of(kind, values.pop("kind", kind.__name__), where)
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in values:
        if name not in names:
            words = f"{name} is no setting of these: {', '.join(names)}{_nearest(name, names)}"
            raise ValueError(_join(where, words, "."))
    found = {name: _value(hints[name], value, _join(where, name, ".")) for name, value in values.items()}
    try:
        return kind(**found)
    except (TypeError, ValueError) as error:
        missing = [f.name for f in dataclasses.fields(kind) if _is_required(f) and f.name not in found]  # type: ignore[arg-type]
        if missing:
            raise ValueError(_join(where, f"{missing[0]} must be given")) from None
        raise type(error)(_join(where, str(error), ".")) from None


def to_dict(settings: Any) -> dict[str, Any]:
    """Plain values of a dataclass, all fields in their order; tuples as lists."""
    kind = {"kind": type(settings).__name__} if isinstance(settings, Kind) else {}
    return kind | {field.name: _plain(getattr(settings, field.name)) for field in dataclasses.fields(settings)}


def read(kind: type[T], path: str | os.PathLike[str]) -> T:
    """A dataclass from a YAML file."""
    yaml = _yaml()
    with open(path, encoding="utf-8") as file:
        try:
            values = yaml.safe_load(file)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} must be YAML: {error}") from None
    return from_dict(kind, {} if values is None else values, where=f"{path}:")


def write(settings: Any, path: str | os.PathLike[str], *, comment: str = "") -> None:
    """A YAML file that reads back equal; whole or not at all."""
    text = "".join(f"# {line}\n" for line in comment.splitlines()) + dumps(settings)
    with beside(path) as part, open(part, "w", encoding="utf-8") as file:
        file.write(text)


def dumps(settings: Any) -> str:
    """The same as a string."""
    yaml = _yaml()

    class Dumper(yaml.SafeDumper):  # type: ignore[misc,name-defined]
        pass

    # Line breaks of Unicode are kept only where they are escaped, between double quotes.
    Dumper.add_representer(
        str,
        lambda dumper, text: dumper.represent_scalar(
            "tag:yaml.org,2002:str", text, style='"' if set(text) & set("\x85\u2028\u2029") else None
        ),
    )
    plain = to_dict(settings)
    text: str = yaml.dump(plain, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None)
    return text


def override(settings: T, path: str, value: Any) -> T:
    """With another value at a place such as ``watershed.low``."""
    name, _, rest = path.partition(".")
    at = re.fullmatch(r"(.+)\[(\d+)\]", name)
    if at:  # heads[0].weight
        items = list(getattr(settings, at[1], ()))
        if int(at[2]) >= len(items):
            raise ValueError(f"{at[1]} has {len(items)} items, counted from 0, got {name}")
        items[int(at[2])] = override(items[int(at[2])], rest, value) if rest else value
        return override(settings, at[1], [to_dict(i) if dataclasses.is_dataclass(i) else i for i in items])
    names = [field.name for field in dataclasses.fields(settings)]  # type: ignore[arg-type]
    if name not in names:
        raise ValueError(f"{name} is no setting of these: {', '.join(names)}{_nearest(name, names)}")
    plain = to_dict(settings)
    plain[name] = to_dict(override(getattr(settings, name), rest, value)) if rest else value
    return from_dict(type(settings), plain)


def _kind_of(base: type[Any], name: Any, where: str) -> Any:
    """The class of that name among a base and all that inherit from it."""
    known: dict[str, Any] = {}
    todo = [base]
    while todo:
        each = todo.pop()
        todo.extend(each.__subclasses__())
        private = each.__name__.startswith("_")  # shared by several kinds, and none
        if dataclasses.is_dataclass(each) and not private and not (each is base and todo):
            known[each.__name__] = each
    if name not in known:
        words = f"kind must be one of {', '.join(sorted(known))}, got {name!r}{_nearest(name, sorted(known))}"
        raise ValueError(_join(where, words, "."))
    return known[name]


def _value(hint: Any, value: Any, where: str) -> Any:
    """A plain value as its type has it."""
    for choice in _choices(hint):
        done, result = _fitted(choice, value, where)
        if done:
            return result
    raise TypeError(f"{where} must be {_words(hint)}, got {value!r}")


def _choices(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _fitted(hint: Any, value: Any, where: str) -> tuple[bool, Any]:
    """Whether it is of that type, and then the value."""
    if isinstance(hint, type) and (dataclasses.is_dataclass(hint) or issubclass(hint, Kind)):
        if isinstance(value, Mapping):
            return True, from_dict(hint, value, where=where)
        return isinstance(value, hint), value
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        if isinstance(value, Sequence) and not isinstance(value, str):
            return True, tuple(_value(inner, v, f"{where}[{k}]") for k, v in enumerate(value))
        return False, None
    if typing.get_origin(hint) is dict:
        inner = typing.get_args(hint)[1]
        if isinstance(value, Mapping):
            return True, {str(k): _value(inner, v, f"{where}.{k}") for k, v in value.items()}
        return False, None
    if typing.get_origin(hint) is Literal:
        return any(type(value) is type(word) and value == word for word in typing.get_args(hint)), value
    if hint is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", value):
            number = True  # YAML takes 1e-3 for a string, people do not
        return number, float(value) if number else None
    return type(value) is hint, value


def _words(hint: Any) -> str:
    names = {bool: "true or false", int: "an integer", float: "a number", str: "a string", type(None): "null"}

    def name(choice: Any) -> str:
        if choice in names:
            return names[choice]
        if typing.get_origin(choice) is tuple:
            return f"a list, each {_words(typing.get_args(choice)[0])}"
        if typing.get_origin(choice) is dict:
            return f"values by name, each {_words(typing.get_args(choice)[1])}"
        if typing.get_origin(choice) is Literal:
            return " or ".join(repr(word) for word in typing.get_args(choice))
        return "settings by name"

    return " or ".join(name(choice) for choice in _choices(hint))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, Mapping):
        return {name: _plain(v) for name, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _is_required(field: Any) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _nearest(name: Any, names: list[str]) -> str:
    found = difflib.get_close_matches(str(name), names, 1, 0.5)
    return f"; did you mean {found[0]}?" if found else ""


def _join(where: str, words: str, link: str = " ") -> str:
    if not where:
        return words
    return f"{where} {words}" if where.endswith(":") else f"{where}{link}{words}"


def _yaml() -> Any:
    try:
        import yaml
    except ModuleNotFoundError as error:
        if error.name != "yaml":
            raise
        raise ModuleNotFoundError("settings in YAML need PyYAML: pip install 'emfast[scale]'", name="yaml") from None
    return yaml


__all__ = ["Kind", "dumps", "from_dict", "override", "read", "to_dict", "write"]
