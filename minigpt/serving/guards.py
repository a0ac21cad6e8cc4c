"""Who may ask a web server: the guards that stand before an application, and the form of their refusals.

All that a browser can be led to do comes with a Host or an Origin of another name; all that another device can do
needs the key; and who may ask has its share of the answers and no more.
"""

import asyncio
import ipaddress
import re
import secrets
import socket
import traceback
from collections import Counter
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

REQUESTS, OF_A_CLIENT = 16, 4  # answered at once; who comes beyond that is told to try again
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^][:/?#@\s]+)(:[0-9]*)?", re.IGNORECASE)
_ORIGIN = re.compile(r"https?://", re.IGNORECASE)


class Refusal(HTTPException):
    """A request that gets an error for an answer; the text is for the client."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ):
        super().__init__(status, message, headers)
        self.param, self.code = param, code


async def read_body(request: Request, most_bytes: int, seconds: float) -> bytes:
    """Return the body of a request. Raises Refusal if it is too large, takes too long, or is cut off."""
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                body += part
                if len(body) > most_bytes:
                    raise Refusal(413, f"the request is larger than {most_bytes} bytes")
    except TimeoutError:
        raise Refusal(408, f"the request was not here within {seconds:g} seconds") from None
    except ClientDisconnect:
        raise Refusal(400, "the request was cut off") from None
    return bytes(body)


def error_response(request: Request, error: Exception) -> Response:
    """Return any error as OpenAI's clients know it. One that is no refusal is ours, and is shown here as well."""
    if isinstance(error, HTTPException):
        status, message = error.status_code, error.detail
    else:
        traceback.print_exception(error)
        status, message = 500, "the server failed; what happened is in its output"
    kind = "invalid_request_error" if status < 500 else "server_error"
    param, code = getattr(error, "param", None), getattr(error, "code", None)
    content = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return JSONResponse(content, status, headers=getattr(error, "headers", None))


class OwnNamesOnly:
    """A guard that refuses whoever asks by a name that is not this device's, or comes from another's page.

    A page on the web can lead a browser here by a name of its own (DNS rebinding), and would read the answers; or it
    asks from where it is (cross-site request). Neither works with an address: that cannot be pointed elsewhere.

    :param local: whether the server is for this device alone, which then goes by its loopback names only
    :param names: others by which it goes
    """

    def __init__(self, app: ASGIApp, local: bool, names: Collection[str] = ()):
        self.app, self._local = app, local
        name = socket.gethostname()
        own = [] if local else [name, f"{name.partition('.')[0]}.local"]
        self._names = LOOPBACK | {name.lower() for name in [*own, *names]}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = self._problem(Headers(scope=scope)) if scope["type"] == "http" else None
        app: ASGIApp = self.app if problem is None else error_response(Request(scope), Refusal(403, problem))
        await app(scope, receive, send)

    def _problem(self, headers: Headers) -> str | None:
        """Return what is wrong with a request's Host or Origin; None where nothing is."""
        host = name_in(headers.get("host", ""))
        address = address_in(host)
        if host not in self._names and (address is None or (self._local and not address.is_loopback)):
            named = f"{headers.get('host', '')[:100]!r} is none of this server's names"
            return f"{named}: {'--host lets others ask' if self._local else 'ask it by its address'}"
        origin = headers.get("origin")
        if origin is not None:
            scheme = _ORIGIN.match(origin)
            page = name_in(origin[scheme.end() :]) if scheme else ""
            if page != host and not {page, host} <= LOOPBACK:
                return f"the page {origin[:100]!r} may not ask this server"
        return None


def name_in(authority: str) -> str:
    """Return the name or address in `name:port`, in small letters and an IPv6 address in brackets; "" for neither."""
    found = _HOST.fullmatch(authority)
    return found[1].lower() if found else ""


def address_in(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address that a host is given by, if it is."""
    try:
        return ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return None


class KeyNeeded:
    """A guard that lets nobody in without `Authorization: Bearer KEY`, as OpenAI's clients send it."""

    def __init__(self, app: ASGIApp, key: str):
        self.app, self._key = app, key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.app
        if scope["type"] == "http":
            scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not secrets.compare_digest(given.strip().encode("latin-1"), self._key):
                text = "this server asks for its key: Authorization: Bearer KEY, which it shows where it was started"
                refusal = Refusal(401, text, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
                app = error_response(Request(scope), refusal)
        await app(scope, receive, send)


class RequestLimit:
    """A limit of the requests that are answered at once, streams to their end included; the next are refused.

    :param of_client: how many of them may be one client's, so that none takes all
    """

    def __init__(self, app: ASGIApp, of_client: int = OF_A_CLIENT):
        self.app, self._of_client = app, of_client
        self._running: Counter[str] = Counter()  # by address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # the server's own start and end
            await self.app(scope, receive, send)
            return
        client = (scope.get("client") or [""])[0]
        if self._running.total() >= REQUESTS or self._running[client] >= self._of_client:
            text = f"{self._running.total()} requests are being answered, {self._running[client]} of them yours"
            refusal = Refusal(429, f"{text}: try again later", headers={"Retry-After": "1"})
            await error_response(Request(scope), refusal)(scope, receive, send)
            return
        self._running[client] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._running[client] -= 1
            self._running += Counter()  # without those who have none
