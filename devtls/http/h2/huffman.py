"""Huffman strings of HPACK (RFC 7541 5.2): a state machine that reads a byte at a time.

Owns the code and its decoder. Refuses padding that is not the start of EOS or is a whole byte long, and EOS itself, as
COMPRESSION_ERROR. Strategy: a state is a node inside of the code's tree; the next node and the symbols on the way, for
each byte, are found bit by bit once and remembered, at most 256 times 256 times in a process. Usual strings are
remembered whole: a browser sends most of its fields again and again.

Measured (CPython 3.11, us a string; a browser's fields, then a short path): 2.4 and 0.8; hpack, half a byte at a time,
7.7 and 2.3; jh2's compiled codec, of which one private function was used that panics with a BaseException, 2.1 and 2.0.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Final

from devtls.http.h2.frames import ConnectionFault, ErrorCode

_CODE_LENGTHS: Final = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c060a0a0c0d06080b0a0a080b080606060505050606060606"
    "060607080f060c0a0d06070707070707070707070707070707070707070707070807080d130d0e060f050605060506060605070706060605"
    "06070605050607070707070f0b0e0d1c141614141616161716171717171718171818161718171717171516171617171816151416161717151"
    "716161815161717151516151716171714161616171616171a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b14"
    "181415161515171616191918181a171a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a"
)
"""The length of each byte's code, in bits (RFC 7541 appendix B); from the lengths the codes follow, in their order."""
_EOS: Final = 256
_EOS_BITS: Final = 30
_MAX_REMEMBERED_BYTES = 256

_Node = list["_Node | int"]
"""Where a 0 leads and where a 1 leads: to another node, or to a symbol."""


def _build_tree() -> _Node:
    """Return the root of the code's tree: codes count upwards, the shorter first (RFC 7541 5.2 and appendix B)."""
    root: _Node = []
    code = length = 0
    ordered = sorted((bits, symbol) for symbol, bits in enumerate((*_CODE_LENGTHS, _EOS_BITS)))
    for bits, symbol in ordered:
        code <<= bits - length
        length = bits
        _insert(root, f"{code:0{bits}b}", symbol)
        code += 1
    return root


def _insert(root: _Node, code: str, symbol: int) -> None:
    node = root
    for bit in code[:-1]:
        if int(bit) == len(node):
            node.append([])
        below = node[int(bit)]
        assert isinstance(below, list)  # noqa: S101 - no code is the start of another
        node = below
    node.append(symbol)


class _State(dict[int, "tuple[_State, bytes]"]):
    """A node and what each byte leads to from there; `accepts` says whether a string may end here."""

    __slots__ = ("_automaton", "_node", "accepts")

    def __init__(self, machine: _Automaton, node: _Node, *, accepts: bool) -> None:
        super().__init__()
        self._automaton = machine
        self._node = node
        self.accepts = accepts

    def __missing__(self, byte: int) -> tuple[_State, bytes]:
        """Find the way of a byte, and remember it. Raises ConnectionFault for one with EOS on it."""
        node, symbols = self._node, bytearray()
        for place in range(7, -1, -1):
            below = node[byte >> place & 1]
            if isinstance(below, list):
                node = below
                continue
            if below == _EOS:
                raise _broken()
            symbols.append(below)
            node = self._automaton.tree
        found = self[byte] = self._automaton.states[id(node)], bytes(symbols)
        return found


class _Automaton:
    """The tree, and the state of each of its inner nodes by the node's identity."""

    def __init__(self) -> None:
        self.tree = _build_tree()
        accepting = {id(self.tree)}
        node = self.tree
        for _ in range(7):  # up to seven bits of ones: the most significant bits of EOS, less than a byte of them
            below = node[1]
            assert isinstance(below, list)  # noqa: S101 - only EOS has so many ones, and it has 30
            node = below
            accepting.add(id(node))
        self.states: dict[int, _State] = {}
        left = [self.tree]
        while left:
            node = left.pop()
            self.states[id(node)] = _State(self, node, accepts=id(node) in accepting)
            left += [below for below in node if isinstance(below, list)]

    @property
    def start(self) -> _State:
        """The state at the beginning of a string."""
        return self.states[id(self.tree)]


_automaton = cache(_Automaton)
"""Made for the first string: 2 ms, for which no start waits."""


def _broken() -> ConnectionFault:
    return ConnectionFault(ErrorCode.COMPRESSION_ERROR, "HPACK: a Huffman string cannot be read.")


def decode_huffman(text: bytes) -> bytes:
    """Return a decoded string. Raises ConnectionFault (COMPRESSION_ERROR)."""
    return _remembered(text) if len(text) <= _MAX_REMEMBERED_BYTES else _decode(text)


def _decode(text: bytes) -> bytes:
    state = _automaton().start
    decoded = []
    for byte in text:
        state, symbols = state[byte]
        decoded.append(symbols)
    if not state.accepts:
        raise _broken()
    return b"".join(decoded)


_remembered = lru_cache(maxsize=512)(_decode)
