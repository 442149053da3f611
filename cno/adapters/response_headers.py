"""The headers of responses, which httpx's own class holds only once somebody needs it to.

Stays interpreted: classes that derive from it derive from httpx's too.
"""

from typing import Any, ClassVar

from cno.adapters.fields import to_bytes

#: Private attributes of httpx's headers that the methods below use.
USED: frozenset[str] = frozenset(("_list", "_encoding"))


class LazyHeaders:
    """The base of a response's headers, in front of `httpx.Headers`. `_cno_module` is the package.

    httpx keeps headers as bytes, and decodes all of them for each question. These methods answer
    from the text that the connection has; every other method finds httpx's list, which is made when
    it is first asked for. From then on httpx answers everything.
    """

    _cno_module: ClassVar[Any]

    # -- attributes of httpx.Headers --
    _list: list[tuple[bytes, bytes, bytes]]
    _encoding: str | None = None

    #: All ASCII, with names in lower case. None once there is httpx's list, as in headers that are
    #: made by httpx's constructor: only `__new__` without it makes others.
    _cno_fields: list[tuple[str, str]] | None = None

    def __getattr__(self, name: str) -> Any:
        if name != "_list":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        fields = self.__dict__.get("_cno_fields")
        raw = () if fields is None else to_bytes(fields)
        # Another thread may have made it meanwhile.
        made = self.__dict__.setdefault("_list", [(name, name, value) for name, value in raw])
        self._cno_fields = None
        return made

    def __getitem__(self, key: str) -> str:
        fields = self._cno_fields
        if fields is None or type(key) is not str or not key.isascii():
            text: str = super().__getitem__(key)  # type: ignore[misc]  # httpx's
            return text
        wanted = key.lower()
        found = [value for name, value in fields if name == wanted]
        if not found:
            raise KeyError(key)
        return ", ".join(found)

    def __contains__(self, key: Any) -> bool:
        fields = self._cno_fields
        if fields is None or type(key) is not str or not key.isascii():
            answer: bool = super().__contains__(key)  # type: ignore[misc]  # httpx's
            return answer
        wanted = key.lower()
        for name, _ in fields:
            if name == wanted:
                return True
        return False

    def multi_items(self) -> list[tuple[str, str]]:
        fields = self._cno_fields
        if fields is None:
            pairs: list[tuple[str, str]] = super().multi_items()  # type: ignore[misc]  # httpx's
            return pairs
        return list(fields)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Pickled headers, or a copy, are httpx's own: who loads them need not have this class.
        state = {"_list": list(self._list), "_encoding": self._encoding}
        return object.__new__, (self._cno_module.Headers,), state


def headers_class(module: Any, derived: type[LazyHeaders]) -> Any:
    """Return the class of headers: `derived`, or None if the package has other attributes."""
    probe = vars(module.Headers([(b"A", b"b")]))
    known = USED == probe.keys() and probe["_list"] == [(b"A", b"a", b"b")]
    return derived if known else None
