"""One connection of asyncio: parts with fields of their own, and functions over them."""
