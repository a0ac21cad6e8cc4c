"""States that were made up, and newer ones of honest devices, for `benchmarks/attacks.py`: who takes which.

A made-up state is a folder made with the project's own `checkpoint.save`, which claims more training than the household
has, and is started with the plain line, `python -m peer --join`. Who made it knows the household's model as it is now,
and begins each time with another identity. The honest ones are states of devices that were out of reach, or were killed
and have lost what leads on.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from benchmarks.household import PEER
from benchmarks.scene import START_SECONDS, Outcome, Scene, join, peers_in
from minigpt import checkpoint
from minigpt.checkpoint import Checkpoint
from minigpt.checkpoint.manifest import TOKENIZER, Progress
from minigpt.model import MiniGPT
from peer.inner.loop import InnerLoop
from peer.state.anchor import MEAN_BITS, padded
from peer.state.codec import encode, payload_bytes
from peer.state.means import Mean, MeanError, load
from tests.devices import Device
from tests.lan import wait_until

Parameters: TypeAlias = dict[str, Tensor]
IMPOSTOR = "impostor"
LOOK_SECONDS = 90.0  # in which all devices have looked at a made-up state
TOGETHER_SECONDS = 120.0  # in which devices that were apart exchange again
DOWN_SECONDS = 15.0  # of a device that was killed
LATE_SECONDS = 10.0  # that a checkpoint may be on the disk after its anchor has moved on
PARTED_SECONDS = 60.0  # for half of which the common anchor is kept, and means lead on from it
AHEAD = 60_000  # sequences more than the household has, which goes on meanwhile
LEARNT_ROUNDS = 12  # that the household closes first, of 256 sequences each
TRAINED_STEPS = 150  # on garbage


# ---------------------------------------------------------------------- made-up states


def at_random(state: Checkpoint) -> Parameters:
    """A model that knows nothing."""
    seq_len = state.settings.training.dataset.seq_len
    model = MiniGPT.from_settings(state.settings.model, state.vocab_size, seq_len)
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def noisy(state: Checkpoint, share: float) -> Parameters:
    """The household's model with noise of that share of each tensor's own deviation."""
    return {name: one + share * one.std() * torch.randn_like(one) for name, one in state.parameters().items()}


def spoilt(state: Checkpoint, part: str, how: Callable[[Tensor], Tensor]) -> Parameters:
    """The household's model with some of its tensors changed."""
    return {name: how(one) if part in name else one for name, one in state.parameters().items()}


def trained_on_garbage(state: Checkpoint) -> Parameters:
    """The household's model, trained on tokens at random."""

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        dice = torch.Generator().manual_seed(1)
        while True:
            ids = torch.randint(state.vocab_size, (4, state.settings.training.dataset.seq_len + 1), generator=dice)
            yield ids[:, :-1], ids[:, 1:]

    inner = InnerLoop(state.build_model(), batches(), torch.device("cpu"), None)
    for _ in range(TRAINED_STEPS):
        inner.step(1e-3)
    return {name: parameter.detach() for name, parameter in inner.model.named_parameters()}


def as_random(tensor: Tensor) -> Tensor:
    return tensor.std() * torch.randn_like(tensor)


def shuffled(tensor: Tensor) -> Tensor:
    return tensor[torch.randperm(len(tensor))]


def as_it_is(state: Checkpoint) -> Parameters:
    return state.parameters()


# by name: the parameters, and how many sequences are claimed
KINDS: dict[str, tuple[Callable[[Checkpoint], Parameters], int]] = {
    "the household's own, 10^9 sequences": (as_it_is, 10**9),
    "a layer at random": (lambda state: spoilt(state, "layers.0.", as_random), AHEAD),
    "noise of all": (lambda state: noisy(state, 1.0), AHEAD),
    "trained on garbage": (trained_on_garbage, AHEAD),
    "at random": (at_random, AHEAD),
    "tokens shuffled": (lambda state: spoilt(state, "embed", shuffled), AHEAD),
    "a layer turned round": (lambda state: spoilt(state, "layers.1.", torch.neg), AHEAD),
    "the household's own, 2^40 sequences": (as_it_is, 2**40),
    "noise of half": (lambda state: noisy(state, 0.5), AHEAD),
}
FORGED = "forged means"  # which lead on from the household's anchor to nowhere


def taken_over(scene: Scene, tries: int) -> Outcome:
    """Return how many made-up states any of the devices has taken; the words name those, and what was not looked at."""
    learn(scene.devices)
    kinds = [FORGED, *KINDS]
    taken, unseen = [], []
    for number in range(tries):
        kind = kinds[number % len(kinds)]
        verdicts = tried(scene, kind)
        print(f"    {number + 1}: {kind}: {', '.join(verdicts)}", flush=True)
        taken += [kind] if "taken" in verdicts else []
        unseen += [kind] if "not looked at" in verdicts else []
    words = "; ".join(
        filter(None, [f"taken: {', '.join(taken)}" if taken else "", f"{len(unseen)} not looked at by all"])
    )
    return Outcome(tries, len(taken), words=words)


def tried(scene: Scene, kind: str) -> list[str]:
    """Start a device with a made-up state; return what each device has made of it: taken, refused or not looked at."""
    device, marks = scene.outside, [len(process.output()) for process in scene.processes]
    make_up(device, newest(scene.devices[0]), kind, scene.devices[0])
    process = device.start(PEER, *join(device, "--name", IMPOSTOR, "--minutes", "5"))

    def verdicts() -> list[str]:
        said = [process.output()[mark:] for process, mark in zip(scene.processes, marks)]
        return [verdict(text) for text in said]

    with forging(scene, device) if kind == FORGED else nothing():
        wait_until(lambda: "not looked at" not in verdicts(), LOOK_SECONDS)
    process.kill()
    wait_until(lambda: not device.host.pids(), 5.0)
    return verdicts()


def verdict(said: str) -> str:
    """Return what a device has made of the impostor, by what it has said."""
    if re.search(f"took the newer state of {IMPOSTOR}", said):
        return "taken"
    found = re.search(rf"state of {IMPOSTOR}(?: \(\d+\))? is not taken: (.*); training", said)  # a later one is (2)
    return "not looked at" if found is None else f"refused ({found[1]})"


def make_up(device: Device, state: Checkpoint, kind: str, honest: Device) -> None:
    """Leave a checkpoint folder with a made-up state, and the text of an honest device, and nothing of before."""
    for part in ("data", "tokenizer", "checkpoints"):
        shutil.rmtree(device.folder / part, ignore_errors=True)
    for part in ("data", "tokenizer"):
        shutil.copytree(honest.folder / part, device.folder / part)
    made, more = KINDS.get(kind, (at_random, AHEAD))
    parameters = {name: one.detach().contiguous() for name, one in made(state).items()}
    was = state.progress
    progress = Progress(
        was.run, was.run_id, was.round + 20, was.samples + more, was.step + 100, checkpoint.parameter_hash(parameters)
    )
    checkpoint.save(
        device.folder / "checkpoints",
        progress,
        parameters=parameters,
        model_config=state.build_model().hugging_face_config(),
        settings=state.settings,
        tokenizer_model=state.folder / TOKENIZER,
    )


@contextmanager
def nothing() -> Iterator[None]:
    yield


@contextmanager
def forging(scene: Scene, device: Device) -> Iterator[None]:
    """While the block runs, have the device keep a mean that leads on from the household's anchor to nowhere."""
    ended = threading.Event()
    state = newest(scene.devices[0])
    size = padded(sum(one.numel() for one in state.parameters().values()))
    payload = torch.empty(payload_bytes(size, MEAN_BITS[2]), dtype=torch.uint8)
    encode(20 * torch.randn(size), MEAN_BITS[2], payload)
    history = scene.devices[0].folder / "checkpoints" / state.progress.run / "history"

    def forge() -> None:
        while not ended.wait(0.2):
            newest_mean = max(
                history.glob("[0-9a-f]*.safetensors"), key=lambda path: path.stat().st_mtime, default=None
            )
            try:
                lineage = state.progress.lineage_or_version if newest_mean is None else load(newest_mean, size).lineage
            except MeanError:
                continue  # it is being written
            run_folder = device.folder / "checkpoints" / state.progress.run
            Mean(lineage, {"Q" * 46: AHEAD}, 64, payload).save(run_folder)

    thread = threading.Thread(target=forge)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def newest(device: Device) -> Checkpoint:
    """Return the device's newest state of its own. Raises RuntimeError where it has none."""
    state = checkpoint.newest(device.folder / "checkpoints", "cellmind", report=lambda line: None)
    if state is None:
        raise RuntimeError(f"{device.host.name} has no checkpoint")
    return state


def learn(devices: list[Device]) -> None:
    """Wait until the household has learnt something that can be lost."""
    wait_until(lambda: any(line["round"] >= LEARNT_ROUNDS for line in devices[0].metrics()), START_SECONDS)


# ---------------------------------------------------------------------- newer states of honest devices


def honest_states(scene: Scene, tries: int) -> Outcome:
    """Return how often a newer state of an honest device was not taken, in turns after a partition and a restart.

    The two halves have different chats.
    """
    take_other_texts(scene)
    learn(scene.devices)
    failed, taken = [], 0
    for number in range(tries):
        marks = [len(process.output()) for process in scene.processes]
        began = parted(scene) if number % 2 == 0 else restarted(scene, number // 2 % len(scene.devices), marks)
        together = wait_until(lambda: all_together(scene, began), TOGETHER_SECONDS)  # noqa: B023
        said = [process.output()[mark:] for process, mark in zip(scene.processes, marks)]
        refused = sum("is not taken" in text for text in said)
        took = sum(text.count("took the newer state of") for text in said)
        after = "a partition" if number % 2 == 0 else "a restart"
        what = f"took {took}, refused {refused}, {'' if together else 'not '}together {time.time() - began:.0f} s after"
        print(f"    {number + 1}: after {after}: {what}", flush=True)
        failed += [] if together and not refused else [f"{number + 1} ({after})"]
        taken += took
    words = f"{taken} states taken" + (f"; failed: {', '.join(failed)}" if failed else "")
    return Outcome(tries, len(failed), words=words)


def take_other_texts(scene: Scene) -> None:
    """Start the devices anew, of which the second half has one of the sample's chats, and the first all others."""
    scene.stop()
    for number, device in enumerate(scene.devices):
        in_second_half = number >= len(scene.devices) // 2
        first, *others = sorted((device.folder / "data" / "raw").glob("*.csv"))
        for path in others if in_second_half else [first]:
            path.unlink()
        for prepared in (device.folder / "data").glob("for-*"):
            shutil.rmtree(prepared)
    scene.start()


def parted(scene: Scene) -> float:
    """Part the devices into two halves for a while; return when they can reach each other again."""
    hosts = [device.host for device in scene.devices]
    scene.lan.partition(hosts[: len(hosts) // 2])
    time.sleep(PARTED_SECONDS)
    scene.lan.heal()
    return time.time()


def restarted(scene: Scene, number: int, marks: list[int]) -> float:
    """Kill a device, and start it again while the others are ahead, who keep no more means than lead to their anchors.

    That is what is left after a while: those from before their newest checkpoints are forgotten first.
    """
    device = scene.devices[number]
    scene.processes[number].kill()
    wait_until(lambda: not device.host.pids(), 5.0)
    time.sleep(DOWN_SECONDS)
    for other in scene.devices:
        written = newest(other).folder.stat().st_mtime
        for path in (other.folder / "checkpoints" / "cellmind" / "history").glob("[0-9a-f]*.safetensors"):
            if path.stat().st_mtime < written - LATE_SECONDS:
                path.unlink()
    scene.processes[number] = device.start(PEER, *join(device))
    marks[number] = 0
    return time.time()


def all_together(scene: Scene, since: float) -> bool:
    """Return whether all devices have given to one mean since then."""
    for device in scene.devices:
        for path in (device.folder / "checkpoints" / "cellmind" / "history").glob("[0-9a-f]*.safetensors"):
            if recent_peers(path, since) >= len(scene.devices):
                return True
    return False


def recent_peers(path: Path, since: float) -> int:
    """Return how many gave to a mean that was kept since then; 0 for others."""
    try:
        return peers_in(path) if path.stat().st_mtime > since else 0
    except OSError:
        return 0


def with_tries(attack: Callable[[Scene, int], Outcome]) -> Callable[[Scene], Outcome]:
    """Return the attack as the table calls it; nothing of exchanges is measured beside it."""
    return lambda scene: replace(attack(scene, scene.tries), recovered=scene.wait_until_calm())
