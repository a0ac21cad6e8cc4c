"""What of people's data stays in clear:  python -m benchmarks.planted --carriers reviews.txt questions.csv

Writes chats in 29 layouts of apps, in Korean, English and Japanese, whose senders name each other and give away phone
numbers, passwords and the like, within lines of the carriers; runs `python -m data` on them; and looks for each in what
would be trained on. Then the carriers alone, and sentences with harmless numbers, and counts what is masked there. The
sentences were written by somebody who had not seen the expressions of data/masking.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from benchmarks.planted import exports, harmless, numbers, papers, people
from benchmarks.planted.pieces import TAG, Message, Plant, plant

MARK = re.compile(r"^(?:<[a-z0-9]+>: )?qz([b-z]{7})qz$")
LETTERS = "bdfhjkmnprstvxyz"
FILES = 78
KINDS = (
    numbers.korean_phone,
    numbers.foreign_phone,
    numbers.mails,
    numbers.messenger_ids,
    numbers.plates,
    papers.births,
    papers.documents,
    numbers.addresses_of_networks,
    numbers.secrets,
    papers.korean_addresses,
    papers.foreign_addresses,
    papers.accounts,
    papers.registrations,
    papers.cards,
    papers.links,
)
Left = dict[tuple[str, str], list[tuple[str, str]]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planted", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--carriers", type=Path, nargs="+", required=True, help="UTF-8, a text a line, or CSV with texts"
    )
    parser.add_argument("--messages", type=int, default=42_000, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=28)
    parser.add_argument(
        "--show", type=int, default=3, help="so many of each kind that stay are shown (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, default=Path("planted.json"))
    parser.add_argument("--keep", type=Path, help="keep the exports and the texts in this folder")
    arguments = parser.parse_args()
    carriers = [text for path in arguments.carriers for text in texts_of(path)]
    with tempfile.TemporaryDirectory(prefix="cellmind-planted-") as name:
        folder = arguments.keep or Path(name)
        messages = written(folder / "raw", carriers, arguments.messages, arguments.seed)
        prepared(folder)
        found = traced(folder, messages)
    report(messages, found, arguments.show, arguments.output)


def texts_of(path: Path) -> list[str]:
    """The lines of a text, or the first column of a CSV."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix == ".csv":
        lines = [line.split(",")[0].strip('"') for line in lines[1:]]
    return [line for line in lines if 2 < len(line) < 150]


def mark(number: int) -> str:
    """A message of letters by which the next one is found again."""
    letters = (
        LETTERS[(number // 16**place + 5 * place) % 16] for place in range(7)
    )  # no long runs, which are shortened
    return "qz" + "".join(letters) + "qz"


def written(folder: Path, carriers: list[str], count: int, seed: int) -> list[tuple[str, Message]]:
    """Write the exports; return each message with the layout it stands in."""
    chance = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    everybody = people.everybody(chance)
    messages: list[tuple[str, Message]] = []
    for number in range(FILES):
        layout = exports.LAYOUTS[number % len(exports.LAYOUTS)]
        language = chance.choice(("ko", "ko", "ko", "en", "en", "ja", "other", "mixed"))
        group = chance.sample([one for one in everybody if language in ("mixed", one.language)], 8)
        group = list({one.given: one for one in group}.values())
        silent = group[6:] if layout in exports.WITH_JOINS else []
        here = [Message(one.shown, ("안녕",)) for one in group if one not in silent]  # everybody says something once
        here += [said(chance, group, silent, carriers) for _ in range(count // FILES)]
        lines = []
        for when, position in zip(
            exports.times(chance, len(here)), range(len(messages), len(messages) + len(here)), strict=True
        ):
            message = here[position - len(messages)]
            lines.append(exports.Line(when, message.sender, mark(position)))
            lines.append(exports.Line(when, message.sender, message.text))
        exports.write(folder, number, layout, lines, [one.shown for one in silent])
        messages += [(layout, message) for message in here]
    return messages


def said(
    chance: random.Random, group: list[people.Person], silent: list[people.Person], carriers: list[str]
) -> Message:
    """What one of the group says: harmless, or with a name, or with other data, often beside a carrier."""
    sender = chance.choice([one for one in group if one not in silent]).shown
    kind = chance.random()
    if kind < 0.12:
        return Message(sender, (harmless.sentence(chance),))
    if kind < 0.28:
        return Message(sender, (chance.choice(carriers),))
    if kind < 0.64:
        person = chance.choice(group)
        pieces = people.mention(chance, person)
        if person in silent:
            pieces = tuple(
                plant("who was only named by the app", piece.kind, piece.text, *piece.parts)
                if isinstance(piece, Plant) and piece.way != "handle of a name"
                else piece
                for piece in pieces
            )
    else:
        pieces = chance.choice(KINDS)(chance)
    beside = chance.random()
    if beside < 0.25:
        pieces = (chance.choice(carriers) + " ", *pieces)
    elif beside < 0.5:
        pieces = (*pieces, " " + chance.choice(carriers))
    elif beside < 0.6:
        pieces = (*pieces, chance.choice((" ㅋㅋㅋㅋ", "!!", " ㅠㅠ", " 😂", "...", "~")))
    return Message(sender, pieces)


def prepared(folder: Path) -> None:
    """Run `python -m data`, and say what it said."""
    command = [sys.executable, "-m", "data", "--raw", str(folder / "raw"), "--output", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    print(
        "\n".join(
            line
            for line in (done.stdout + done.stderr).splitlines()
            if "masked:" in line or "error" in line or "not " in line
        )
    )


def traced(folder: Path, messages: list[tuple[str, Message]]) -> dict[int, str]:
    """What became of each message, by its number: what stands between its mark and the next."""
    numbers_of = {letters: value for value, letters in enumerate(LETTERS)}
    found: dict[int, list[str]] = {}
    for name in ("train.jsonl", "valid.jsonl"):
        for line in (folder / "for-model-training" / name).read_text(encoding="utf-8").splitlines():
            current = None
            for text in json.loads(line)["text"].split("\n"):
                if match := MARK.match(text):
                    current = sum(
                        (numbers_of[letter] - 5 * place) % 16 * 16**place for place, letter in enumerate(match[1])
                    )
                    found.setdefault(current, [])
                elif current is not None:
                    found[current].append(text)
    return {number: "\n".join(texts) for number, texts in found.items() if number < len(messages)}


def report(messages: list[tuple[str, Message]], found: dict[int, str], show: int, output: Path) -> None:
    """Print and write the recall of each kind and way, and what was masked of the harmless."""
    planted: Counter[tuple[str, str]] = Counter()
    left: Left = defaultdict(list)
    layouts: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    words = masked = harmless_messages = 0
    shown = []
    for number, (layout, message) in enumerate(messages):
        if number not in found:
            missing[layout] += 1
            continue
        text = found[number]
        if not message.plants:
            words += len(message.text.split())
            harmless_messages += 1
            if tags := [tag for tag in TAG.findall(text) if tag != "<EMOJI>"]:
                masked += len(tags)
                shown.append((message.text, text))
            continue
        for one in message.plants:
            planted[one.kind, one.way] += 1
        for one in message.left(text):
            left[one.kind, one.way].append((message.text, text))
            layouts[layout] += 1
    rows = {f"{kind} | {way}": [planted[kind, way], len(left[kind, way])] for kind, way in sorted(planted)}
    kinds: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for kind, way in planted:
        kinds[kind][0] += planted[kind, way]
        kinds[kind][1] += len(left[kind, way])
    print(
        f"{len(messages):,} messages, {sum(missing.values()):,} not found again {dict(missing)}; left: {dict(layouts)}"
    )
    print("\n| kind | planted | recall |\n| --- | --- | --- |")
    for kind, (count, stays) in sorted(kinds.items()):
        print(f"| {kind} | {count:,} | {1 - stays / count:.4f} |")
    print(f"\nharmless: {masked} masks in {words:,} words of {harmless_messages:,} messages\n")
    for (kind, way), examples in sorted(left.items()):
        print(f"## {kind}, {way}: {len(examples)} of {planted[kind, way]} stay")
        for before, after in examples[:show]:
            print(f"   {before}\n      -> {after}")
    print("\n## harmless, masked")
    for before, after in shown[: show * 20]:
        print(f"   {before}\n      -> {after}")
    output.write_text(
        json.dumps({"kinds": kinds, "ways": rows, "harmless": [masked, words]}, ensure_ascii=False, indent=1)
    )


if __name__ == "__main__":
    main()
