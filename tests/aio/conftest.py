"""Runs the tests of the asyncio layer on asyncio's own event loop, and on uvloop's."""

import asyncio
import sys
from pathlib import Path

import pytest
import trustme

from tests.aio.lab import WIRES, Certificates, Lab, Wire
from tests.support import variants


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder: Path = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost", "cno.test")
    certfile, keyfile, cafile = (str(folder / name) for name in ("cert.pem", "key.pem", "ca.pem"))
    authority.cert_pem.write_to_path(cafile)
    issued.private_key_pem.write_to_path(keyfile)
    for blob in issued.cert_chain_pems:
        blob.write_to_path(certfile, append=True)
    return Certificates(certfile, keyfile, cafile)


def eager_loop() -> asyncio.AbstractEventLoop:
    """A loop whose tasks run at once, until they have to wait."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009  # not in 3.11
    return loop


#: On asyncio's loop alone, and in clear text, most of what a change can break is seen.
LOOPS = variants(
    "asyncio",
    pytest.param("uvloop", marks=pytest.mark.slow),
    *[pytest.param("eager", marks=pytest.mark.slow)] * (sys.version_info >= (3, 12)),
)


@pytest.fixture(params=LOOPS)
def lab(request: pytest.FixtureRequest, certificates: Certificates) -> Lab:
    if request.param == "asyncio":
        return Lab(None, certificates)
    if request.param == "eager":
        return Lab(eager_loop, certificates)
    if sys.platform == "win32":
        pytest.skip("uvloop does not exist for Windows")
    import uvloop

    return Lab(uvloop.new_event_loop, certificates)


@pytest.fixture(
    params=variants(
        *[pytest.param(each, marks=pytest.mark.slow if each.tls else ()) for each in WIRES]
    ),
    ids=str,
)
def wire(request: pytest.FixtureRequest) -> Wire:
    made: Wire = request.param
    return made
