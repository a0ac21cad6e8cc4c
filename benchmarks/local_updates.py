"""Stock hivemind.Optimizer with local updates, to compare with: each device steps alone, parameters are averaged.

Started by benchmarks/wifi.py in a device's folder, once a device; the first prints the address that the second is given
as --peer, and each of them at the end a line of JSON. Start, texts, batches and AdamW are a peer's; the rest is
hivemind's own, with its averaging in the background (`delay_state_averaging`).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from functools import partial

import hivemind
import torch
from hivemind.compression import Float16Compression

from benchmarks.ddp import bare_loop
from peer.inner.compiling import worth_compiling
from peer.inner.optimizer import MuonAdamW, parameter_groups
from peer.outer.synchronous import AVERAGING_SECONDS, MATCHMAKING_SECONDS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local_updates", description=__doc__.splitlines()[0])
    parser.add_argument("--host", required=True, help="this device's address")
    parser.add_argument("--peer", nargs="*", default=[], help="what the first device printed")
    parser.add_argument("--minutes", type=float, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    inner, settings, _ = bare_loop(arguments.host)
    training = settings.training
    if worth_compiling(inner):
        inner.compile(training.batch_size)
    dht = hivemind.DHT(
        initial_peers=arguments.peer,
        host_maddrs=[f"/ip4/{arguments.host}/tcp/0"],
        auto_nat=False,
        nat_port_map=False,
        use_relay=False,
        start=True,
    )
    print("listens at", *dht.get_visible_maddrs(), flush=True)
    swarm = hivemind.Optimizer(
        dht=dht,
        run_id="local-updates",
        target_batch_size=settings.swarm.samples_per_round,
        batch_size_per_step=training.batch_size,
        params=parameter_groups(inner.model),
        optimizer=partial(MuonAdamW, lr=training.lr),
        use_local_updates=True,
        delay_state_averaging=True,
        matchmaking_time=MATCHMAKING_SECONDS,
        averaging_timeout=AVERAGING_SECONDS,
        state_averaging_compression=Float16Compression(),
        client_mode=False,
    )
    began, steps = time.time(), 0
    while time.time() - began < 60 * arguments.minutes:
        _, sequences = inner.backward()
        swarm.step(batch_size=sequences)
        swarm.zero_grad()
        steps += 1
    speed = steps * training.batch_size * training.dataset.seq_len / (time.time() - began)
    print(json.dumps({"tokens_per_second": speed, "rounds": swarm.local_epoch}), flush=True)
    os._exit(0)  # whoever started it ends its processes


if __name__ == "__main__":
    main()
