"""Synthetic messages with planted personal data, and harmless ones full of numbers and of names that are words.

`Chat(seed).messages(count)` gives each with what was planted in it. The ways of writing are those of people in chats,
not those that data/ is known to find. Sentences come from shared/corpora where it is beside this repository.
"""

# ruff: noqa: SIM905 (the word lists are to be read, and edited, as text)

import csv
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

CORPORA = Path(__file__).parents[2] / "shared/corpora"


def choices_of(block: str) -> list[str]:
    """Return what stands between the bars, and on the lines, of a block of text."""
    return [choice.strip() for choice in block.strip().replace("\n", "|").split("|")]


SENTENCES = choices_of("""
    오늘 저녁에 뭐 먹을까|내일 비 온다던데 우산 챙겨|아까 말한 거 있잖아|진짜 그렇게 하기로 했어|회의가 좀 늦게 끝났어
    나도 그 생각 했는데|주말에 시간 되는 사람|그건 좀 아닌 것 같아|늦어서 미안해 가는 중|다들 잘 들어갔지
    와 대박이다 정말|괜찮으면 연락해 줘|어제 본 영화 재밌더라|그럼 그때 봐|생각보다 사람이 많았어|커피 한 잔 할래
    오늘따라 배가 고프네
""")
SURNAMES = "김이박최정강조윤장임한오서신권황안송류전홍고문손양배백허남심"
GIVEN = """
    민준 서준 도윤 예준 시우 하준 주원 지호 지후 준서 건우 우진 현우 선우 서진 연우 유준 정우 승현 준혁 서연 서윤 지우
    서현 하은 하윤 민서 지유 윤서 채원 수아 지민 지아 지윤 다은 은서 예은 수빈 지훈 동현 성민 영호 영수 정훈 미경 은주
    영희 철수 유진 민지
""".split()
WORD_NAMES = "하늘 이슬 보라 사랑 슬기 지혜 은혜 가을".split()
FOREIGN = {"John Smith": "John", "Emma Watson": "Emma", "Minji Kwon": "Minji", "Oliver Brown": "Oliver"}
ENGLISH_WORDS = ["Will Turner", "May Young", "Mark Long"]
LONG_SURNAMES = ["남궁민수", "황보지영", "제갈동현", "선우재희"]
DISPLAYS = choices_of("{}|{}|{}|{} 팀장님|{}(총무)|3반_{}|분당/{}/85|♥{}♥|{} 🌸|[영업1팀] {}|~{}|{}쌤")

USERS = "hong gildong min.jun seo_yeon jh kim-cs star sky lovely".split()
DOMAINS = "naver.com gmail.com daum.net hanmail.net kakao.com snu.ac.kr my-company.co.kr".split()
EMAILS = choices_of("""
    {user}@{domain}|{user}@{domain}|{user}@{domain}|{user}@{domain}|{user}@{domain}|{user}@{domain}|{USER}@{DOMAIN}
    {user} @ {domain}|{user}(at){domain}|{user}골뱅이{domain}|{user}@ {domain}|{user}@naver|{user}@네이버|{user}@지메일
""")
# a and b have four digits, c has three; sa and sb are a and b in Korean words, s is 010.
PHONES = choices_of("""
    010-{a}-{b}|010-{a}-{b}|010-{a}-{b}|010-{a}-{b}|010-{a}-{b}|010-{a}-{b}|010-{a}-{b}|010-{a}-{b}|010-{a}-{b}
    010{a}{b}|010{a}{b}|010{a}{b}|010{a}{b}|010 {a} {b}|010 {a} {b}|010 {a} {b}|011-{c}-{b}|016-{c}-{b}|019{c}{b}
    010-{c}-{b}|010.{a}.{b}|010 - {a} - {b}|010–{a}–{b}|010·{a}·{b}|010/{a}/{b}|010~{a}~{b}|010ㅡ{a}ㅡ{b}|010_{a}_{b}
    010—{a}—{b}|010- {a}- {b}|010){a}-{b}|(010) {a}-{b}|+82 10-{a}-{b}|+8210{a}{b}|+82-10-{a}-{b}|82-10-{a}-{b}
    +82 (0)10 {a} {b}|010-{a}{b}|010{a}-{b}|010 {a}{b}|０１０－{a}－{b}|{area}-{c}-{b}|{area}-{c}-{b}|{area}){a}-{b}
    ({area}) {c}-{b}|{area} {c} {b}|{area}.{c}.{b}|{area}{c}{b}|070-{a}-{b}|0507-{a}-{b}|0505{a}{b}|080-{c}-{b}
    1588-{b}|1544-{b}|1661-{b}|1899-{b}|1566 {b}|+1 415-{c}-{b}|+1 (415) {c}-{b}|+44 20 {a} {b}|+81-90-{a}-{b}
    +86 138 {a} {b}|{s}{sa}{sb}|{s} {sa} {sb}|{s}-{a}-{b}|010 {sa} {sb}|o1o-{a}-{b}|공1공-{a}-{b}
""")
CARDS = choices_of("{}-{}-{}|{}-{}-{}|{}-{}-{}|{} {} {}|{} {} {}|{}{}{}|{}.{}.{}|{}–{}–{}|{} - {} - {}")
REGISTRATIONS = choices_of("{}-{}|{}-{}|{}-{}|{}{}|{} {}|{} - {}|{}–{}")
BANKS = "국민은행 신한 우리은행 하나은행 농협 기업은행 카카오뱅크 카뱅 토스뱅크 새마을금고 국민 우체국".split()
ACCOUNTS = choices_of("{bank} {n}|{bank} {n}|{bank}{n}|{bank}: {n}|{bank} 계좌번호 {n}|{bank} 계좌는 {n}|{n} {bank}")
DISTRICTS = choices_of("""
    서울 강남구|서울특별시 마포구|경기도 성남시 분당구|부산 해운대구|경기 수원시 영통구|인천 연수구|대전 유성구
    전남 순천시|강원도 춘천시|송파구
""")
STREETS = choices_of("""
    테헤란로 {}|올림픽로35길 {}|판교역로146번길 {}|세종대로 {}|양화로 {}|강남대로94길 {}|월드컵로 {}|역삼동 {}
    서교동 {}번지|우동 {}|백현동 {}|잠실동 {}
""")

OPEN_PARTICLES = """
    야 가 는 를 랑 야~ 한테 도 만 네 의 한테는 랑은 라고 였어 꺼 임 가요 야야 야빨리와 네집 보다 때문에 빼고
""".split()
CLOSED_PARTICLES = """
    아 이가 이는 이를 이랑 아~ 이한테 이도 이만 이네 이의 한테는 이랑은 이라고 이었어 이꺼 임 이가요 아아 아빨리와
    이네집 이보다 이때문에 이빼고 은 을
""".split()
PARTICLES = """
    씨 님 형 누나 언니 오빠 쌤 선배 선배님 형이랑 누나는 오빠가 에게 하고 까지 처럼 ㅋㅋ ㅠㅠ ! ? 씨도 님께서 이형
    이누나
""".split()

NUMBERS = choices_of("""
    {price:,}원|{price}원|{n}만원|{n}만{digit}천원|₩{price:,}|${n}.99|총 {price}00원이요|오후 {hour}:{minute}
    {hour}시 {minute}분|{hour}:{minute}~{hour}:{minute}|{hour}-{n}시|{year}-{month:02}-{day:02}|{year}.{month}.{day}
    {year}{month:02}{day:02}|{month}/{day}|{year}-{month:02}-{day:02} {hour:02}:{minute}:{minute}|1999-{year}년
    1592-1598|1910-1945|{n}:{digit}|{n}-{n}로 비김|{n}대 {digit}|{n}점|{n}.5점|10점 만점에 9점|{n}개
    {n}박스 {price}개입|{n}50ml {n}병|{n}% 할인|1+1 행사|2+1 10개 묶음 3세트|주문번호 {year}{twelve}|운송장 {twelve}
    송장 6{three}-{four}-{four}|192.168.0.10|3.14159265358979|버전 {n}.{n}.{digit}|{n}학년 {hour}반 {day}번|{n}번 출구
    {hour}층 {n}호실|비번 {n}번 틀림|인증번호 {three}{three}|우편번호 0{four}|조회수 {price}000회|인구 {price}00명
    {n}킬로 {minute}분|위도 37.{four}{digit}|국민은행 앞에서 {hour}시 {minute}분|우리 {hour}시에 하나 {n}개만
    토스로 {price}원 보냄|농협에서 {price:,}원 찾음|신한은행 {n}번 창구|앞으로 {n}년|별로 {n}점|그대로 {n}개|바로 {n}층
    운동 {n}-{n}번|서울 가는길 {n}분|강남 쪽으로 {n}km|다시 회사로 {hour}시까지|종로3가에서|서울로 {n}시간
    대전 위로 {n}칸|집으로 {n}분|제대로 {n}번|부산역 {n}번 게이트|왼쪽으로 {n}미터|iphone {hour}|{n}Hz {n}dB|#{four}
    {year}학년도 {month}월 모의고사|ISBN 978-89-{three}-{four}-{digit}
""")
WORDS = choices_of("""
    하늘이 맑다|하늘은 파랗고|하늘색 옷|하늘에서 내려와|밤하늘 별|이슬이 맺혔다|이슬만 먹고|아침이슬|보라색|보라는 거야
    이거 보라니까|사랑해|사랑이 뭐길래|사랑은 어려워|첫사랑|사랑한다고|슬기롭게|슬기로운 생활|지혜롭다|지혜를 모으자
    은혜를 갚다|은혜는 잊지 않아|가을이 왔다|가을엔 단풍|늦가을|올가을|지하철 타고|수박 먹자|성민원|동현장|윤서명
    이해가 안 가|조은 생각|한국 사람|서울 사람|영수증 챙겨|영수회담|유진국|민지게|김치찌개|정우주|최고은|서현역|준서류
    철수했다|부대가 철수 중|철수하자|시우주|현우산|I will go|may I|on your mark|how long|you are young|the will to win
    as long as it takes|may be|mark my words|a long time
""")


@dataclass(frozen=True)
class Planted:
    """A message; what is secret in it and must not be left, and under which tag; the harmless words around."""

    text: str
    kind: str
    secret: str = ""
    tag: str = ""
    harmless: str = ""


class Chat:
    """People of one chat, and what they could write."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.full_names = [self.random.choice(SURNAMES) + given for given in GIVEN]
        self.word_names = [self.random.choice(SURNAMES) + given for given in WORD_NAMES]
        everybody = self.full_names + self.word_names + LONG_SURNAMES
        self.senders = [self.random.choice(DISPLAYS).format(name) for name in everybody] + [*FOREIGN, *ENGLISH_WORDS]

    def messages(self, count: int) -> Iterator[Planted]:
        """As many messages, of which every second or so has something planted in it."""
        kinds: list[tuple[Callable[[], Planted], int]] = [
            (self.email, 8),
            (self.phone, 14),
            (self.registration, 6),
            (self.card, 6),
            (self.account, 4),
            (self.address, 4),
            (self.full_name, 10),
            (self.given_name, 14),
            (self.numbers, 18),
            (self.words, 10),
            (lambda: self._around("", "harmless"), 8),
        ]
        makers, weights = zip(*kinds)
        for maker in self.random.choices(makers, weights, k=count):
            yield maker()

    # ------------------------------------------------------------------ planted

    def email(self) -> Planted:
        user = self._pick(USERS) + self._digits(self._pick([0, 2, 4]))
        domain = self._pick(DOMAINS)
        address = self._pick(EMAILS).format(user=user, domain=domain, USER=user.upper(), DOMAIN=domain.upper())
        return self._around(address, "email", user, "<EMAIL>", "으로 |로 |이야|입니다|.|, |예요|에 |")

    def phone(self) -> Planted:
        a, b, c = self._digits(4, first="23456789"), self._digits(4), self._digits(3, first="23456789")
        words = self._pick(["공일이삼사오육칠팔구", "영일이삼사오육칠팔구", "공일이삼사오륙칠팔구"])
        sa, sb, s = ("".join(words[int(digit)] for digit in digits) for digits in (a, b, "010"))
        area = self._pick("02 031 032 042 051 062 064".split())
        template = self._pick(PHONES)
        number = template.format(a=a, b=b, c=c, sa=sa, sb=sb, s=s, area=area)
        endings = "로 |으로 |이야|야|입니다|임|.|, |번으로 |예요|로전화해 |이에요|인데 |"
        return self._around(number, "phone", sb if "{sb}" in template else b, "<PHONE>", endings)

    def registration(self) -> Planted:
        birth = f"{self._digits(2)}{self._between(1, 12):02}{self._between(1, 28):02}"
        rest = self._digits(7, first="12345678")
        return self._around(self._pick(REGISTRATIONS).format(birth, rest), "registration number", rest, "<ID>")

    def card(self) -> Planted:
        """Visa, Mastercard, a domestic one, JCB, American Express."""
        first, length = self._pick([("4", 16), ("52", 16), ("94", 16), ("35", 16), ("37", 15)])
        number = with_luhn(first + self._digits(length - len(first) - 1))
        template = self._pick(CARDS)
        groups = [number[:4], number[4:10], number[10:]]
        if length == 16:
            template += template[2:-2].rpartition("}")[2] + "{}"
            groups = [number[start : start + 4] for start in range(0, 16, 4)]
        return self._around(template.format(*groups), "card", groups[1] + groups[2], "<CARD>")

    def account(self) -> Planted:
        shape = self._pick([(3, 3, 6), (6, 2, 6), (4, 2, 7), (3, 4, 4, 2), (4, 3, 6), (3, 6, 2, 3)])
        number = self._pick(["-", "-", "-", "", " "]).join(self._digits(size, first="123456789") for size in shape)
        text = self._pick(ACCOUNTS).format(bank=self._pick(BANKS), n=number)
        return self._around(text, "account", number, "<ACCOUNT>")

    def address(self) -> Planted:
        house = f"{self._between(1, 900)}" + self._pick(["", "", f"-{self._between(1, 40)}"])
        street = self._pick(STREETS).format(house)
        detail = self._pick(["", "", " 101동 1203호", ", 3층", " 502호"])
        text = f"{self._pick(DISTRICTS)} {street}{detail}"
        return self._around(text, "address", street, "<ADDRESS>", "이야|입니다|으로 |에서 |로 와|.|")

    def full_name(self) -> Planted:
        name = self._pick(self.full_names * 3 + self.word_names * 3 + LONG_SURNAMES + list(FOREIGN) + ENGLISH_WORDS)
        written = self._pick([str.lower, str.upper, str])(name)
        mention = "@" if not name.isascii() and self._chance(0.1) else ""
        endings = "님|씨| 씨가|입니다|한테 |도 |는 |이 |, |?|!!|ㅋㅋ|(인)|\n|랑 |의 |님이랑 |야"
        return self._around(mention + written, "full name", written, "<NAME>", endings)

    def given_name(self) -> Planted:
        if self._chance(0.08):
            name = self._pick(list(FOREIGN.values()))
            written = self._pick([str.lower, str.upper, str])(name)
            return self._around(written, "given name", name, "<NAME>", "|, |!|야 |이랑 ")
        if self._chance(0.12):
            name = self._pick(WORD_NAMES)
            call = self._pick(["야" if ends_in_vowel(name) else "아"] * 3 + [" 언니", "씨", "님", "누나", " 오빠"])
            return self._around(name + call, "given name", name + call, "<NAME>", " |, |! |~ ")
        name = self._pick(GIVEN)
        particle = self._pick((OPEN_PARTICLES if ends_in_vowel(name) else CLOSED_PARTICLES) * 2 + PARTICLES)
        mention = "@" if self._chance(0.03) else ""
        return self._around(mention + name + particle, "given name", name, "<NAME>", " ")

    # ------------------------------------------------------------------ harmless

    def numbers(self) -> Planted:
        text = self._pick(NUMBERS).format(
            **{"n": self._between(2, 99), "digit": self._between(1, 9), "price": self._between(10, 99_999) * 100},
            **{"year": self._between(2000, 2026), "month": self._between(1, 12), "day": self._between(1, 28)},
            **{"hour": self._between(1, 12), "minute": self._between(10, 59)},
            **{"three": self._digits(3), "four": self._digits(4), "twelve": self._digits(12)},
        )
        return self._around(text, "harmless numbers")

    def words(self) -> Planted:
        return self._around(self._pick(WORDS), "harmless words")

    # ------------------------------------------------------------------ parts

    def _around(self, text: str, kind: str, secret: str = "", tag: str = "", endings: str = "") -> Planted:
        """`text` between two sentences, or beside one, or alone."""
        before = "" if text and self._chance(0.25) else self._pick(sentences())
        after = "" if self._chance(0.4) else self._pick(sentences())
        ending = self._pick(endings.split("|"))
        return Planted(f"{before} {text}{ending} {after}".strip(), kind, secret, tag, f"{before} {after}")

    def _pick(self, things: list[Any]) -> Any:
        return self.random.choice(things)

    def _chance(self, share: float) -> bool:
        return self.random.random() < share

    def _between(self, least: int, most: int) -> int:
        return self.random.randint(least, most)

    def _digits(self, count: int, first: str = "0123456789") -> str:
        return "".join(self._pick(list(first if place == 0 else "0123456789")) for place in range(count))


@cache
def sentences() -> list[str]:
    """Sentences of chats without a name in them, from the corpora where they are and else from the list above."""
    path = CORPORA / "chatbot_data.csv"
    if not path.exists():
        return SENTENCES
    with path.open(encoding="utf-8", newline="") as file:
        return [sentence for row in csv.DictReader(file) for sentence in (row["Q"], row["A"])]


def ends_in_vowel(name: str) -> bool:
    return (ord(name[-1]) - 0xAC00) % 28 == 0


def with_luhn(digits: str) -> str:
    """The digits and the one that makes their Luhn checksum right."""
    total = sum(sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(reversed(digits)))
    return digits + str(-total % 10)
