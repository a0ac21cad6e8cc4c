"""Who may ask the page: its own pages under its own names, and from other devices whoever has the token.

Whatever a web page elsewhere leads a browser to do comes with a Host or an Origin of another name. A button needs the
page's Origin and a header besides, which no form can send (CSRF). On loopback it is for the account that trains alone.
"""

from __future__ import annotations

import ipaddress
import re
import secrets

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from peer.device.event_log import KnownLine
from peer.page.local_user import is_owner

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
GUARDED = ("/api/", "/v1/", "/newest/")  # all else are the page's own files, which hold nothing of anybody
PROTECTION = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^][:/?#@\s]+)(:[0-9]{1,5})?")


class Guard:
    """Refuses whoever may not ask, and gives every answer the headers that keep a browser within the page.

    :param token: that others have to send; None where the page is for this device alone
    """

    def __init__(self, app: ASGIApp, token: Token | None = None):
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        scope["state"] = {**scope.get("state", {}), "is_local": self._token is None}
        headers = Headers(scope=scope)
        refusal = self._refusal(scope["path"], scope["method"], headers)
        if refusal is None and self._token is None and scope["path"].startswith(GUARDED) and not is_owners(scope):
            refusal = refused(403, "this page is for the user of this device who trains, and for nobody else's account")

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in PROTECTION.items()]
                message = {**message, "headers": [*message.get("headers", []), *own]}
            await send(message)

        await (refusal or self._app)(scope, receive, send_protected)

    def _refusal(self, path: str, method: str, headers: Headers) -> Response | None:
        """Return the answer to a request that is refused; None where nothing is wrong with it."""
        host = headers.get("host", "")
        if not self._is_our_name(host):
            return refused(403, f"{host[:100]!r} is none of this page's names: ask it by its address")
        if not path.startswith(GUARDED):
            return None
        origin, own = headers.get("origin"), f"http://{host}"
        if origin not in (None, own) or headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return refused(403, f"the page {(origin or 'of another site')[:100]!r} may not ask this one")
        if self._token is not None and not self._token.is_in(headers):
            text = "this page asks for its token: python -m peer --page lan shows the link with it"
            return refused(401, text, {"www-authenticate": "Bearer"})
        is_button = path.startswith("/api/") and method not in ("GET", "HEAD")
        if is_button and (origin != own or headers.get("x-cellmind") != "1"):
            return refused(403, "a button needs the page's own Origin, and the header X-CellMind: 1")
        return None

    def _is_our_name(self, host: str) -> bool:
        """Return whether a Host header names us. Unlike a name, an address leads nowhere else (DNS rebinding)."""
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1].lower()
        return name in LOOPBACK_NAMES or (self._token is not None and is_address(name))


class Token:
    """The word that other devices have to send; whoever renews it shuts all of them out."""

    def __init__(self, word: str):
        self.word = word

    def renew(self) -> None:
        """Take another one."""
        self.word = secrets.token_urlsafe(24)

    def is_in(self, headers: Headers) -> bool:
        """Return whether a request brings it, as `Authorization: Bearer TOKEN`."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and secrets.compare_digest(given.strip().encode(), self.word.encode())


def is_owners(scope: Scope) -> bool:
    """Return whether a request over loopback is of our own user, as far as the system tells."""
    client, server = scope.get("client"), scope.get("server")
    return client is None or server is None or is_owner((client[0], client[1]), (server[0], server[1]))


def is_address(name: str) -> bool:
    """Return whether a host is given by its IP address."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def refused(status: int, error: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the answer to what is not done, and why."""
    known = {"kind": error.kind, "values": error.values} if isinstance(error, KnownLine) else {}
    return JSONResponse({"error": error, **known}, status, headers=headers)
