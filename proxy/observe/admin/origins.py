"""Whether a request that changes or costs something comes from our own page.

A page of somebody else in the same browser can have it send a form here, to a name that is allowed, with whatever
credentials the browser keeps for it. It cannot choose what the browser says of where the form stood.

Law: header fields to judgement. Who says nothing is no browser of today, or hides where it comes from: either is refused.
"""

from collections.abc import Mapping


def from_own_page(fields: Mapping[str, str]) -> bool:
    """Whether the browser says that the request is of the same origin: Sec-Fetch-Site, else Origin and Host.

    Browsers leave Sec-Fetch-Site out where the port is asked by plain HTTP under another name than localhost.
    """
    site = fields.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    _, mark, authority = fields.get("Origin", "").partition("://")
    return bool(mark) and authority.lower() == fields.get("Host", "").lower()
