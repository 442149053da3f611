"""The files of a folder, each in the content codings that it has: found, opened, compressed, kept.

A file `app.js` may lie beside `app.js.br`, `app.js.zst` and `app.js.gz`, which hold the same
content compressed. One that is older than the file is not used. Small files of types that are worth
it are compressed by gzip. Knows files and codings. Must never know a method or a connection.
"""

import os
import time
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from typing import Final

from cno.cli.bodies import read_all
from cno.cli.codings import ENDINGS, IDENTITY, choose, is_compressible
from cno.cli.compression import MIN_SIZE, WORTHWHILE, Compressor
from cno.cli.conditions import Headers, validators
from cno.cli.content_types import SNIFFED, UNKNOWN, content_type, is_active, sniffed
from cno.cli.file_cache import CachedFile, FileCache, signature
from cno.cli.paths import Folder, Opened, Refused
from cno.cli.reserve import Reserve
from cno.cli.responses import describe

#: Bytes of the largest file that is read at once and may be cached.
SMALL_FILE: Final = 131_072
#: Seconds after which a kept file is looked at anew for compressed files beside it.
CODINGS_AGE: Final = 2.0
#: Gives a page an origin of its own: its scripts can do nothing here.
SANDBOX: Final = ("content-security-policy", "sandbox")


class FileStore:
    """Files below `folder` as they are sent. `common`: the fields of all responses.

    `foreign`: names of a folder whose files others have uploaded. Those that are pages can do
    nothing in the name of this site, and none of them stands for another file. `tail`: what is
    appended to small pages of HTML.
    """

    def __init__(
        self,
        folder: Folder,
        cache_size: int,
        reserve: Reserve,
        common: Headers,
        foreign: tuple[str, ...] | None = None,
        tail: bytes = b"",
    ) -> None:
        self.folder = folder
        self._tail = tail
        self._foreign = foreign
        self.cache = FileCache(cache_size)
        self._reserve = reserve
        self._common = common
        self._compressor = Compressor()

    def open(self, segments: Sequence[str]) -> Opened:
        """Open a file or a folder. Raises Refused or OSError."""
        if self._reserve.is_used:
            self.cache.close()
        return self._reserve.retry(partial(self.folder.open, segments))

    def kept(self, key: str, accept: str | None) -> CachedFile | None:
        """Return a kept file that has not changed, in the coding that `accept` (Accept-Encoding)
        asks for; None: look at the disk."""
        file = self.cache.get(key)
        if file is None or accept is None:
            return file
        if file.codings_until < time.monotonic():
            return None
        coding = choose(accept, file.codings)
        if coding is None:
            return None
        return file if coding == IDENTITY else self.cache.get(coded_key(key, coding))

    async def file(
        self, found: Opened, segments: Sequence[str], key: str, accept: str | None
    ) -> CachedFile:
        """Return an open file in the coding that `accept` asks for, and keep it under `key`.

        Takes the descriptor over. Close the result, unless a body has taken over its descriptor.
        Raises Refused (406: the client refuses what there is), OSError.
        """
        file, beside = self._load_plain(found, segments, key)
        coding = choose(accept, file.codings)
        if coding == IDENTITY:
            return file
        file.close()
        if coding is None:
            raise Refused(406)
        if coding in beside:
            return self._load_coded(file, segments, key, coding)
        return await self._compressed(file, key, accept)

    def _load_plain(
        self, found: Opened, segments: Sequence[str], key: str
    ) -> tuple[CachedFile, Sequence[str]]:
        """Return a file as it is, and the codings that files beside it have."""
        path = self.folder.path(segments)
        try:
            kind = self._kind(found.fd, segments[-1])
            foreign = self._is_foreign(segments)
            is_own = not (foreign or (self._tail and kind.startswith("text/html")))
            beside = self._beside(path, segments, found.info) if is_own else ()
        except BaseException:
            os.close(found.fd)
            raise
        compressible = MIN_SIZE <= found.info.st_size <= SMALL_FILE and is_compressible(kind)
        varies = compressible or bool(beside)
        file, settled = self._read(found, path, kind, IDENTITY, varies)
        if foreign and is_active(kind):
            file = file._replace(headers=[*file.headers, SANDBOX])
        file = file._replace(codings=beside, codings_until=time.monotonic() + CODINGS_AGE)
        if not settled:
            return file, beside
        if compressible and "gzip" not in beside and self._compressor.is_free(tag_of(file)):
            gzipped = file._replace(codings=(*beside, "gzip"))
            if self._keep(key, gzipped):  # else it would be compressed for each request
                return gzipped, beside
        else:
            self._keep(key, file)
        return file, beside

    def _load_coded(
        self, file: CachedFile, segments: Sequence[str], key: str, coding: str
    ) -> CachedFile:
        """Return the file beside a file that holds it in this coding."""
        names = [*segments[:-1], segments[-1] + ENDINGS[coding]]
        path = self.folder.path(names)
        coded, settled = self._read(self.open(names), path, file.kind, coding, True)
        if settled:
            self._keep(coded_key(key, coding), coded)
        return coded

    async def _compressed(self, file: CachedFile, key: str, accept: str | None) -> CachedFile:
        """Return a small file compressed by gzip; as it is, if that makes it little smaller."""
        kept = self.cache.get(coded_key(key, "gzip"))
        if kept is not None and kept.signature == file.signature:
            return kept
        assert isinstance(file.source, bytes)
        data = await self._compressor.compress(tag_of(file), file.source)
        if len(data) > WORTHWHILE * file.size:
            self._keep(key, file._replace(codings=file.codings[:-1]))
            if choose(accept, ()) is None:
                raise Refused(406)
            return file
        # The digest tells apart what two versions of zlib make: the tag stays a strong one.
        digest = blake2b(data, digest_size=6).hexdigest()
        about = file.validators._replace(etag=f'{file.validators.etag[:-1]}-gzip-{digest}"')
        coded = file._replace(source=data, size=len(data), validators=about, coding="gzip")
        fields = self._headers(coded, True)
        if SANDBOX in file.headers:
            fields.append(SANDBOX)
        coded = coded._replace(headers=fields)
        self._keep(coded_key(key, "gzip"), coded)
        return coded

    def _read(
        self, found: Opened, path: str, kind: str, coding: str, varies: bool
    ) -> tuple[CachedFile, bool]:
        """Return an open file, and whether its content is settled. Takes the descriptor over."""
        fd, info = found
        source: bytes | int = fd
        settled = True
        if info.st_size <= SMALL_FILE:
            try:
                source = read_all(fd, 0, info.st_size)
                settled = signature(os.fstat(fd)) == signature(info)
            finally:
                os.close(fd)
        about = validators(info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)
        size = info.st_size if isinstance(source, int) else len(source)
        if size != info.st_size:  # it is being rewritten: give this content its own tag
            about, settled = validators(size, time.time_ns(), time.time_ns(), info.st_ino), False
        if self._tail and isinstance(source, bytes) and can_be_appended(kind, source):
            source += self._tail
            size = len(source)
            about = about._replace(etag=f'{about.etag[:-1]}-live"')
        if coding:
            about = about._replace(etag=f'{about.etag[:-1]}-{coding}"')
        file = CachedFile(path, signature(info), [], source, size, kind, about, coding)
        return file._replace(headers=self._headers(file, varies)), settled

    def _keep(self, key: str, file: CachedFile) -> bool:
        """Keep a file, unless its descriptor is needed elsewhere. Return whether it is kept."""
        if isinstance(file.source, int) and self._reserve.is_used:
            return False
        return self.cache.keep(key, file)

    def _headers(self, file: CachedFile, varies: bool) -> Headers:
        return describe(
            file.size, file.validators, file.kind, self._common, coding=file.coding, varies=varies
        )

    def _is_foreign(self, segments: Sequence[str]) -> bool:
        """Return whether a file may be one that somebody has uploaded, links resolved."""
        if self._foreign is None:
            return False
        start, names = self.folder.resolve(self._foreign)
        place, found = self.folder.resolve(segments)
        return (place, found[: len(names)]) == (start, names)

    def _kind(self, fd: int, name: str) -> str:
        kind = content_type(name)
        if kind == UNKNOWN and "." not in name:
            kind = sniffed(read_all(fd, 0, SNIFFED))
        return kind

    def _beside(self, path: str, segments: Sequence[str], info: os.stat_result) -> tuple[str, ...]:
        """Return the codings that files beside this one hold it in."""
        codings = []
        for coding, ending in ENDINGS.items():
            try:
                if os.stat(path + ending).st_mtime < int(info.st_mtime):
                    continue
                found = self.open([*segments[:-1], segments[-1] + ending])
            except (OSError, Refused):
                continue
            if not found.is_folder:
                codings.append(coding)
            if found.fd >= 0:
                os.close(found.fd)
        return tuple(codings)


def can_be_appended(kind: str, data: bytes) -> bool:
    """Return whether ASCII may follow this content: it is HTML, and not in UTF-16."""
    return kind.startswith("text/html") and data[:2] not in (b"\xff\xfe", b"\xfe\xff")


def coded_key(key: str, coding: str) -> str:
    """Return the key of a file in a coding; no path has a NUL."""
    return f"{key}\0{coding}"


def tag_of(file: CachedFile) -> str:
    """Return what stands for the content of a file."""
    return f"{file.path}\0{file.validators.etag}"
