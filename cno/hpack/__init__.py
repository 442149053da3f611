"""HPACK, the header compression of HTTP/2 (RFC 7541).

A connection has one `Decoder` and one `Encoder`, which share nothing.
"""

from cno.hpack.decoder import UNTRIMMED, Block, Decoder, Examiner
from cno.hpack.encoder import Encoder
from cno.hpack.errors import HeaderListTooLarge, HPACKError
from cno.hpack.fields import Field, NeverIndexed
from cno.strict import COMPILED

__all__ = [
    "UNTRIMMED",
    "Block",
    "Decoder",
    "Encoder",
    "Examiner",
    "Field",
    "HPACKError",
    "HeaderListTooLarge",
    "NeverIndexed",
]

if COMPILED:
    from cno._description import describe

    describe(__name__)
