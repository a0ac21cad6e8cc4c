"""The size of a run that is founded: named, or by what this device can learn in so many hours, and what to expect."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass

import torch

import tokenizer
from minigpt.checkpoint import expected_shapes
from minigpt.device import give_back_freed_memory, pick_autocast, pick_device
from minigpt.model import MiniGPT
from minigpt.settings import Settings
from minigpt.sizing import NOTABLE, SIZES, VOCABULARIES, Outlook, Size, best, look_out
from peer.device.memory import available_memory
from peer.inner.batch_size import FIXED_BYTES, KEPT_FREE, check_room
from peer.joining.prepare_text import TOKENIZER_TEXT
from peer.joining.wanted_run import Wanted, size_of, with_size

DEFAULT_HOURS = 1.0
MEASURED_VOCABULARY = 4000
LEAST_PASSES, BUDGET = 3, 0.2  # and seconds of a measurement: the fastest pass counts, and the first is slow
MOST_PASSES = 20.0  # over a text, before which it is learnt: what the law says of more is not so
STEP = 0.9  # of a measured pass, for as many operations of a step: its optimizer costs, its larger batch saves


@dataclass(frozen=True)
class Plan:
    """The settings of a run to be founded, with their size, and what to expect of it in words for the user."""

    settings: Settings
    sentence: str


def plan_size(wanted: Wanted) -> Plan:
    """Return the settings with the size that is named, or else with the one that learns most in the hours.

    It takes a second or two, in which this device's speed is measured. Raises TokenizerError and OutOfMemory.
    """
    settings = wanted.settings
    named = wanted.named_size
    if named is not None:
        check_room(with_size(settings, named), settings.tokenizer.vocab_size, available_memory(pick_device()))
    sizes = {name: size for name, size in SIZES.items() if is_room(size)} or {"small": SIZES["small"]}
    rates = measured_rates({*sizes.values(), *([named] if named else [])}, settings)
    seconds = 3600 * (wanted.hours or DEFAULT_HOURS) * wanted.share_of_time
    text = settings.training.dataset.path.stat().st_size  # with a few bytes beside each text

    def outlook(size: Size, vocabularies: Iterable[int]) -> Outlook:
        return best(look_out(size, vocab_size, seconds * rates[size], text) for vocab_size in vocabularies)

    own, free = possible_vocabularies(settings)
    outlooks = {name: outlook(size, free) for name, size in sizes.items()}
    vocabularies = [own] if wanted.size_option is None else free  # the settings' own, unless a size was asked for
    chosen = best(outlook(size, vocabularies) for size in (sizes.values() if named is None else [named]))
    is_given = wanted.size_option is None or settings.tokenizer.model_path.exists()
    settings = with_size(settings, chosen.size, None if is_given else chosen.vocab_size)
    return Plan(settings, sentence(wanted, settings, chosen, outlooks))


def possible_vocabularies(settings: Settings) -> tuple[int, set[int]]:
    """Return the vocabulary that the settings lead to, and those from which one can be chosen.

    A tokenizer that is there has the one that it has.
    """
    if settings.tokenizer.model_path.exists():
        own = tokenizer.load(settings.tokenizer.model_path).vocab_size()
        return own, {own}
    wanted = settings.tokenizer.vocab_size
    most = tokenizer.fitting_vocab_size(TOKENIZER_TEXT, max(wanted, *VOCABULARIES))
    return min(wanted, most), {min(vocab_size, most) for vocab_size in VOCABULARIES}


def is_room(size: Size) -> bool:
    """Return whether this device has memory to train such a model in company; also where that is not known."""
    available = available_memory(pick_device())
    parameters = size.parameters + max(VOCABULARIES) * size.d_model
    return available is None or FIXED_BYTES * parameters <= (1 - KEPT_FREE) * available


def measured_rates(sizes: Iterable[Size], settings: Settings) -> dict[Size, float]:
    """Return the operations a second (`Size.operations`) that this device will train each size with."""
    device = pick_device()
    autocast = pick_autocast(device)
    rows = 1 if device.type == "cpu" else settings.training.batch_size  # a processor is busy with one sequence already
    seq_len = settings.training.dataset.seq_len
    rates = {size: measured_rate(size, rows, seq_len, device, autocast) for size in sizes}
    give_back_freed_memory()
    return rates


def measured_rate(
    size: Size,
    rows: int,
    seq_len: int,
    device: torch.device,
    autocast: torch.dtype | None,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the operations a second that training reaches, by passes of a model with a single layer of that width."""
    layer = Size(size.d_model, size.nhead, 1)
    with torch.random.fork_rng(devices=[]):
        model = MiniGPT(vocab_size=MEASURED_VOCABULARY, seq_len=seq_len, **asdict(layer)).to(device)
    ids = torch.zeros(rows, seq_len, dtype=torch.long, device=device)
    words = model.model.embed_tokens.weight
    times: list[float] = []
    while len(times) < LEAST_PASSES or sum(times) < BUDGET:
        began = clock()
        with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
            loss = model(ids, ids)
        loss.backward()
        assert words.grad is not None
        words.grad[0, 0].item()  # a graphics card is done by then
        times.append(clock() - began)
        model.zero_grad(set_to_none=True)
    return layer.operations(MEASURED_VOCABULARY) * rows * seq_len / (STEP * min(times))


def sentence(wanted: Wanted, settings: Settings, chosen: Outlook, outlooks: Mapping[str, Outlook]) -> str:
    """Return the line that says what the run will reach in the hours, and which size would reach more."""
    shapes = expected_shapes(settings, chosen.vocab_size).values()
    parameters = sum(shape.numel() for shape in shapes)
    line = f"{parameters / 1e6:.1f} M parameters: {forecast(wanted.hours or DEFAULT_HOURS, chosen, outlooks)}"
    if wanted.size_option is None and wanted.named_size is not None:
        return line
    name = next(name for name, size in SIZES.items() if size == chosen.size)
    if wanted.size_option is None and chosen.passes > MOST_PASSES:
        return f"size {name}, {line}"
    which = described(chosen.size, chosen.vocab_size)
    which = which if wanted.size else f"size {name}, {which}"
    if wanted.size_option is None:
        return f"{which}. {line}"
    before = described(size_of(wanted.settings), wanted.settings.tokenizer.vocab_size)
    is_other = wanted.settings.model.names_size and before != described(chosen.size, chosen.vocab_size)
    instead = f" (the settings say {before})" if is_other else ""
    return f"{wanted.size_option}: {which}{instead}. {line}"


def forecast(hours: float, chosen: Outlook, outlooks: Mapping[str, Outlook]) -> str:
    """Return the words on what the run will reach in the hours, and which size would reach more.

    Where there is so little text that it is learnt before, there is no figure.
    """
    if chosen.passes > MOST_PASSES:
        return (
            f"there is little text, which is learnt in less than {in_words(hours)} here, and what the model writes "
            "will make little sense; more exports in data/raw help most"
        )
    line = f"about {chosen.bits:.2f} bits/byte after {in_words(hours)} here (lower is better)"
    name, better = min(outlooks.items(), key=lambda item: item[1].bits)
    if better.size != chosen.size and (1 + NOTABLE) * better.bits < chosen.bits:
        return f"{line}; --size {name} would reach about {better.bits:.2f}"
    return f"{line}; no other size would do better"


def in_words(hours: float) -> str:
    """Return a time as people say it: "an hour", "2.5 hours", "6 minutes"."""
    if hours == 1:
        return "an hour"
    return f"{hours:g} hours" if hours > 1 else f"{60 * hours:.2g} minutes"


def described(size: Size, vocab_size: int) -> str:
    """Return the size in the words of the settings: "d_model 256, nhead 4, num_layers 4, vocab_size 4,000"."""
    parts = [f"{name} {number}" for name, number in asdict(size).items()]
    return ", ".join([*parts, f"vocab_size {vocab_size:,}"])
