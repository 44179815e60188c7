"""Our own documents as blocks."""

from proxy.core.reasons import Reason
from proxy.documents import section
from proxy.observe.admin.pages.markdown import blocks

TEXT = """Send `x`, and **only** that; see [the `limits`](limits.md).

- one
- two `y`

```
$ tfs-proxy check
```
After."""


def test_paragraphs_lists_and_code_are_told_apart_and_links_lose_their_address():
    paragraph, points, code, last = blocks(TEXT)
    assert paragraph == (
        "text",
        [
            ("text", "Send "),
            ("code", "x"),
            ("text", ", and "),
            ("bold", "only"),
            ("text", " that; see "),
            ("text", "the limits"),
            ("text", "."),
        ],
    )
    assert points[0] == "list"
    assert [item[0] for item in points[1]] == [("text", "one\n"), ("text", "two ")]
    assert code == ("code", "$ tfs-proxy check")
    assert last == ("text", [("text", "After.")])


def test_nothing_is_no_block():
    assert blocks("") == []


def test_of_no_reason_an_address_is_left():
    for reason in Reason:
        assert "](" not in str(blocks(section("reasons.md", f"### {reason.value}")))
