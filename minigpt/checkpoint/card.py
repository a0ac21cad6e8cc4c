"""A checkpoint's model card, `README.md`: what the model is, how far it was trained, how good it is, how to use it.

Numbers only: no names of devices or people, and no text. People may edit it, so the manifest does not hash it, and no
device sends it to another.
"""

import json
import math
from pathlib import Path
from typing import Any

from data.atomic import write_whole
from minigpt.checkpoint.manifest import HeldOutLoss, Progress
from minigpt.settings import Settings

CARD = "README.md"
MOST_ROWS = 10  # of the table of losses
MEMORIZED = "| completed word for word |"
BEFORE = ("| trained on |", "| devices |", "| held-out loss |")  # the rows that may stand before that

TEMPLATE = """\
---
library_name: transformers
pipeline_tag: text-generation
---

# {run}, round {round}

A small GPT that devices on one Wi-Fi trained together, with CellMind, on chats of their owners. It may repeat parts of
them: pass it on only to those who may read them.

| | |
|---|---|
| run | {run_id} |
| parameters | {parameters:,} in {layers} layers of width {width} |
| trained on | {sequences:,} sequences of {seq_len} tokens: {tokens:,} tokens |
{devices}{held_out}{memorized}{losses}
## How to use it

With transformers, where `FOLDER` is this folder:

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")
```

With CellMind, and as one file for llama.cpp:

```sh
python -m minigpt.generate --checkpoint FOLDER --prompt "…"
python -m minigpt.export --checkpoint FOLDER --to gguf model.gguf
```
"""


def model_card(
    progress: Progress, settings: Settings, parameters: int, metrics: Path, held_out: HeldOutLoss | None = None
) -> str:
    """Return the card of a model with so many parameters; its device wrote down the rounds so far in `metrics`."""
    rounds = read_rounds(metrics, progress)
    seq_len = settings.training.dataset.seq_len
    devices = max((len(line["peers"]) for line in rounds if isinstance(line.get("peers"), list)), default=0)
    return TEMPLATE.format(
        run=progress.run,
        round=progress.round,
        run_id=progress.run_id,
        parameters=parameters,
        layers=settings.model.num_layers,
        width=settings.model.d_model,
        sequences=progress.samples,
        seq_len=seq_len,
        tokens=progress.samples * seq_len,
        devices=f"| devices | at most {devices} in a round |\n" if devices else "",
        held_out=f"| held-out loss | {held_out.nats:.3f} ({held_out.bits:.3f} bits/byte) |\n" if held_out else "",
        memorized=memorized_row(rounds),
        losses=loss_table(rounds),
    )


def memorized_row(rounds: list[dict[str, Any]]) -> str:
    """Return a row of how many lines were known by heart when that was last measured; empty where it never was."""
    measured = [line for line in rounds if isinstance(line.get("memorized"), int)]
    if not measured:
        return ""
    last = measured[-1]
    others = last.get("memorized_held_out")
    return memorized_told(last["memorized"], others if isinstance(others, int) else None, f" (round {last['round']})")


def memorized_told(lines: int, held_out_lines: int | None, when: str = "") -> str:
    """Return a row that says how many lines of a thousand were completed, and of held-out ones if any were tried."""
    beside = "" if held_out_lines is None else f", and of held-out lines {held_out_lines:,}"
    return f"{MEMORIZED} {lines:,} of 1,000 lines that it was trained on{beside}{when} |\n"


def note_memorized(folder: Path, row: str) -> None:
    """Put a row of `memorized_told` into the card of a checkpoint, in the place of an earlier one; into none if it has
    no table. Raises OSError.
    """
    try:
        lines = (folder / CARD).read_text(encoding="utf-8").splitlines(keepends=True)
    except UnicodeDecodeError:
        return  # people may edit it
    lines = [line for line in lines if not line.startswith(MEMORIZED)]
    places = [number for number, line in enumerate(lines) if line.startswith(BEFORE)]
    if places:
        lines.insert(places[-1] + 1, row)
        write_whole(folder / CARD, "".join(lines))


def loss_table(rounds: list[dict[str, Any]]) -> str:
    """Return a section with the held-out loss of a few rounds, the last among them; empty where none is known."""
    measured = [
        (line["round"], line["valid_loss"], line["valid_bits_per_byte"])
        for line in rounds
        if isinstance(line.get("valid_loss"), float) and isinstance(line.get("valid_bits_per_byte"), float)
    ]
    if not measured:
        return ""
    every = math.ceil(len(measured) / MOST_ROWS)
    chosen = measured[::-every][::-1]
    rows = "".join(f"| {number} | {nats:.3f} | {bits:.3f} |\n" for number, nats, bits in chosen)
    return (
        "\n## How good it is\n\nLoss on texts that it was not trained on; lower is better.\n\n"
        f"| round | nats per token | bits per byte |\n|--:|--:|--:|\n{rows}"
    )


def read_rounds(metrics: Path, progress: Progress) -> list[dict[str, Any]]:
    """Return the lines of a metrics.jsonl about this run so far, the newest of each round, without damaged ones."""
    try:
        lines = metrics.read_bytes().splitlines()
    except OSError:
        return []
    rounds: dict[int, dict[str, Any]] = {}
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue  # the power may have gone while it was written
        if not isinstance(entry, dict) or entry.get("run_id") != progress.run_id:
            continue  # an earlier run of the same name
        if isinstance(entry.get("round"), int) and entry["round"] <= progress.round:
            rounds[entry["round"]] = entry
    return [rounds[number] for number in sorted(rounds)]
