"""A peer that trains, and gives what it should not:  python -m benchmarks.bad_donor large --step 0.1 --join

As `benchmarks/steady_peer.py`; it says to be ahead, so that newcomers ask it first. `large` offers moments of 700 MB,
`nonsense` such that cannot be read, `changed` other bytes in the middle of its model, and `dripping` next to nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import runpy
import sys
from typing import Any, AsyncIterator  # noqa: UP035 -- hivemind tells streams by typing's name

from benchmarks.steady_peer import slow_down
from minigpt.checkpoint.manifest import OPTIMIZER, FileEntry, Manifest

KINDS = ("large", "nonsense", "changed", "dripping")
LARGE_BYTES = 700_000_000
AHEAD = 64  # sequences


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bad_donor", description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--step", type=float, required=True, help="seconds that a training step takes at least")
    arguments, rest = parser.parse_known_args()
    slow_down(arguments.step)
    say_to_be_ahead()
    give_badly(arguments.kind)
    sys.argv = ["peer", *rest]
    runpy.run_module("peer", run_name="__main__", alter_sys=True)


def say_to_be_ahead() -> None:
    from peer.outer.loop import BackgroundOuterLoop

    notice = BackgroundOuterLoop._notice

    def ahead(self: BackgroundOuterLoop) -> Any:
        said = notice(self)
        return said.model_copy(update={"trained": said.trained + AHEAD, "sharing": True})

    post = BackgroundOuterLoop._post

    def post_ahead(self: BackgroundOuterLoop, tokens_per_second: float) -> Any:
        BackgroundOuterLoop._notice = ahead  # type: ignore[method-assign]
        try:
            return post(self, tokens_per_second)
        finally:
            BackgroundOuterLoop._notice = notice  # type: ignore[method-assign]

    BackgroundOuterLoop._post = post_ahead  # type: ignore[method-assign]


def give_badly(kind: str) -> None:
    from hivemind.proto import runtime_pb2

    from minigpt.checkpoint.manifest import parse_manifest
    from peer.state.serving import CHUNK_BYTES, StateService
    from peer.wire import FileRequest, parse

    rpc_manifest, rpc_file = StateService.rpc_manifest, StateService.rpc_file

    async def bad_manifest(self: StateService, request: runtime_pb2.ExpertUID, context: Any) -> runtime_pb2.ExpertInfo:
        answer = await rpc_manifest(self, request, context)
        if kind not in ("large", "nonsense") or not answer.serialized_info:
            return answer
        manifest = parse_manifest(answer.serialized_info)
        return runtime_pb2.ExpertInfo(serialized_info=with_other_moments(self, manifest, kind).dump())

    async def bad_file(
        self: StateService, request: runtime_pb2.ExpertUID, context: Any
    ) -> AsyncIterator[runtime_pb2.ExpertInfo]:
        wanted = parse(FileRequest, request.uid)
        if wanted.file == OPTIMIZER and kind == "large":
            for _ in range(wanted.size // CHUNK_BYTES):
                yield runtime_pb2.ExpertInfo(serialized_info=os.urandom(CHUNK_BYTES))
            return
        async for message in rpc_file(self, request, context):
            if kind == "dripping":
                for byte in message.serialized_info:
                    yield runtime_pb2.ExpertInfo(serialized_info=bytes([byte]))
                    await asyncio.sleep(0.5)
            content = message.serialized_info
            if kind == "changed" and wanted.file == "model.safetensors":
                content = content[: len(content) // 2] + b"\0" * (len(content) - len(content) // 2)
            yield runtime_pb2.ExpertInfo(serialized_info=content)

    StateService.rpc_manifest = bad_manifest  # type: ignore[method-assign]
    StateService.rpc_file = bad_file  # type: ignore[method-assign]


def with_other_moments(service: Any, manifest: Manifest, kind: str) -> Manifest:
    """Return a manifest that lists moments which are too large, or of the right size and nonsense."""
    import hashlib

    size = LARGE_BYTES if kind == "large" else 4096
    content = b"x" * 4096
    for folder in service.root.glob(f"{manifest.run}/round-*") if kind == "nonsense" else ():
        (folder / OPTIMIZER).write_bytes(content)  # its own can be read no more
    entry = FileEntry(size=size, sha256=hashlib.sha256(content).hexdigest())
    return manifest.model_copy(update={"files": {**manifest.files, OPTIMIZER: entry}})


if __name__ == "__main__":
    main()
