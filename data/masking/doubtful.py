"""Names that are words as well (Will, Rose, 하늘, 바다): masked only where a person must be meant.

That is where grammar says so (`하늘이가`, `Rose said`, `hey Will,`), or company (`나율, 하늘, 바다`), or in English a
capital within a sentence. `python -m data --review` shows how it was decided, both ways.
"""

# ruff: noqa: SIM905 (the word lists are to be read, and edited, as text)

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from data.masking.korean_words import HONORIFICS, NOT_CALLED, PARTICLES
from data.masking.tags import mark

_NAME = mark("<NAME>")
WORD_START = r"(?:(?<![가-힣])|(?<=(?<![가-힣])우리)|(?<=(?<![가-힣])울))"  # 우리철수, 울철수
WORD_END = r"(?![가-힣ㅏ-ㅖㅣ])"  # 영호ㅓ is a slip of 영화
_HONORIFICS = "|".join(sorted(HONORIFICS, key=len, reverse=True))

# What only a person takes, in Korean: `하늘이가` and `하늘아`, but `하늘이 맑다`.
_CALLED = (
    rf"(?:[아야]|이[가는를도의]|이?(?:한[테텐]|에[게겐])[서도는]?"
    rf"|\s?(?:{_HONORIFICS})(?:{'|'.join(PARTICLES)})?){WORD_END}"
)
_DOES = (
    r"이?[이가은는도]?\s?(?:그랬|말했|말하길|얘기했|물어[봤보]|전화|카톡[이에 ]|톡[이에 ]|답장|삐졌|생일"
    r"|번호\s|남친|여친|결혼"
    r"|어디(?:야|래|있|임)|어딨|뭐(?:해|하|래)|자[나냐니](?![가-힣]))|네 ?집|꺼(?![가-힣])"
    r"|이?[이가도]\s(?:온대|온다고|간대|간다고|늦는대|했대|한대|하재|보냈|왔|갔[어대는])"
    r"|이?랑\s(?:같이|둘이|영화|놀|만나|만났|갔|가기로|싸[웠우]|사귀|사귄|통화|밥|술|얘기|카페)"
)
_AS_PERSON = re.compile(f"{_CALLED}|{_DOES}")
_ONE_SYLLABLE = re.compile(rf"(?:[아야]|이(?:가|는|를|랑|도|네|야|한테|형|누나|오빠|언니)|이?님|한테){WORD_END}")
_ADDRESSED = re.compile(r"(?:님|씨)(?![가-힣])|님(?:이|은|도|을|께|한테|이랑|의|아)")
# The same for English words: one that is hardly ever a name (phone), and one that often is (Grace).
_HONOURED = re.compile(rf"\s?(?:{_HONORIFICS}){WORD_END}|이?(?:한테|에게)|[아야]{WORD_END}")
_PARTICLE = re.compile(
    rf"(?:이?(?:야|가|는|를|랑|도|네|의|한테|에게|하고|라고|예요|에요)|이었?|[아은을와과]|이?입니다|께서|{_HONORIFICS}){WORD_END}"
    r"|이?(?:한테|왔|갔|어딨|생일)"
    rf"|\s(?:{_HONORIFICS}){WORD_END}|\s(?:어디(?:야|래|있)|어딨|뭐(?:해|하|래)|왔[어다네니]|온대|간대|자[냐니]|그랬|생일)"
)
_JAPANESE = re.compile("さん|ちゃん|くん|君|様|先輩|先生|氏|さま|たん")

# Company: what stands between two people.
_LISTED_BEFORE = re.compile(rf"{_NAME}(?:\s?[,·、&+/]\s?|이?랑 |하고 |[와과] |이?[와과] )$")
_LISTED_AFTER = re.compile(rf"(?:\s?[,·、&+/]\s?|이?랑 ?|하고 |이?[와과] ){_NAME}")
_AND_BEFORE = re.compile(rf"{_NAME}(?:,? and | or | ?[&+/] ?|이?랑 |하고 )$", re.IGNORECASE)
_AND_AFTER = re.compile(rf"(?:,? and | or | ?[&+/] ?|이?랑 |하고 |, ){_NAME}(?!'?\w)", re.IGNORECASE)

# English that is said of people alone, to them, or of what they did.
_GREETED = re.compile(
    r"(?:^|[\s,.!?~])(?:hi|hey|hello|yo|thanks|thank you|thx|sorry|dear|bye|goodbye|morning|night|birthday|congrats|"
    r"congratulations|welcome|welcome back|love you|miss you|poor|mrs?\.?|ms\.?|uncle|aunt|auntie|cousin)[,!]? $",
    re.IGNORECASE,
)
_ASKED = re.compile(
    r"(?:^|\s)(?:ask|asked|tell|told|called|texted|met|invited|thank|messaged|remind|where is|where's|how is|how's"
    r"|who is|who's)(?: (?:him|her|them|you|me))? $",
    re.IGNORECASE,
)
_MAYBE_ASKED = re.compile(r"(?:^|\s)(?:call|text|meet|invite|message|ping|dm|miss|saw|visit) $", re.IGNORECASE)
_SAYS = re.compile(
    r" (?:also |just |never |always |already )?(?:said|says|asked|asks|told|tells|thinks|thought|wants|wanted"
    r"|wrote|texted"
    r"|called|replied|answered|knows|knew|agreed|sent|met|ate|lives|works|likes|loves|hates|needs|forgot|promised"
    r"|invited|laughed|cried)\b",
    re.IGNORECASE,
)
_IS = re.compile(
    r"(?:'s| is| was| isn't| wasn't| has| had| did| does| came| went| left| got| gave| will| won't| can| could| should"
    r"| and i)\b",
    re.IGNORECASE,
)
_SPOKEN_TO = re.compile(
    r", (?:you|your|can|could|do|did|does|are|were|what|where|when|how|why|who|please|let|don't|have|i|we|it's|will|"
    r"would|come|call|look|wait|stop|is|the|thanks|sorry|hurry)\b",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r" (?:in|at|to|if|about|for|when|what|that|and|or|why|where|how|i|we|he|she|it|not|please)\b", re.I
)
_ENDS = re.compile(r"\s*(?:[,.!?~\n]|$)")
_LAST = re.compile(r"[\s.!?~♥❤]*$")
_SENTENCE_GOES_ON = re.compile(r"(?:(?:^|[^A-Za-z0-9'])(?:I|[a-z'’]+)|[,;가-힣]) $")
_NO_PERSON_BEFORE = re.compile(
    r"\b(?:the|a|an|of|in|on|by|until|till|since|last|next|this|every|early|late|mid|my) $", re.I
)
_MODALS = frozenset("will may mark hope".split())
# More words than names: alone beside a verb they are no person.
_WEAK = frozenset(
    """
    price page long white green gray brown rich lucky major junior young star stone wood woods song park river hill
    forest lane king queen prince moon sky min art chance chip guy honey miles summer winter autumn may april june july
    august jul jan baker hunter cook ball bush buddy
    """.split()
)


@dataclass
class Doubtful:
    """The names of this kind, by how much it takes to believe that somebody is meant."""

    korean: set[str] = field(default_factory=set)  # 하늘
    everyday: set[str] = field(default_factory=set)  # 오늘
    one_syllable: set[str] = field(default_factory=set)  # 준
    names: set[str] = field(default_factory=set)  # grace
    words: set[str] = field(default_factory=set)  # phone
    kana: set[str] = field(default_factory=set)  # さくら

    def patterns(self, kept: Iterable[str]) -> "Patterns":
        """Return the expressions for all of them, each kind a group, for `mask`."""
        left = set(kept)
        latin = r"(?<![\w'@])(?P<{}>{{}})(?![A-Za-z0-9])"
        hangul = {
            "korean": rf"{WORD_START}(?P<korean>{{}})",
            "everyday": rf"{WORD_START}(?P<everyday>{{}})",
            "one_syllable": r"(?<![가-힣])(?P<one_syllable>{})(?=[아야이님한])",
        }
        other = {"names": latin.format("names"), "words": latin.format("words"), "kana": r"(?P<kana>{})"}
        return Patterns(self._pattern(hangul, left), self._pattern(other, left))

    def _pattern(self, kinds: dict[str, str], kept: set[str]) -> re.Pattern[str] | None:
        parts = [shape.format(_any_of(found)) for kind, shape in kinds.items() if (found := getattr(self, kind) - kept)]
        keeps = [rf"(?<![\w가-힣])(?P<kept>{_any_of(kept)})"] * bool(kept)
        return re.compile("|".join(keeps + parts), re.IGNORECASE if "names" in kinds else 0) if parts else None


@dataclass(frozen=True)
class Patterns:
    """The expressions for names that are words, in Hangul and in other letters; None where there are none."""

    hangul: re.Pattern[str] | None
    other: re.Pattern[str] | None


def _any_of(names: Iterable[str]) -> str:
    return "|".join(map(re.escape, sorted(names, key=lambda name: (-len(name), name))))


Note = Callable[[str, bool], None]  # takes a word that is a name, and whether it was taken for a person


def mask(text: str, patterns: Patterns, has_latin: bool, note: Note | None = None) -> str:
    """Return the text with a mark for each of these names that means a person; the other names are marked before.

    `note` is told how each was decided.
    """
    for pattern in (patterns.hangul, patterns.other if has_latin else None):
        before, left = None, list[str]()
        while pattern is not None and before != text:  # or else somebody may now stand beside a person
            before, left = text, []
            text = pattern.sub(partial(_decided, note, left), text)
        if note is not None and pattern is not None:
            for word in left:
                note(word, False)
    return text


def _decided(note: Note | None, left: list[str], found: re.Match[str]) -> str:
    if is_person(found):
        if note is not None:
            note(found[0], True)
        return _NAME
    if note is not None and found.lastgroup != "kept":
        left.append(found[0])
    return found[0]


def is_person(found: re.Match[str]) -> bool:
    """Return True if what a `pattern` found means a person where it stands."""
    text, kind = found.string, found.lastgroup
    start, end = found.span()
    if kind == "korean":
        beside = _LISTED_BEFORE.search(text, max(0, start - 6), start) or _LISTED_AFTER.match(text, end)
        return bool(_AS_PERSON.match(text, end) or beside)
    if kind == "everyday":
        return _ADDRESSED.match(text, end) is not None
    if kind == "one_syllable":
        return found[0] not in NOT_CALLED and _ONE_SYLLABLE.match(text, end) is not None
    if kind == "kana":
        return _JAPANESE.match(text, end) is not None
    if kind == "words":
        return _HONOURED.match(text, end) is not None
    return kind == "names" and _is_english_person(found[0], text[max(0, start - 40) : start], text[end : end + 40])


def _is_english_person(word: str, before: str, after: str) -> bool:
    """Return True if a name that is an English word means a person between these words of its message."""
    name = word.lower()
    if _PARTICLE.match(after) or _AND_BEFORE.search(before) or _AND_AFTER.match(after) or _SAYS.match(after):
        return True
    ends = _ENDS.match(after) is not None
    if _GREETED.search(before) and (ends or name not in _MODALS):
        return True
    starts = not before.strip() or before.rstrip()[-1:] in ".!?\n"
    if (starts and _SPOKEN_TO.match(after)) or (
        before.endswith(", ") and _LAST.match(after) and name not in ("will", "may")
    ):
        return True
    capital = word[0].isupper() and not word[1:].isupper()
    if capital and _SENTENCE_GOES_ON.search(before) and not _NO_PERSON_BEFORE.search(before):
        return re.match(r" [A-Z][a-z]", after) is None
    if _ASKED.search(before) and (name not in _MODALS | _WEAK or ends or _GOES_ON.match(after)):
        return True
    if name in _WEAK:
        return False
    if after.startswith("'s ") or (_MAYBE_ASKED.search(before) and ends):
        return True
    return starts and capital and _IS.match(after) is not None
