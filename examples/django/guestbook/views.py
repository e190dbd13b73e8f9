"""Show the entries and take new ones."""

from collections import deque

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

entries: deque[str] = deque(maxlen=50)


def book(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        entries.appendleft(request.POST.get("text", "")[:200])
        return redirect(request.build_absolute_uri("/"))
    return render(request, "book.html", {"entries": entries, "url": request.build_absolute_uri()})
