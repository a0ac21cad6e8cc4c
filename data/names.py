"""Finds the people of a chat in what they write: the senders' names as one regular expression.

It works on lower case. A whole name is found anywhere. A given name is found as a word of its own, with or without
what Korean glues to it (`철수야`, `민준이가`, `영희한테는`); one that is also a word of the language only when
somebody is called by it (`하늘아`, `보라 언니`); one of a single syllable never without its surname.
"""

# ruff: noqa: SIM905 (the word lists are to be read, and edited, as text)

import re
from collections.abc import Iterable

from data.cleaning import normalize

_SURNAMES = (
    "김이박최정강조윤장임한오서신권황안송전홍유고문양손배백허남노심하주구곽성차우진류나민지"
    "엄채원천방공현함변염여추도소석선설마길"
)
_LONG_SURNAMES = ("남궁", "황보", "제갈", "선우", "독고", "사공", "서문", "동방")

# What people add to a display name: `김철수 팀장님`, `김철수(3반)`.
_TITLE = re.compile(
    r"\s*(?:사장|부장|차장|과장|대리|팀장|실장|원장|회장|총무|반장|방장|교수|박사|선생|코치|감독|선배|후배)님?$"
    r"|\s*(?:쌤|님|씨)$"
    r"|\s*[(\[].*$"
)
_NOT_NAMES = frozenset(
    """
    회원님 you me unknown 오픈채팅봇 방장봇 관리자 엄마 아빠 어머니 아버지 할머니 할아버지 누나 언니 오빠 동생
    이모 고모 삼촌 여보 자기 남편 아내 아들 친구 우리
    """.split()
) | {"알 수 없음", "(알 수 없음)"}
# Given names that are said far more often as words.
_COMMON_WORDS = frozenset(
    """
    가람 가을 겨울 구름 공주 기쁨 나라 나무 나은 다솜 다운 다정 단비 대한 도시 두리 마음 미래 미소 바다 보라 보람
    보배 빛나 사랑 새롬 새벽 샛별 선물 성공 성실 세상 소리 소망 소원 수정 수지 슬기 승리 시내 시원 신비 아라 아름
    여름 연기 열매 영화 예지 우리 우정 우주 유리 은하 은혜 이든 이루 이름 이상 이슬 이유 인정 자유 재미 정도 정말
    정상 정성 정의 조은 종일 주연 주인 지금 지도 지수 지원 지은 지혜 진리 진실 진주 초롱 태양 평화 하나 하늘 하루
    한결 한별 한솔 햇살 행복 현재 희망
    """.split()
)

_HONORIFICS = "씨 님 형 누나 언니 오빠 쌤 샘 선배 군 양".split()
_PARTICLES = (
    """
    아 야 가 는 은 이 을 를 의 와 과 랑 도 만 네 로 에 께 나 란 면 다 요 죠 지 임 거 꺼 냐 니 래 한테 한테서 에게
    에게서 에서 께서 하고 이나 부터 까지 보다 처럼 같이 같은 마저 조차 밖에 뿐 대로 만큼 라고 라는 라도 라서 라며
    라니 라던데 라는데 든지 든가 인데 인가 인지 말고 야말로 였어 였는데 예요 에요 이에요 입니다 네요 잖아 거든 구나
    후배 선생님 삼촌 이모
    """.split()
    + _HONORIFICS
)

_WORD_START = r"(?<![가-힣a-z0-9])"
_AS_WORD = rf"(?=이?(?:{'|'.join(_PARTICLES)}){{0,3}}(?![가-힣]))"
_AS_CALL = rf"(?=(?:[아야]|\s?(?:{'|'.join(_HONORIFICS)})(?:{'|'.join(_PARTICLES)})?)(?![가-힣]))"


def name_pattern(senders: Iterable[str]) -> re.Pattern[str] | None:
    """One expression for all names of the senders; None if no sender's name can be told from other text.

    It matches the name alone, so that a particle after it is kept.
    """
    anywhere: set[str] = set()
    words: set[str] = set()
    given: set[str] = set()
    for sender in senders:
        display = " ".join(normalize(sender).split())
        for name in filter(_is_name, (display, _TITLE.sub("", display))):
            # Two syllables stand inside too many words (민수 in 국민수당) to be looked for anywhere.
            (words if re.fullmatch("[가-힣]{2}", name) else anywhere).add(name)
        for part in re.findall("[가-힣]+", display):  # `3반_김철수/총무`
            full_name = _TITLE.sub("", part)
            if _is_full_name(full_name):
                anywhere.add(full_name)
                given.add(full_name[-2:])
    words |= given - _COMMON_WORDS
    branches = [
        "|".join(map(_bounded, _longest_first(anywhere))),
        f"{_WORD_START}(?:{'|'.join(_longest_first(words))}){_AS_WORD}" if words else "",
        f"{_WORD_START}(?:{'|'.join(_longest_first(given - words))}){_AS_CALL}" if given - words else "",
    ]
    found = "|".join(filter(None, branches))
    return re.compile(found) if found else None


def _is_name(name: str) -> bool:
    """Whether a display name can be looked for: no role, no ㅋㅋ, more than one syllable, letter or digit."""
    letters = [character for character in name if character.isalnum() and not "ㄱ" <= character <= "ㅣ"]
    return len(letters) >= 2 and name not in _NOT_NAMES and not (name.isdigit() and len(name) < 4)


def _is_full_name(name: str) -> bool:
    """Whether it is a surname and two more syllables (`남궁민` is taken for 남 and 궁민, which harms nobody)."""
    if name in _NOT_NAMES:
        return False
    return (len(name) == 3 and name[0] in _SURNAMES) or (len(name) == 4 and name.startswith(_LONG_SURNAMES))


def _longest_first(names: set[str]) -> list[str]:
    return sorted(names, key=lambda name: (-len(name), name))


def _bounded(name: str) -> str:
    """The name, written with or without its spaces; Latin letters and digits only at a word's bounds (al in also)."""
    body = r"\s?".join(map(re.escape, name.split()))
    before = r"(?<![a-z0-9])" if name[0].isascii() and name[0].isalnum() else ""
    after = r"(?![a-z0-9])" if name[-1].isascii() and name[-1].isalnum() else ""
    return before + body + after
