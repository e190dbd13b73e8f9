"""The banner's text."""

from __future__ import annotations

from devtls.config import Config, StaticTarget, parse_route_argument
from devtls.daemon.console.banner import Findings, find_remarks, join_banner, render_routes
from devtls.daemon.console.style import TerminalStyle
from devtls.names import DEFAULT_ZONES
from devtls.routing import Route, build_routes
from devtls.system.machine.name_resolution import Resolves


def routes(*arguments: str) -> tuple[Route, ...]:
    config = Config(routes=tuple(parse_route_argument(argument) for argument in arguments))
    return build_routes(config, DEFAULT_ZONES, static_sockets={StaticTarget("/srv/site"): "/run/s"}).routes


def render(*arguments: str, port: int = 443, look: TerminalStyle | None = None, **findings: object) -> str:
    found = Findings(**{"trusted": True, **findings})  # type: ignore[arg-type] # the tests name real fields
    return draw(routes(*arguments), port, found, (), look or TerminalStyle())


def draw(table: tuple[Route, ...], port: int, found: Findings, overridden: tuple[str, ...], look: TerminalStyle) -> str:
    return join_banner(render_routes(table, port, found, look), find_remarks(table, port, found, overridden, look))


def test_a_route_is_one_line_with_all_of_its_names() -> None:
    assert render("app=3000", "app/api=4000", apps={"127.0.0.1:3000": ""}) == (
        "\n"
        "  https://app.dev.local      ->  127.0.0.1:3000  up  also app.localhost, app.test\n"
        "  https://app.dev.local/api  ->  127.0.0.1:4000  also app.localhost/api, app.test/api\n"
    )


def test_the_name_that_a_browser_opens_comes_first() -> None:
    names = {"app.dev.local": Resolves.HERE, "app.localhost": Resolves.NOWHERE, "app.test": Resolves.NOWHERE}
    assert "  https://app.dev.local  ->  " in render("app=3000", names=names)
    for lost in (Resolves.NOWHERE, Resolves.UNANSWERED, Resolves.UNKNOWN, Resolves.ELSEWHERE):
        shown = render("app=3000", names=names | {"app.dev.local": lost})
        assert "  https://app.localhost  ->  127.0.0.1:3000  also app.dev.local, app.test" in shown


def test_other_ports_show() -> None:
    assert "  https://app.dev.local:8443  ->  " in render("app=3000", port=8443)


def test_an_app_that_is_down_is_reported() -> None:
    assert "not up: nothing listens there" in render("app=3000", apps={"127.0.0.1:3000": "nothing listens there"})


def test_a_directory_is_named_and_missed() -> None:
    assert "->  /srv/site  also" in render("docs=/srv/site")
    shown = render("docs=/srv/site", missing_directories=frozenset({"/srv/site"}))
    assert "->  /srv/site  there is no such folder  also" in shown


def test_the_next_command_for_a_root_that_nothing_trusts() -> None:
    shown = render("app=3000", trusted=False, authority_is_new=True)
    assert "A new CA was made; no browser trusts it yet." in shown
    assert "    devtls trust\n" in shown


def test_the_next_command_for_names_that_do_not_resolve() -> None:
    names = {"app.dev.local": Resolves.NOWHERE, "app.localhost": Resolves.NOWHERE, "app.test": Resolves.HERE}
    shown = render("app=3000", port=8443, names=names)
    assert "app.dev.local does not resolve on this machine yet (https://app.localhost:8443 works" in shown
    assert ":\n\n      devtls setup names\n" in shown


def test_names_that_setup_has_written_and_that_do_not_resolve_are_for_the_doctor() -> None:
    names = {"app.dev.local": Resolves.NOWHERE, "app.test": Resolves.NOWHERE}
    shown = render("app=3000", names=names, written=frozenset({"app.test"}))
    assert "app.dev.local does not resolve on this machine yet" in shown
    assert (
        "app.test does not resolve, though setup wrote the lines into the hosts file:\n\n      devtls doctor" in shown
    )
    every = render("app=3000", names=names, written=frozenset(names))
    assert "app.dev.local, app.test do not resolve, though" in every
    assert "devtls setup names" not in every


def test_names_that_lead_elsewhere_are_reported() -> None:
    shown = render("app=3000", names={"app.dev.local": Resolves.ELSEWHERE, "app.test": Resolves.UNKNOWN})
    assert "app.dev.local: the DNS sends this name to another machine" in shown
    assert "resolve on" not in shown


def test_wildcards_are_no_links_and_many_routes_are_cut() -> None:
    shown = render("*.app=3000", look=TerminalStyle(colour=True, links=True))
    assert "\x1b]8;;" not in shown
    assert "\x1b]8;;https://app.test\x1b\\app.test\x1b]8;;\x1b\\" in render("app=1", look=TerminalStyle(links=True))
    assert "… and 5 more routes" in render(*(f"a{n}=1" for n in range(25)))
    assert "… and 1 more route\n" in render(*(f"a{n}=1" for n in range(21)))
    assert "more" not in render(*(f"a{n}=1" for n in range(20)))


def test_without_a_terminal_there_is_no_escape() -> None:
    assert "\x1b" not in render("app=3000", trusted=False, names={"app.test": Resolves.NOWHERE})


def test_overridden_names_are_reported() -> None:
    shown = draw(routes("api=1"), 443, Findings(trusted=True), ("api",), TerminalStyle())
    assert "The command line replaces what devtls.toml says about: api." in shown


def test_wildcards_that_do_not_resolve_are_explained() -> None:
    names = {"*.app.dev.local": Resolves.NOWHERE, "*.app.localhost": Resolves.NOWHERE, "*.app.test": Resolves.HERE}
    shown = render("*.app=3000", names=names)
    assert "Names below app.dev.local do not resolve on this machine. devtls setup names shows whether" in shown
    assert "In browsers *.app.localhost works now." in shown


def test_the_address_to_open_meanwhile_is_that_of_the_route_that_fails() -> None:
    names = {"app.dev.local": Resolves.HERE, "app.test": Resolves.HERE, "shop.dev.local": Resolves.NOWHERE}
    shown = render("app=3000", "shop/x=4000", names=names)
    assert (
        "shop.dev.local does not resolve on this machine yet (https://shop.localhost/x works in browsers now):" in shown
    )


def test_nothing_works_in_browsers_before_one_trusts_the_ca() -> None:
    names = {"app.dev.local": Resolves.NOWHERE, "*.app.dev.local": Resolves.NOWHERE}
    shown = render("app=3000", "*.app=3000", names=names, trusted=False)
    assert "works" not in shown
    assert "(or devtls setup, which does names and ports as well):\n\n      devtls trust\n" in shown
    assert "or devtls setup" not in render("app=3000", trusted=False)


def test_a_resolver_that_does_not_answer_is_reported() -> None:
    """Offline, getaddrinfo fails with EAI_AGAIN for every name but those of the hosts file."""
    names = {"app.dev.local": Resolves.UNANSWERED, "app.localhost": Resolves.HERE, "app.test": Resolves.UNANSWERED}
    shown = render("app=3000", names=names)
    assert "This machine's resolver does not answer for app.dev.local, app.test (https://app.localhost works" in shown
    assert "      devtls setup names\n" in shown


def test_names_that_lead_elsewhere_are_spoken_of_in_the_plural() -> None:
    shown = render("app=3000", names={"app.dev.local": Resolves.ELSEWHERE, "app.test": Resolves.ELSEWHERE})
    assert "app.dev.local, app.test: the DNS sends these names to another machine" in shown


def test_a_demo_advises_no_trust_that_cannot_help() -> None:
    shown = render("app=3000", trusted=False, trust_command="devtls demo --trust")
    assert (
        "No browser trusts the CA of this demo, which ends with it. With your own it opens without a warning:" in shown
    )
    assert "      devtls demo --trust\n" in shown
    assert "devtls trust" not in shown
