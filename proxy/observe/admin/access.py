"""Who may change something by the admin port.

Law: a name for what whoever checks a token says of a request.
"""

from typing import Final

from aiohttp import web

AUTHORISED: Final = web.RequestKey("authorised", bool)
"""Whether a token was asked for and given."""
