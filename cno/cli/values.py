"""`Values`: a class of fields, as `@dataclass` makes them, without the code that it compiles.

A command that fetches a small file spends most of its time on its start, and a dataclass of many
fields takes a millisecond of that. A leaf: knows annotations.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Self, dataclass_transform


class Fresh:
    """A default that is made for each object."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def fresh(*, default_factory: Callable[[], Any]) -> Any:
    """Return the default of a field that is made for each object."""
    return Fresh(default_factory)


@dataclass_transform(eq_default=False, field_specifiers=(fresh,))
class Values:
    """Takes its annotated fields in their order, or by name; those with a default may be missing.

    `Final` and `ClassVar` are fields, too. They are equal to themselves only.
    """

    _names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls._names = (*cls._names, *cls.__annotations__)

    def __init__(self, *args: Any, **named: Any) -> None:
        names, own = self._names, self.__dict__
        if len(args) > len(names):
            raise TypeError(f"{type(self).__name__} takes {len(names)} values, not {len(args)}")
        own.update(zip(names, args, strict=False))
        for name in names[len(args) :]:
            if name in named:
                own[name] = named.pop(name)
                continue
            default = getattr(type(self), name, self)
            if default is self:
                raise TypeError(f"{type(self).__name__} needs {name}")
            own[name] = default.make() if isinstance(default, Fresh) else default
        if named:
            raise TypeError(f"{type(self).__name__} takes no {', '.join(named)}")

    def changed(self, **changes: Any) -> Self:
        """Return a copy with other values of these fields."""
        return type(self)(**{**self.__dict__, **changes})
