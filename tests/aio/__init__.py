"""The asyncio layer: servers and clients against each other, and against peers written by hand."""
