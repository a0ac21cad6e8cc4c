"""A web server whose connections have deadlines, and of which no client takes more than its share.

uvicorn alone has a timeout for idle connections only, and a limit that counts all clients together: whoever opens
enough connections and says half a word on each would keep everybody out.
"""

import asyncio
import socket

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS, OF_A_CLIENT = 100, 32  # at once
ACCEPTED = 32  # in one go: with all connections they are fewer than the 256 files that macOS gives a process
QUEUE = 1024  # not accepted yet; beyond that the kernel drops who knocks, who tries again a second later
HEAD_SECONDS = 10.0  # for the headers of a request, from the end of the one before
BODY_SECONDS = 15.0  # for its body, where the application does not say when it has waited enough
SEND_SECONDS = 30.0  # in which a client has to go on taking what it asked for


class Connection(H11Protocol):
    """A client's connection. It ends when the client is late, and when it has to make room for a newer one."""

    _opened = 0.0  # by the loop's clock
    _awaited: object = None  # what the client is to send, or already sends
    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn does
        super().connection_made(transport)
        self._opened = self.loop.time()
        self._set_deadline()
        self._make_room()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._set_deadline()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._set_deadline()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(SEND_SECONDS, self._drop)

    def resume_writing(self) -> None:
        super().resume_writing()
        cancel(self._unread)

    def connection_lost(self, exc: Exception | None) -> None:
        cancel(self._late)
        cancel(self._unread)
        super().connection_lost(exc)

    def _set_deadline(self) -> None:
        """Begin to count where the client has something else to send than before, and stop where it has nothing."""
        state = self.conn.their_state
        awaited = (state, self.cycle) if state in (h11.IDLE, h11.SEND_BODY) else None
        if awaited != self._awaited:
            self._awaited = awaited
            cancel(self._late)
            if awaited is not None:
                seconds = HEAD_SECONDS if state is h11.IDLE else BODY_SECONDS
                self._late = self.loop.call_later(seconds, self._drop)

    def _make_room(self) -> None:
        """Where there are too many now, end the oldest that is not being answered: this one if it is the only one."""
        everybody = [other for other in self.connections if isinstance(other, Connection)]
        of_client = [other for other in everybody if other._client() == self._client()]
        crowd = of_client if len(of_client) > OF_A_CLIENT else everybody if len(everybody) > CONNECTIONS else []
        waiting = [other for other in crowd if not other._is_answered()]
        if waiting:
            min(waiting, key=lambda other: other._opened)._drop()

    def _client(self) -> str:
        """Return the client's address."""
        return self.client[0] if self.client else ""

    def _is_answered(self) -> bool:
        """Return whether there is an answer on the way to a client that takes it."""
        return self.cycle is not None and not self.cycle.response_complete and not self.flow.write_paused

    def _drop(self) -> None:
        """End the connection now, whatever was still to be sent."""
        self.connections.discard(self)  # it counts no more, though its end is told later
        self.transport.abort()


def cancel(timer: asyncio.TimerHandle | None) -> None:
    """Stop a timer, if there is one."""
    if timer is not None:
        timer.cancel()


class _Server(uvicorn.Server):
    """A server to which more may come at once than it accepts in one go, which asyncio takes for one number."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            listener.listen(QUEUE)


def server_of(app: ASGIApp) -> uvicorn.Server:
    """Return a server that gives an application to browsers and programs."""
    config = uvicorn.Config(
        app,
        http=Connection,
        loop="asyncio",
        ws="none",
        lifespan="off",
        backlog=ACCEPTED,
        proxy_headers=False,  # a client is who its connection says, not who it says itself
        server_header=False,
        log_level="critical",  # what fails is shown by the application; uvicorn would also show what the end interrupts
        timeout_graceful_shutdown=1,
    )
    return _Server(config)


def run(app: ASGIApp, listener: socket.socket) -> None:
    """Serve an application on a listening socket until Ctrl+C. Raises KeyboardInterrupt then."""
    server_of(app).run(sockets=[listener])
