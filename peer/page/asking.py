"""What another terminal asks of the page that is served on this device."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from pydantic import ValidationError

from peer.page.control import NotDone
from peer.page.models import Said

PAGE_CHOICES = ("here", "lan", "renew", "alone")
SECONDS = 15.0  # that an answer may take: the page may just be starting
_LAN = {"lan": True, "renew": None, "alone": False}


def ask_for_page(url: str, choice: str) -> Said:
    """Have the page served on the LAN, by another link, or to this device alone again. Raises NotDone."""
    place = urlsplit(url).netloc
    connection = HTTPConnection(place, timeout=SECONDS)
    body = json.dumps({"what": "page", "lan": _LAN[choice]})
    headers = {"Origin": url, "X-CellMind": "1", "Content-Type": "application/json"}
    try:
        connection.request("POST", "/api/do", body, headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise NotDone(str(json.loads(content)["error"]))
        return Said.model_validate_json(content)
    except (OSError, HTTPException, ValidationError, ValueError, KeyError, TypeError) as error:
        raise NotDone(f"the page at {url} does not answer; start the peer anew") from error
    finally:
        connection.close()
