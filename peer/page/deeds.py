"""What the page's buttons do: they ask the peer that trains, by its control channel."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from peer.device.event_log import KnownLine, Value
from peer.page.control import NotDone, ask
from peer.page.lan import Lan
from peer.page.models import Deed, QuietHours, Said

DOCTOR_SECONDS, INVITE_SECONDS = 120.0, 30.0
MOST_SAID = 20_000  # characters of a command's answer


class Deeds:
    """Does what a button asks for, and says what came of it. Raises NotDone."""

    def __init__(self, checkpoints: Path, lan: Lan):
        self._checkpoints, self._lan = checkpoints, lan
        self._command_runs = asyncio.Lock()
        self._by_name: dict[str, Callable[[Deed], Awaitable[Said]]] = {
            "pause": self._pause,
            "go_on": self._go_on,
            "quiet_hours": self._quiet_hours,
            "share_of_time": self._share_of_time,
            "sync": self._sync,
            "checkpoint": self._checkpoint,
            "invite": self._invite,
            "who_gets_the_key": self._who_gets_the_key,
            "lock": self._lock,
            "unlock": self._unlock,
            "admit": self._admit,
            "eject": self._eject,
            "doctor": self._doctor,
            "page": self._page,
        }

    async def do(self, deed: Deed, is_local: bool) -> Said:
        """Do it. Raises NotDone, and says why.

        :param is_local: the button was pressed on this device
        """
        if deed.what == "page" and not is_local:
            raise NotDone("who sees this page is decided on the device itself")
        return await self._by_name[deed.what](deed)

    async def _ask(self, action: str, *arguments: str) -> dict[str, Any]:
        return await asyncio.to_thread(ask, self._checkpoints, action, *arguments)

    async def _pause(self, deed: Deed) -> Said:
        await self._ask("pause")
        return said("training rests until you let it go on", "paused")

    async def _go_on(self, deed: Deed) -> Said:
        await self._ask("goon")
        return said("training goes on", "training_goes_on")

    async def _quiet_hours(self, deed: Deed) -> Said:
        if not deed.begins and not deed.ends:
            await self._ask("quiet")
            return said("there are no quiet hours any more", "no_quiet_hours")
        hours = QuietHours(begins=deed.begins, ends=deed.ends)
        await self._ask("quiet", hours.begins, hours.ends)
        text = f"this device does not train from {hours.begins} to {hours.ends}"
        return said(text, "quiet_hours", begins=hours.begins, ends=hours.ends)

    async def _share_of_time(self, deed: Deed) -> Said:
        if deed.share is None:
            raise NotDone("share is missing: a number from 0.01 to 1")
        await self._ask("share", str(deed.share))
        text = f"this device trains in {100 * deed.share:.0f} % of the time"
        return said(text, "share_of_time", share=deed.share)

    async def _sync(self, deed: Deed) -> Said:
        await self._ask("sync")
        return said("this device exchanges with the others as soon as they do", "sync")

    async def _checkpoint(self, deed: Deed) -> Said:
        await self._ask("checkpoint")
        return said("a checkpoint is being written", "checkpoint")

    async def _invite(self, deed: Deed) -> Said:
        found = re.search(r"CM[0-9]-[A-Z2-7]+", answer := await self._told_by("--invite", INVITE_SECONDS))
        if found is None:
            raise NotDone(answer or KnownLine("there is no invite yet; try again in a moment", "no_invite"))
        line = f".venv/bin/python -m peer --join {found[0]}"
        return said("on the other device type:", "invite_made").model_copy(update={"link": line, "qr": qr_of(found[0])})

    async def _who_gets_the_key(self, deed: Deed) -> Said:
        others = (await self._ask("household"))["others"]
        names = ", ".join(f"{other['name']} ({other['host']})" if other["host"] else other["name"] for other in others)
        return Said(said=names, peers=[str(other["peer"]) for other in others])

    async def _lock(self, deed: Deed) -> Said:
        await self._ask("lock", *deed.peers)
        return said("the run is locked: another device knocks, and is let in by its number", "is_locked")

    async def _unlock(self, deed: Deed) -> Said:
        await self._ask("unlock")
        return said("the run is open: whoever is on this network can come in", "is_open")

    async def _admit(self, deed: Deed) -> Said:
        device = await self._ask("admit", deed.number)
        return said(f"{device['name']} is let in", "admitted", name=str(device["name"]))

    async def _eject(self, deed: Deed) -> Said:
        device = await self._ask("eject", deed.name)
        return said(f"{device['name']} is ejected, and there is a new key", "has_ejected", name=str(device["name"]))

    async def _doctor(self, deed: Deed) -> Said:
        return Said(said=await self._told_by("--doctor", DOCTOR_SECONDS) or "the doctor has nothing to say")

    async def _told_by(self, option: str, seconds: float) -> str:
        """Return what a command says that looks at the peer from outside. Raises NotDone where it takes too long."""
        if self._command_runs.locked():
            raise NotDone(KnownLine("the doctor or an invite is on its way already; wait for it", "busy"))
        command = (sys.executable, "-m", "peer", option, "--checkpoints", str(self._checkpoints))
        nothing, pipe, same = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
        async with self._command_runs:
            process = await asyncio.create_subprocess_exec(*command, stdin=nothing, stdout=pipe, stderr=same)
            try:
                async with asyncio.timeout(seconds):
                    answer, _ = await process.communicate()
            except TimeoutError:
                raise NotDone(KnownLine(f"there is no answer within {seconds:.0f} s", "no_answer")) from None
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        return answer.decode(errors="replace")[:MOST_SAID].strip()

    async def _page(self, deed: Deed) -> Said:
        if deed.lan is False:
            await self._lan.close()
            return said("this page is for this device alone", "page_alone")
        if deed.lan is None:
            await self._lan.renew()
        link = await self._lan.open()
        told = said("whoever has this link sees this page, and can press its buttons", "page_lan")
        return told.model_copy(update={"link": link, "qr": qr_of(link)})


def said(text: str, kind: str, **values: Value) -> Said:
    """Return an answer that a page can give in its own words."""
    return Said(said=text, kind=kind, values=values)


def qr_of(text: str) -> str:
    """Return a QR code as a data: URL."""
    import segno  # which few pages ask for, in a process that is to stay small

    return str(segno.make(text, micro=False).svg_data_uri(scale=4, border=2, light="#fff"))
