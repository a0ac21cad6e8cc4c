"""What is found of people's data that somebody planted who had read the README: senders in any form, and numbers."""

import re
from collections import Counter, defaultdict

from data.masking.cleaning import clean
from data.masking.names import name_pattern
from tests.planted import TOLD, Planting

PEOPLE = re.compile("<(?:NAME|EMAIL|PHONE|ID|CARD|ACCOUNT|ADDRESS)>")
MESSAGES = 4_600  # of 46,000, which take ten times as long, the shares are in docs/log.md
RECALL = {"sender": 0.98, "name that is a word": 0.95}


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text.lower())


def test_what_is_planted_is_found() -> None:
    planting = Planting(seed=20261201)
    names = name_pattern(planting.senders)
    planted: Counter[str] = Counter()
    missed: dict[str, list[str]] = defaultdict(list)
    for message in planting.messages(MESSAGES):
        cleaned = clean(message.text, names)
        planted[message.kind] += 1
        if not PEOPLE.search(cleaned) or (message.secret and squeezed(message.secret) in squeezed(cleaned)):
            missed[message.kind].append(f"{message.text} -> {cleaned}")
    assert set(TOLD) < set(planted) and min(planted.values()) >= 200
    for kind, count in planted.items():
        assert 1 - len(missed[kind]) / count >= RECALL.get(kind, 0.99), (kind, missed[kind][:10])
