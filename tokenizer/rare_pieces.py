"""Pieces that only one or two conversations have are no pieces: a name, an address or a password is not told by them.

A tokenizer goes to every device of a run, and with every copy of the model. Such pieces are taken out of it once it is
trained, and their text is spelt in those that are left.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

import sentencepiece
from sentencepiece.sentencepiece_model_pb2 import ModelProto

FEWEST_CONVERSATIONS = 3  # that must have a piece
_NORMAL = ModelProto.SentencePiece.NORMAL
_AT_ONCE = 1024  # sentences that are encoded together


def without_rare_pieces(model: bytes, sentences: Iterable[tuple[int, str]], most: int) -> tuple[bytes, int]:
    """Return the model with at most `most` pieces, all of them in FEWEST_CONVERSATIONS or more; and how many it needs.

    It needs its tags, bytes and single characters, which stay. With fewer than FEWEST_CONVERSATIONS nothing is left but
    these. Of the others those that were learnt first stay. What is a part of a piece that stays is in as many
    conversations, so that every piece can still be put together.

    :param sentences: that it was trained on, each with its conversation's number; a conversation's stand together
    """
    proto = ModelProto.FromString(model)
    learnt = [id for id, piece in enumerate(proto.pieces) if piece.type == _NORMAL and len(piece.piece) > 1]
    needed = len(proto.pieces) - len(learnt)
    counts = _conversations_with(model, proto, sentences)
    known = [id for id in learnt if counts[id] >= FEWEST_CONVERSATIONS]
    dropped = set(learnt) - set(known[: max(0, most - needed)])
    kept = [piece for id, piece in enumerate(proto.pieces) if id not in dropped]
    del proto.pieces[:]
    proto.pieces.extend(kept)
    proto.trainer_spec.vocab_size = len(kept)
    return proto.SerializeToString(deterministic=True), needed


def _conversations_with(model: bytes, proto: ModelProto, sentences: Iterable[tuple[int, str]]) -> Counter[int]:
    """Return for each piece, by its id, how many conversations have it, alone or within another one."""
    ids = {piece.piece: id for id, piece in enumerate(proto.pieces) if piece.type == _NORMAL}
    parts: dict[int, set[int]] = {}  # of the pieces that were met, themselves among them
    counts: Counter[int] = Counter()
    last, here = None, set[int]()
    for conversation, found in _encoded(sentencepiece.SentencePieceProcessor(model_proto=model), sentences):
        if conversation != last:
            counts.update(here)
            last, here = conversation, set()
        for id in set(found) - here:
            if id not in parts:
                piece = proto.pieces[id].piece
                parts[id] = {ids[part] for part in _within(piece) if part in ids}
            here |= parts[id]
    counts.update(here)
    return counts


def _encoded(
    processor: sentencepiece.SentencePieceProcessor, sentences: Iterable[tuple[int, str]]
) -> Iterator[tuple[int, list[int]]]:
    """Yield the ids of each sentence, with its conversation's number."""
    rest = iter(sentences)
    while some := list(islice(rest, _AT_ONCE)):
        encoded = processor.encode([sentence for _, sentence in some])
        yield from ((number, ids) for (number, _), ids in zip(some, encoded))


def _within(piece: str) -> Iterator[str]:
    """Yield all that stands within a piece, of two characters and more."""
    for start in range(len(piece) - 1):
        for end in range(start + 2, len(piece) + 1):
            yield piece[start:end]
