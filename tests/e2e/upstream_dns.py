"""A DNS server as a machine had it before: it knows every name outside devtls' zones, and writes down what it is asked.

python -m tests.e2e.upstream_dns ADDRESS PORT
"""

from __future__ import annotations

import socket
import sys

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

ANSWER = "192.0.2.7"
_KNOWN = dns.name.from_text("example.com")


def answer(wire: bytes) -> bytes:
    query = dns.message.from_wire(wire)
    question = query.question[0]
    print(question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype), flush=True)
    response = dns.message.make_response(query, recursion_available=True)
    if not question.name.is_subdomain(_KNOWN):
        response.set_rcode(dns.rcode.NXDOMAIN)
    elif question.rdtype == dns.rdatatype.A:
        response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", ANSWER))
    return response.to_wire()


if __name__ == "__main__":
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((sys.argv[1], int(sys.argv[2])))
        print("ready", flush=True)
        while True:
            asked, peer = sock.recvfrom(4096)
            sock.sendto(answer(asked), peer)
