"""What goes wrong with a compressed header block.

Knows nothing of streams or connections: whoever owns the decoder answers COMPRESSION_ERROR.
"""


class HPACKError(Exception):
    """A block that RFC 7541 does not allow; the text says what is wrong and by which section.

    The decoder is out of step with its peer from then on and must not be used again.
    """


class HeaderListTooLarge(HPACKError):
    """The block was sound, but its list is beyond the limits; the decoder is still in step."""
