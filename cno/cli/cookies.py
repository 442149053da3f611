"""Cookies of `cno get`: the jar that `-b FILE` reads and `-c FILE` writes.

The rules are those of `http.cookiejar`, the files those of Netscape and curl. Must never know a
connection.
"""

import os
import time
from email.message import Message
from http.cookiejar import Cookie, LoadError, MozillaCookieJar
from typing import Final
from urllib.request import Request

from cno.cli.problems import Problem, reason

Headers = list[tuple[str, str]]

HEADER: Final = "# Netscape HTTP Cookie File\n# Written by cno; edit at your own risk.\n\n"
_PLAIN: Final = {"h2c": "http", "h2": "https"}


class Answer:
    """The fields of a response, as `http.cookiejar` asks for them."""

    def __init__(self, headers: Headers) -> None:
        self._message = Message()
        for name, value in headers:
            if name == "set-cookie":
                self._message["set-cookie"] = value

    def info(self) -> Message:
        return self._message


class Jar:
    """The cookies of one command."""

    def __init__(self, files: tuple[str, ...], output: str | None) -> None:
        self._output = output
        self._jar = MozillaCookieJar()
        for path in files:
            self._load(path)

    def _load(self, path: str) -> None:
        if not os.path.exists(path):
            return  # as curl has it: an empty jar
        try:
            self._jar.load(path, ignore_discard=True, ignore_expires=True)
        except (OSError, LoadError) as error:
            raise Problem(f"cannot read the cookies {path}: {reason(error)}", 26) from None
        for cookie in self._jar:
            if cookie.expires == 0:  # curl's way to write a cookie of the session
                cookie.expires, cookie.discard = None, True

    def fields(self, url: str) -> Headers:
        """Return the Cookie field for a URL, if there is one."""
        request = self._request(url)
        self._jar.add_cookie_header(request)
        value = request.get_header("Cookie")
        return [("cookie", value)] if value else []

    def store(self, url: str, headers: Headers) -> None:
        """Keep the cookies that a response sets."""
        if any(name == "set-cookie" for name, _ in headers):
            answer = Answer(headers)
            self._jar.extract_cookies(answer, self._request(url))  # type: ignore[arg-type]  # it needs `info` only

    def _request(self, url: str) -> Request:
        scheme, _, rest = url.partition(":")
        return Request(f"{_PLAIN.get(scheme.lower(), scheme)}:{rest}")

    def save(self) -> None:
        """Write the file of `-c` ('-': standard output). Raises Problem."""
        if self._output is None:
            return
        text = HEADER + "".join(line_of(cookie) for cookie in self._jar if is_current(cookie))
        if self._output == "-":
            print(text, end="")
            return
        try:
            descriptor = os.open(self._output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            text = f"cannot write the cookies {self._output}: {reason(error)}"
            raise Problem(text, 23) from None


def is_current(cookie: Cookie) -> bool:
    return cookie.expires is None or cookie.expires > time.time()


def line_of(cookie: Cookie) -> str:
    """Return a cookie as a line of the file."""
    hidden = "#HttpOnly_" if cookie.has_nonstandard_attr("HttpOnly") else ""
    domain = cookie.domain  # http.cookiejar adds `.local` to names without a dot
    if domain.endswith(".local") and "." not in domain[: -len(".local")]:
        domain = domain.removesuffix(".local")
    columns = (
        hidden + domain,
        str(cookie.domain.startswith(".")).upper(),
        cookie.path,
        str(bool(cookie.secure)).upper(),
        str(cookie.expires or 0),
        cookie.name,
        cookie.value or "",
    )
    return "\t".join(columns) + "\n"
