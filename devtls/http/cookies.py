"""The Domain of cookies: for which names beside its own an app's cookie is meant (RFC 6265 4.1.2.3).

Owns what reaches above the name of a route. Refuses nothing: a browser refuses a Domain that is not above the host at
all (section 5.3), and one at or below the name of the route is the app's own affair. A Domain that is not ASCII counts
as one above: browsers map it to another spelling first.
"""

from __future__ import annotations

from devtls.http.events import Headers


def strip_domains(headers: Headers, authority: bytes, hosts: tuple[bytes, ...]) -> Headers:
    """Return the fields with every Domain that reaches above the route's name taken out of Set-Cookie.

    `authority` is the public host[:port] of the request, `hosts` what the route serves, `*.` in front of a wildcard's.
    """
    own = _own_name(authority, hosts)
    return [
        (name, _without_domain(value, own)) if name.lower() == b"set-cookie" else (name, value)
        for name, value in headers
    ]


def domains_above(headers: Headers, authority: bytes, hosts: tuple[bytes, ...]) -> tuple[tuple[str, str], ...]:
    """Return the cookies whose Domain `strip_domains` takes out, as pairs of name and domain."""
    own = _own_name(authority, hosts)
    found: dict[tuple[str, str], None] = {}
    for field, value in headers:
        if field.lower() == b"set-cookie":
            cookie, *attributes = value.split(b";")
            for attribute in attributes:
                if (domain := _domain_above(attribute, own)) is not None:
                    name = cookie.partition(b"=")[0].strip(b" \t")
                    found[name.decode("latin-1"), domain.decode("utf-8", "replace")] = None
    return tuple(found)


def _own_name(authority: bytes, hosts: tuple[bytes, ...]) -> bytes:
    """Return the name of the route that serves `authority`: a wildcard's is the one that its star stands below."""
    host = authority.rpartition(b":")[0] if authority.rfind(b":") > authority.rfind(b"]") else authority
    host = host.removesuffix(b".")
    return next((own[2:] for own in hosts if own.startswith(b"*.") and host.endswith(own[1:])), host)


def _without_domain(value: bytes, own: bytes) -> bytes:
    cookie, *attributes = value.split(b";")
    return b";".join([cookie, *(attribute for attribute in attributes if _domain_above(attribute, own) is None)])


def _domain_above(attribute: bytes, own: bytes) -> bytes | None:
    """Return the domain of a Domain attribute that reaches above `own`, else None."""
    name, _, value = attribute.partition(b"=")
    if name.strip(b" \t").lower() != b"domain":
        return None
    # RFC 6265 5.2.3: the first dot means nothing.
    domain = value.strip(b" \t").strip(b'"').lower().removeprefix(b".").removesuffix(b".")
    # Chrome 156 takes `dev\u3002local`, full-width letters and a soft hyphen for dev.local (UTS 46 mapping).
    return domain if domain and (not domain.isascii() or own.endswith(b"." + domain)) else None
