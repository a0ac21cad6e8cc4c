"""Serve the best checkpoint to the clients that OpenAI's models have: `python -m minigpt.serve --port 8000`.

    OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none")        the openai package, and whatever is built on it

It is for this device alone, which needs no key. With `--host` others may ask who have the key that it shows.
"""

import argparse
import ipaddress
import secrets
import socket
import sys
from contextlib import suppress

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from data.terminal import CommandParser
from minigpt import heed_interrupts
from minigpt.cli import number_between, say
from minigpt.serving.api import Api
from minigpt.serving.connections import run
from minigpt.serving.guards import REQUESTS, KeyNeeded, OwnNamesOnly, Refusal, RequestLimit, error_response

LEAST_KEY = 16  # characters, of a key that nobody finds by trying


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    description = "Serve the best checkpoint, or the newest, to the clients that OpenAI's models have."
    parser = CommandParser("python -m minigpt.serve", description=description)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="the address to listen at, 0.0.0.0 for all; default: 127.0.0.1, this device alone",
    )
    parser.add_argument("--port", metavar="N", type=number_between(int, 0, 65535), default=8000, help="default: 8000")
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        type=api_key,
        help=f"what clients have to send, {LEAST_KEY} characters or more; default: none for this device alone, and for "
        "others one that is made now and shown",
    )
    parser.add_argument("--newest", action="store_true", help="the newest state, though an earlier one was better")
    arguments = parser.parse_args(argv)
    if not arguments.host:
        parser.error("--host needs an address; 0.0.0.0 lets every device on this network ask that has the key")
    return arguments


def api_key(text: str) -> str:
    """Return a key as it was given. Raises ArgumentTypeError if it cannot be one."""
    if len(text) < LEAST_KEY or not text.isascii() or not text.isprintable() or " " in text:
        raise argparse.ArgumentTypeError(
            f"a key has {LEAST_KEY} letters, digits and signs or more, and no spaces; without --api-key one is made"
        )
    return text


def build_app(api: Api, host: str, local: bool, key: str | None) -> Starlette:
    """Return the application.

    :param host: a name or address that it goes by
    :param local: whether it is for this device alone
    :param key: what clients have to send, or None
    """
    guards = [Middleware(OwnNamesOnly, local=local, names=[host])]
    if key is not None:
        guards.append(Middleware(KeyNeeded, key=key))
    # to a server for this device alone, all of its programs are one client
    guards.append(Middleware(RequestLimit, of_client=REQUESTS) if local else Middleware(RequestLimit))
    handlers = {HTTPException: error_response, Exception: error_response}
    app = Starlette(routes=api.routes(), middleware=guards, exception_handlers=handlers)
    app.router.redirect_slashes = False  # to whatever name it was asked by
    return app


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    heed_interrupts()
    family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
    try:
        listener = socket.create_server((arguments.host, arguments.port), family=family)
    except (OSError, UnicodeError, TypeError) as error:  # the last two where it is no name at all
        say(f"cannot listen at {arguments.host}: {getattr(error, 'strerror', None) or error}")
        return 2
    address, port = listener.getsockname()[:2]
    local, key = ipaddress.ip_address(address).is_loopback, arguments.api_key
    if key is None and not local:
        key = secrets.token_urlsafe(24)
        say(f"clients need this key: {key} (made now, for this time; --api-key sets one)")
    api = Api(arguments.newest)
    with suppress(KeyboardInterrupt):
        with suppress(Refusal):  # it was said, and a later one is taken when it is there
            api.load()
        host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
        say(f"listens at http://{host}:{port}/v1; Ctrl+C ends it")
        run(build_app(api, arguments.host, local, key), listener)
    return 0


if __name__ == "__main__":
    sys.exit(main())
