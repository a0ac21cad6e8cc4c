"""The page's process, which `python -m peer --join` starts: it ends when that one does.

python -m peer.page --checkpoints checkpoints --listener 5 --parent 4711
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

from data.terminal import CommandParser
from minigpt.serving.connections import server_of
from peer.page.guard import Guard
from peer.page.server import Page
from peer.page.sources import Sources

LOOK_SECONDS = 0.5  # between two looks whether the peer lives
LAST_WORDS_SECONDS = 1.0  # in which open pages are told that this device has stopped


async def serve(sources: Sources, listener: socket.socket, parent: int, is_again: bool) -> None:
    """Serve the page until the peer has ended, by whatever way, and tell open pages so.

    :param is_again: in the place of a process that has died
    """
    page = Page(sources)
    server = server_of(Guard(page.application))
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    serving = asyncio.create_task(server._serve([listener]))  # without signals of its own
    reading = asyncio.create_task(sources.keep_up())
    if is_again:
        await page.lan.open_again()
    while not ended.is_set() and os.getppid() == parent and not serving.done():
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), LOOK_SECONDS)
    reading.cancel()
    sources.stop()
    if page.is_looked_at:
        await asyncio.sleep(LAST_WORDS_SECONDS)
    server.should_exit = True
    await asyncio.gather(serving, page.lan.close())


def main() -> None:
    parser = CommandParser("python -m peer.page")
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("--listener", type=int, required=True, help="the number of a listening socket's file")
    parser.add_argument("--parent", type=int, required=True, help="the process whose page this is")
    parser.add_argument("--again", action="store_true", help="the process of before has died: go on as it was")
    arguments = parser.parse_args()
    listener = socket.socket(fileno=arguments.listener)
    asyncio.run(serve(Sources(arguments.checkpoints), listener, arguments.parent, arguments.again))


if __name__ == "__main__":
    main()
