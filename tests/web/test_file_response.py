"""Conditions and ranges of RFC 9110, on a file of ten octets."""

from __future__ import annotations

import pytest

from devtls.web.file_response import FileFacts, FileResponse, respond_with_file

FACTS = FileFacts(10, 1_700_000_000_500_000_000)
TAG = FACTS.etag
DATE = FACTS.last_modified
LATER = "Wed, 15 Nov 2023 22:13:20 GMT"
EARLIER = "Mon, 13 Nov 2023 22:13:20 GMT"
WHOLE = FileResponse(200, 0, 10)


def test_the_date_is_an_http_date() -> None:
    assert DATE == "Tue, 14 Nov 2023 22:13:20 GMT"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"If-None-Match": TAG}, 304),
        ({"If-None-Match": f"W/{TAG}"}, 304),
        ({"If-None-Match": f'"a", {TAG}'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-None-Match": '"other"', "If-Modified-Since": LATER}, 200),
        ({"If-Modified-Since": DATE}, 304),
        ({"If-Modified-Since": LATER}, 304),
        ({"If-Modified-Since": EARLIER}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Match": TAG}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": f"W/{TAG}"}, 412),
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": TAG, "If-Unmodified-Since": EARLIER}, 200),
        ({"If-Unmodified-Since": EARLIER}, 412),
        ({"If-Unmodified-Since": DATE}, 200),
    ],
)
def test_conditions(headers: dict[str, str], status: int) -> None:
    assert respond_with_file(headers, FACTS).status == status


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        ("bytes=0-3", FileResponse(206, 0, 4, "bytes 0-3/10")),
        ("bytes=4-", FileResponse(206, 4, 6, "bytes 4-9/10")),
        ("bytes=-3", FileResponse(206, 7, 3, "bytes 7-9/10")),
        ("bytes=-30", FileResponse(206, 0, 10, "bytes 0-9/10")),
        ("bytes=5-99", FileResponse(206, 5, 5, "bytes 5-9/10")),
        ("bytes=10-", FileResponse(416, content_range="bytes */10")),
        ("bytes=-0", FileResponse(416, content_range="bytes */10")),
        ("bytes=3-2", WHOLE),
        ("bytes=0-1,3-4", WHOLE),
        ("bytes=-", WHOLE),
        ("lines=0-3", WHOLE),
        (f"bytes=0-{'9' * 5000}", WHOLE),
    ],
)
def test_ranges(wanted: str, answer: FileResponse) -> None:
    assert respond_with_file({"Range": wanted}, FACTS) == answer


def test_no_part_of_an_empty_file() -> None:
    assert respond_with_file({"Range": "bytes=0-"}, FileFacts(0, 0)).status == 416


@pytest.mark.parametrize(
    ("condition", "status"),
    [(TAG, 206), (f"W/{TAG}", 200), ('"other"', 200), (DATE, 206), (LATER, 200), (EARLIER, 200), ("x", 200)],
)
def test_a_range_of_another_version_is_the_whole_file(condition: str, status: int) -> None:
    assert respond_with_file({"Range": "bytes=0-3", "If-Range": condition}, FACTS).status == status
