from __future__ import annotations

from devtls.doctor.health.finding import Finding, Level
from devtls.doctor.health.ports import HTTP, HTTPS, STAND_IN, PortFacts, PortOwner, WantedPorts, check_ports

PKI = 23456
FREE = (
    PortFacts(HTTPS, PortOwner.FREE),
    PortFacts(STAND_IN, PortOwner.FREE),
    PortFacts(HTTP, PortOwner.FREE),
    PortFacts(PKI, PortOwner.FREE),
)


def checked(*ports: PortFacts, https: int | None = None, pki: int = PKI) -> dict[tuple[str, str], Finding]:
    others = [port for port in FREE if port.number not in {each.number for each in ports}]
    found = check_ports([*ports, *others], WantedPorts(https, pki))
    return {(finding.id, finding.subject): finding for finding in found}


def levels(*ports: PortFacts, https: int | None = None) -> dict[tuple[str, str], Level]:
    return {each: finding.level for each, finding in checked(*ports, https=https).items()}


def test_free_ports_are_fine() -> None:
    assert levels() == {("port-free", "443"): Level.OK}
    assert checked(pki=0).keys() == {("port-free", "443")}


def test_a_port_that_somebody_else_has_is_a_warning_by_name() -> None:
    finding = checked(PortFacts(HTTPS, PortOwner.OTHERS, "nginx (process 12)"))["port-taken", "443"]
    assert finding.level is Level.WARNING
    assert finding.what == "Port 443 belongs to nginx (process 12)."
    assert finding.remedy == "Stop it, or devtls serve --https-port 8443"
    unknown = checked(PortFacts(HTTPS, PortOwner.OTHERS))["port-taken", "443"]
    assert unknown.what == "Port 443 belongs to another program."


def test_a_port_whose_connections_go_elsewhere_is_a_trouble() -> None:
    finding = checked(PortFacts(HTTPS, PortOwner.LOST, "devtls (process 9)"))["port-redirected-away", "443"]
    assert finding.level is Level.TROUBLE
    assert finding.what == "Port 443 is listened to by devtls (process 9), but connections to it do not arrive there."
    assert levels(PortFacts(HTTPS, PortOwner.LOST)) == {("port-redirected-away", "443"): Level.TROUBLE}


def test_a_closed_port_is_a_note_as_long_as_the_stand_in_is_free() -> None:
    closed = PortFacts(HTTPS, PortOwner.FREE, closed=True)
    assert levels(closed) == {("port-closed", "443"): Level.NOTE}
    assert checked(closed)["port-closed", "443"].remedy == "devtls setup ports"
    both = checked(closed, PortFacts(STAND_IN, PortOwner.OTHERS, "java (process 3)"))
    assert both["port-taken", "8443"].remedy == "Stop it, or devtls serve --https-port 0"


def test_the_port_of_the_configuration_is_the_one_that_counts() -> None:
    assert levels(PortFacts(HTTPS, PortOwner.OTHERS), PortFacts(9443, PortOwner.FREE), https=9443) == {
        ("port-free", "9443"): Level.OK
    }
    forbidden = checked(PortFacts(500, PortOwner.FREE, closed=True), https=500)["port-forbidden", "500"]
    assert forbidden.level is Level.WARNING


def test_a_devtls_of_this_ca_is_fine_on_its_ports_and_owns_its_redirects() -> None:
    ours = "devtls (process 9)"
    found = levels(
        PortFacts(HTTPS, PortOwner.OURS, ours),
        PortFacts(HTTP, PortOwner.OTHERS, ours),
        PortFacts(PKI, PortOwner.OURS, ours),
    )
    assert found == {("serve-runs", "443"): Level.OK, ("serve-runs", str(PKI)): Level.OK}
    running = checked(PortFacts(PKI, PortOwner.OURS, ours))
    assert running["serve-runs", str(PKI)].what == "A devtls with this CA runs: devtls (process 9)."
    assert checked(PortFacts(PKI, PortOwner.OURS))["serve-runs", str(PKI)].what == "A devtls with this CA runs."


def test_a_devtls_of_another_ca_is_a_trouble() -> None:
    finding = checked(PortFacts(STAND_IN, PortOwner.OTHER_CA, "devtls (process 9)"))["serve-of-another-ca", "8443"]
    assert finding.level is Level.TROUBLE
    assert "devtls (process 9)" in finding.what
    assert levels(PortFacts(HTTPS, PortOwner.OTHER_CA)) == {("serve-of-another-ca", "443"): Level.TROUBLE}


def test_somebody_on_the_port_for_redirects_or_lists_is_a_note() -> None:
    found = levels(PortFacts(HTTP, PortOwner.OTHERS), PortFacts(PKI, PortOwner.OTHERS))
    assert found == {
        ("port-free", "443"): Level.OK,
        ("redirects-taken", "80"): Level.NOTE,
        ("pki-port-taken", str(PKI)): Level.NOTE,
    }
    assert levels(PortFacts(HTTP, PortOwner.FREE), https=HTTP) == {("port-free", "80"): Level.OK}
