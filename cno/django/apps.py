"""The Django application "cno.django", and the check that it stands before the one for static
files, whose `runserver` would come first."""

from typing import Any

from django.apps import AppConfig
from django.core import checks


class CnoConfig(AppConfig):
    name = "cno.django"
    label = "cno"
    verbose_name = "cno"

    def ready(self) -> None:
        checks.register(check_order, checks.Tags.staticfiles)


def check_order(app_configs: Any, **kwargs: Any) -> list[Any]:
    """Return an error if "django.contrib.staticfiles" stands before this application."""
    from django.apps import apps

    for each in apps.get_app_configs():
        if isinstance(each, CnoConfig):
            break
        if each.name == "django.contrib.staticfiles":
            text = "cno.django must stand before django.contrib.staticfiles in INSTALLED_APPS."
            return [checks.Error(text, id="cno.E001")]
    return []
