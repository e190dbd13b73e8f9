from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtls.system.changes.truststore.policy_json import (
    UnusablePolicies,
    add_certificate,
    named_certificates,
    remove_certificate,
)

OURS = "/etc/firefox/policies/devtls-1a2b3c4d.pem"
OLDER = "/etc/firefox/policies/devtls-00000000.pem"
DOCUMENTS = (
    "",
    "{}",
    "{ }",
    '{"policies":{}}',
    '{"policies": {\n  "DisableTelemetry": true\n}}\n',
    '{\n "policies": {"Certificates": {}}}',
    '{"policies": {"Certificates": {"ImportEnterpriseRoots": true}}}',
    '{"policies": {"Certificates": {"Install": []}}}',
    '{"policies": {"Certificates": {"Install": [ ]}}}',
    '{"policies": {"Certificates": {"Install": [\r\n    "corp.pem",\r\n\t"b.pem"\r\n]}}, "x": 1}\r\n',
    '{ "policies": { "Certificates": { "Install": [ "a.pem" ] } } }',
    '{"policies": {"Certificates": {"Install": ["a.pem","b.pem"]}, "Certificates2": {"Install": []}}}',
    '{"policies": 1, "policies": {"Proxy": {"Mode": "none"}}}',
)


@pytest.mark.parametrize("text", DOCUMENTS)
def test_what_is_added_can_be_taken_out_to_the_byte(text: str) -> None:
    added = add_certificate(text, OURS)
    assert named_certificates(added)[0] == OURS
    assert remove_certificate(added, OURS) == text


@pytest.mark.parametrize("text", DOCUMENTS)
def test_two_of_ours_come_out_in_either_order(text: str) -> None:
    both = add_certificate(add_certificate(text, OLDER), OURS)
    assert {OURS, OLDER} <= set(named_certificates(both))
    for first, second in itertools.permutations((OURS, OLDER)):
        assert remove_certificate(remove_certificate(both, first), second) == text


@pytest.mark.parametrize("text", DOCUMENTS[1:])
def test_nothing_else_in_the_document_changes(text: str) -> None:
    def without(value: Any) -> Any:
        policies = value["policies"]
        policies["Certificates"]["Install"].remove(OURS)
        if not policies["Certificates"]["Install"]:
            del policies["Certificates"]["Install"]
        return value

    def pruned(value: Any) -> Any:
        """A document in which empty brackets do not count."""
        if isinstance(value, dict):
            return {key: inner for key, inner in ((k, pruned(v)) for k, v in value.items()) if inner not in ({}, [])}
        return value

    assert pruned(without(json.loads(add_certificate(text, OURS)))) == pruned(json.loads(text))


@pytest.mark.parametrize(
    ("listed", "left"),
    [
        (f'["a.pem", "{OURS}"]', '["a.pem"]'),
        (f'["a.pem",\n "{OURS}",\n "b.pem"]', '["a.pem",\n \n "b.pem"]'),
        (f'[ "{OURS}", "a.pem" ]', '[ "a.pem" ]'),
        (f'["{OURS}"]', "[]"),
    ],
)
def test_an_entry_that_somebody_moved_is_taken_out_where_it_is(listed: str, left: str) -> None:
    frame = '{"policies": {"Certificates": {"Install": LIST}}}'
    assert remove_certificate(frame.replace("LIST", listed), OURS) == frame.replace("LIST", left)


@pytest.mark.parametrize("text", DOCUMENTS[1:])
def test_what_is_not_there_is_not_taken_out(text: str) -> None:
    assert remove_certificate(text, OURS) == text


def test_somebodys_own_spelling_of_the_path_is_understood() -> None:
    text = '{"policies": {"Certificates": {"Install": ["\\/etc/firefox/policies/devtls-1a2b3c4d.pem"]}}}'
    assert named_certificates(remove_certificate(text, OURS)) == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"policies": []}',
        '{"policies": {"Certificates": 1}}',
        '{"policies": {"Certificates": {"Install": 1}}}',
    ],
)
def test_what_cannot_be_merged_into_is_refused(text: str) -> None:
    with pytest.raises(UnusablePolicies):
        named_certificates(text)


def test_entries_that_are_no_text_are_none_of_ours() -> None:
    assert named_certificates('{"policies": {"Certificates": {"Install": [1, "a.pem", null]}}}') == ("a.pem",)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(
    others=st.dictionaries(st.text(), JSON),
    policies=st.none() | st.dictionaries(st.text(), JSON),
    listed=st.none() | st.lists(st.text()),
    indent=st.none() | st.integers(0, 4),
)
def test_any_document_comes_back_as_it_was(
    others: dict[str, Any], policies: dict[str, Any] | None, listed: list[str] | None, indent: int | None
) -> None:
    document = {key: value for key, value in others.items() if key != "policies"}
    if policies is not None:
        inner = {key: value for key, value in policies.items() if key != "Certificates"}
        document["policies"] = inner if listed is None else {**inner, "Certificates": {"Install": listed}}
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    added = add_certificate(text, OURS)
    assert named_certificates(added)[0] == OURS
    assert remove_certificate(added, OURS) == text
