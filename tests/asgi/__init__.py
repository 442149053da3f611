"""ASGI applications, served over both protocols."""
