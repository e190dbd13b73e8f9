"""The one address of the guest book."""

from django.urls import path

from guestbook.views import book

urlpatterns = [path("", book)]
