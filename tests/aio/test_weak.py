"""Weak references to connections: dead when the connection is, without any harm.

In a separate process, since this once corrupted the interpreter's memory in compiled code.
"""

import sys

import pytest

from tests.processes import run

SCRIPT = """
import asyncio, gc, sys, weakref
import cno

class MyServer(cno.Server):
    pass

async def handle(request):
    pass

def make(number):
    if number % 3 == 0:
        return cno.Client(asyncio.get_running_loop(), "example")
    return (cno.Server, MyServer)[number % 2](handle)

async def main():
    told = []
    for number in range(300):
        conn = make(number)
        try:
            refs = [weakref.ref(conn), weakref.ref(conn, told.append), weakref.ref(conn)]
        except TypeError:
            # What compiled code says from Python 3.12 on.
            assert cno.COMPILED and sys.version_info >= (3, 12)
            told.append(None)
            continue
        if number % 5 == 0:
            del refs[1]
            told.append(None)
        if number % 7 == 0:
            conn.itself = conn
        assert refs[0]() is conn
        gc.collect(0)
        del conn
        if number % 7 == 0:
            gc.collect()
        assert [ref() for ref in refs] == [None] * len(refs)
        if number % 50 == 0:
            gc.collect()
    assert len(told) == 300, len(told)

asyncio.run(main())
print("well")
"""


@pytest.mark.slow
def test_weak_references_to_connections() -> None:
    result = run(sys.executable, "-X", "faulthandler", "-c", SCRIPT)
    assert (result.status, result.text) == (0, "well\n"), result.stderr
