"""Errors in a compressed header block.

Knows nothing of streams or connections: the decoder's owner answers COMPRESSION_ERROR.
"""


class HPACKError(Exception):
    """A block that breaks RFC 7541. The text names the fault and the section.

    After it the decoder's table differs from the peer's, so that it must not be used again.
    """


class HeaderListTooLarge(HPACKError):
    """The block is valid, but its list exceeds the limits. The decoder may be used again."""
