"""Settings for development; the four lines in the middle are what a proxy with HTTPS needs."""

import secrets

DEBUG = True
SECRET_KEY = secrets.token_urlsafe(50)
ROOT_URLCONF = "guestbook.urls"

ALLOWED_HOSTS = [".dev.local", ".localhost", "127.0.0.1"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CSRF_COOKIE_SECURE = True
SESSION_COOKIE_SECURE = True

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": ["templates"]}]
USE_TZ = True
