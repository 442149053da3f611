"""HTTP/2 (RFC 9113): frames is a leaf; reader, message, recv, send and flow act on a Core."""
