"""Names that are words as well (Will, Rose, 하늘, 바다): masked only where a person must be meant.

That is where grammar says so (`하늘이가`, `Rose said`, `hey Will,`), or company (`나율, 하늘, 바다`), or in English a
capital within a sentence. `python -m data --review` shows how it was decided, both ways.
"""

# ruff: noqa: SIM905 (the word lists are to be read, and edited, as text)

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from data.masking.english_people import is_english_person
from data.masking.korean_words import HONORIFICS, NOT_CALLED, NOT_HONOURED, PARTICLES
from data.masking.tags import mark

_NAME = mark("<NAME>")
WORD_START = r"(?:(?<![가-힣])|(?<=(?<![가-힣])우리)|(?<=(?<![가-힣])[울헐앗엥]))"  # 우리철수, 울철수, 헐철수
WORD_END = r"(?![가-힣ㅏ-ㅖㅣ])"  # 영호ㅓ is a slip of 영화
AFTER_ONE_SYLLABLE = "(?= ?[아야이님한씨형오누언쌤])"
_HONORIFICS = "|".join(sorted(HONORIFICS, key=len, reverse=True))

# What only a person takes, in Korean: `하늘이가` and `하늘아`, but `하늘이 맑다`.
_CALLED = (
    rf"(?:[아야]|이[가는를도의]|이?(?:한[테텐]|에[게겐])[서도는]?"
    rf"|(?:\s?|이)(?:{_HONORIFICS})(?:{'|'.join(PARTICLES)})?){WORD_END}"
)
_DOES = (
    r"이?[이가은는도]?\s?(?:그랬|그러[는던더길니]|말했|말하길|얘기했|물어[봤보]|전화|카톡[이에 ]"
    r"|톡[이에 ]|답장|삐졌|생일"
    r"|번호\s|남친|여친|결혼"
    r"|어디(?:야|래|있|임)|어딨|뭐(?:해|하|래)|자[나냐니](?![가-힣]))|이?네 ?집|이?꺼(?![가-힣])"
    r"|이?[이가도]\s(?:온대|온다고|간대|간다고|늦는대|했대|한대|하재|보냈|왔|갔[어대는])"
    r"|[은는]?\s?왜 ?안 ?(?:와|왔|오|옴|온)"
    r"|이?랑\s(?:같이|둘이|영화|놀|만나|만났|갔|가기로|싸[웠우]|사귀|사귄|통화|밥|술|얘기|카페)"
)
_AS_PERSON = re.compile(f"{_CALLED}|{_DOES}")
# What comes by itself is no person for being late: `가을은 왜 안와`.
_COMES = frozenset(
    "가을 겨울 여름 새벽 봄이 미래 행복 사랑 희망 기쁨 단비 노을 태양 이별 시간 주말 월급 하루 소식".split()
)
_INTRODUCED = re.compile(r"(?:^|[\s,.~!?])(?:나|난|나는|내가|저|전|저는|제가|여기|이름은)[ ,]$")
_AM = re.compile(rf"(?:이?야|이?에요|이?예요|입니다|임|이?라고|인데){WORD_END}")
_ONE_SYLLABLE = re.compile(
    rf"(?:[아야]|이(?:가|는|를|랑|도|네|야|만|한테|에게|꺼|거|누나|오빠|언니|쌤|네집)|한테"
    rf"|(?P<honoured>이?님|이?형|\s?씨|오빠|누나|언니|쌤)(?:{'|'.join(PARTICLES)})?){WORD_END}"
)
_ADDRESSED = re.compile(r"(?:님|씨)(?![가-힣])|님(?:이|은|도|을|께|한테|이랑|의|아)")
# English words that are hardly ever a name (phone).
_HONOURED = re.compile(rf"\s?(?:{_HONORIFICS}){WORD_END}|이?(?:한테|에게)|[아야]{WORD_END}")
_JAPANESE = re.compile("さん|ちゃん|くん|君|様|先輩|先生|氏|さま|たん")

# Company: what stands between two people.
_LISTED_BEFORE = re.compile(rf"{_NAME}(?:\s?[,·、&+/]\s?|이?랑 |하고 |[와과] |이?[와과] )$")
_LISTED_AFTER = re.compile(rf"(?:\s?[,·、&+/]\s?|이?랑 ?|하고 |이?[와과] ){_NAME}")


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
            "one_syllable": rf"(?<![가-힣])(?P<one_syllable>{{}}){AFTER_ONE_SYLLABLE}",
        }
        other = {"names": latin.format("names"), "words": latin.format("words"), "kana": r"(?P<kana>{})"}
        return Patterns(self._pattern(hangul, left), self._pattern(other, left))

    def _pattern(self, kinds: dict[str, str], kept: set[str]) -> re.Pattern[str] | None:
        found = {kind: names for kind in kinds if (names := getattr(self, kind) - kept)}
        parts = [kinds[kind].format(_any_of(names)) for kind, names in found.items()]
        keeps = [rf"(?<![\w가-힣])(?P<kept>{_any_of(kept)})"] * bool(kept)
        begins = first_letters(kept.union(*found.values()))
        whole = f"(?={begins})(?:{'|'.join(keeps + parts)})"
        return re.compile(whole, re.IGNORECASE if "names" in kinds else 0) if parts else None


@dataclass(frozen=True)
class Patterns:
    """The expressions for names that are words, in Hangul and in other letters; None where there are none."""

    hangul: re.Pattern[str] | None
    other: re.Pattern[str] | None


def first_letters(names: Iterable[str]) -> str:
    """Return a pattern of the letters with which names begin, to be looked at before each of the names is tried."""
    return f"[{re.escape(''.join(sorted({name[0] for name in names})))}]"


def _any_of(names: Iterable[str]) -> str:
    return "|".join(map(re.escape, sorted(names, key=lambda name: (-len(name), name))))


Note = Callable[[str, bool], None]  # takes a word that is a name, and whether it was taken for a person


def mask(
    text: str, patterns: Patterns, has_hangul: bool = True, has_latin: bool = True, note: Note | None = None
) -> str:
    """Return the text with a mark for each of these names that means a person; the other names are marked before.

    `has_hangul` and `has_latin` say whether names in such letters may be there. `note` is told how each was decided.
    """
    for pattern in (patterns.hangul if has_hangul else None, patterns.other if has_latin else None):
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
        person = _AS_PERSON.match(text, end)
        if person is not None and "왜" in person[0] and found[0] in _COMES:
            return False
        introduced = _AM.match(text, end) and _INTRODUCED.search(text, max(0, start - 6), start)
        return bool(person or beside or introduced)
    if kind == "everyday":
        return _ADDRESSED.match(text, end) is not None
    if kind == "one_syllable":
        rest = _ONE_SYLLABLE.match(text, end)
        return rest is not None and found[0] not in (NOT_HONOURED if rest["honoured"] else NOT_CALLED)
    if kind == "kana":
        return _JAPANESE.match(text, end) is not None
    if kind == "words":
        return _HONOURED.match(text, end) is not None
    return kind == "names" and is_english_person(found[0], text[max(0, start - 40) : start], text[end : end + 40])
