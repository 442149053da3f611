"""Django's `runserver` over HTTP/1.1, HTTP/2 and WebSockets: "cno.django" in INSTALLED_APPS, before
"django.contrib.staticfiles"."""
