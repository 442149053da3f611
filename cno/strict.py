"""Argument checks for the interpreted sources, like those of compiled code.

mypyc checks every argument of a public method, and every value assigned to an attribute, against
the annotations, and raises TypeError. `typed` adds the same checks to a class of the sources. It
does nothing in the compiled build. A leaf: knows annotations, and nothing of connections.
"""

from collections.abc import Callable, Iterator
from functools import wraps
from types import FunctionType, UnionType
from typing import Any, Final, get_args, get_origin

from mypy_extensions import i64, mypyc_attr

COMPILED: Final = not __file__.endswith(".py")

#: The range of `i64`.
_LEAST: Final = -(1 << 63)
_MOST: Final = (1 << 63) - 1


class _Kind:
    """The check for one annotation."""

    def __init__(self, annotation: Any) -> None:
        self.types: tuple[type, ...] = ()  # empty: any type
        #: Values of subclasses, such as `bool`, are converted to the type itself.
        self.exact = annotation in (int, float, i64)
        self.bounded = annotation is i64
        self.pairs = False
        if annotation is i64:
            self.types = (int,)
        elif annotation is float:
            self.types = (float, int)
        elif get_origin(annotation) is list:
            self.types = (list,)
            self.pairs = get_args(annotation) == (tuple[str, str],)
        elif isinstance(annotation, UnionType):
            self.types = _members(get_args(annotation))
        elif isinstance(annotation, type):
            self.types = (annotation,)

    def admit(self, name: str, value: Any) -> Any:
        """Return the value as compiled code would receive it. Raises TypeError."""
        if self.types and not isinstance(value, self.types):
            wanted = " or ".join(each.__name__ for each in self.types)
            raise TypeError(f"{name}: {wanted} expected, got {type(value).__name__}")
        if self.pairs:
            if not all(map(_is_pair, value)):
                return _Faulty(value)
        elif self.exact and type(value) is not self.types[0]:
            value = self.types[0](value)
        if self.bounded and not _LEAST <= value <= _MOST:
            raise TypeError(f"{name}: {value} does not fit 64 bits")
        return value


def _members(union: tuple[Any, ...]) -> tuple[type, ...]:
    """Return the classes of a union; none if compiled code does not check all of them."""
    for each in union:
        if not isinstance(each, type) or each in (memoryview, BaseException):
            return ()
    return union


def _is_pair(item: object) -> bool:
    if not isinstance(item, tuple) or len(item) != 2:
        return False
    return isinstance(item[0], str) and isinstance(item[1], str)


@mypyc_attr(native_class=False)  # mypyc has no native subclasses of list
class _Faulty(list[Any]):
    """A list with an element that is not a pair of str. Iteration raises TypeError there."""

    def __iter__(self) -> Iterator[Any]:
        for item in super().__iter__():
            if not _is_pair(item):
                raise TypeError(f"a pair of str expected, got {item!r}")
            yield item


def _checked(function: FunctionType) -> Callable[..., Any]:
    """Return the method with a check of its arguments in front."""
    code = function.__code__
    names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    kinds = {name: _Kind(function.__annotations__.get(name)) for name in names}

    @wraps(function)
    def call(self: Any, /, *args: Any, **named: Any) -> Any:
        given = [
            kind.admit(name, value)
            for (name, kind), value in zip(kinds.items(), args, strict=False)
        ]
        for name in named:
            if name in kinds:
                named[name] = kinds[name].admit(name, named[name])
        return function(self, *given, *args[len(given) :], **named)

    return call


class _Attribute:
    """An attribute that takes values of one type."""

    def __init__(self, name: str, type: type) -> None:
        self.name = name
        self.kind = _Kind(type)

    def __get__(self, owner: Any, _: Any) -> Any:
        return self if owner is None else owner.__dict__[self.name]

    def __set__(self, owner: Any, value: Any) -> None:
        owner.__dict__[self.name] = self.kind.admit(self.name, value)


def typed(cls: type, **attributes: type) -> None:
    """Make the public methods and these attributes of a class refuse values of wrong types."""
    if not COMPILED:
        check_types(cls, **attributes)


def check_types(cls: type, **attributes: type) -> None:
    """Do the same in both builds, for a module that stays interpreted."""
    for name, member in list(vars(cls).items()):
        events = name.startswith("on_") or name == "close"
        public = name == "__init__" or not (name.startswith("_") or events)
        if public and isinstance(member, FunctionType):
            setattr(cls, name, _checked(member))
    for name, type_ in attributes.items():
        setattr(cls, name, _Attribute(name, type_))
