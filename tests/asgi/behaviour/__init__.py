"""How servers behave towards an ASGI application, case by case: docs/asgi_behaviour.md."""
