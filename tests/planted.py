"""People's data planted in messages in Korean, English and Japanese, as people write it, and who they are called.

`Planting(seed).messages(count)` gives each with its secret. It was written from what README and docs promise to mask,
and not from the expressions that find it: change it where people write otherwise, not where it is missed.
"""

# ruff: noqa: SIM905 (the word lists are to be read, and edited, as text)

import random
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tests.synthetic import choices_of

T = TypeVar("T")

NAMES = "서나율 박도담 임아라 최준 김민재 한솔비 정다온 강유진 조은찬 남궁연우 이서하 오태린".split()
KOREAN_WORDS = "김하늘 윤바다 이사랑 정가을 박보라 한여름 최이슬 송지혜".split()
ENGLISH = ["Nora Finch", "Oliver Stein", "Priya Patel", "Seoha Yoon", "Callum Reid"]
ENGLISH_WORDS = "Tom|Bob|Grace|Rose Kim|Mark|Jun|Tony|Nick|May|Will|Hunter|Ruby|Daisy|Robin|Max|Holly".split("|")
JAPANESE = ["田中太郎", "佐藤 花子", "鈴木健", "さくら"]
HANDLES = "jake_w mina.k seoha_m nayul90 nora_f#0001 dodam_p callum22".split()
DISPLAYS = choices_of("{}|{}|{}|{}/96/수원매탄|{} 🌸|{}(총무)|[3반] {}|♡{}♡|{} 팀장")

# {f} full, {g} given name, {v} called, {s} as a subject, {w} in company
CALLS = choices_of("""
    {v} 밥 먹었어?|{v} 어디야|아니 {s} 그랬다니까|어제 {s} 왔었어|{g}한테 물어봐|{g}님 오셨네요|{g} 언니 전화번호 뭐야
    오늘 {g}네 집에서 보자|{g}씨 안녕하세요|@{f} 확인 부탁|{f} 왔다|{v}!!|고마워 {v}|{g} 형 어디래|{w} 영화 봄
    다음은 {f} 차례|{g}쌤 질문이요|{f}님이 말씀하신 대로|{g} 누나 생일이래|이거 {g}꺼 아님?|{v} 미안
""")
OF_NAMES = choices_of("""
    {w} 같이 갔어|{g} 봤어?|{g}도 온대|{g}왔다|{g}쓰 뭐해|{g}어디야|{g}생일축하해|{g}이쓰|{g}님이랑|{g}언제와
    우리{g} 최고
""")
OF_ONE_SYLLABLE = choices_of("{v} 밥 먹었어?|{v} 어디야|{f} 왔다|@{f} 봐|{s} 그랬어|{g}이한테 물어봐|{f}님 오셨네요")
ENGLISH_CALLS = choices_of("""
    {n} said it is fine|hey {n}, are you coming?|did you ask {n}?|thanks {n}!|{n}'s place at 8?|I met {n} yesterday
    {n} told me so|with {n} and Nora Finch|tell {n} to hurry|{n}, can you call me?|happy birthday {n}!!
    I think {n} likes it|see you there, {n}|hi {n}|{n} wants pizza|@{n} look|where is {n}?|{n}이야|{n}아 어디야
    {n}님 안녕하세요|{n}이랑 갔어|{n}한테 물어봐
""")
JAPANESE_CALLS = choices_of("{}さん、おはよう|{}くんどこ？|@{} 見て|昨日{}ちゃんと会った|{}さんに聞いて")
HANDLE_CALLS = choices_of("{} 팔로우해|add {} pls|{} 왔어?|디코 {}|it's {}|@{} 봐")

# {x} is the secret; what else is in braces has the name of its maker.
TOLD = {
    "account": """
        카톡 아이디 {x}|인스타 {x}|인스타그램 아이디는 {x}이야|텔레그램 id {x}|내 라인 아이디 {x}|my insta is {x}
        snapchat: {x}|add me on discord {x}|LINE ID: {x}|인스타@{x}|인스타 아디 {x} 맞아|카카오톡 ID {x}|ig {x}
        my telegram handle is {x}|インスタ {x}|디코 아이디 {x}|트위터 계정 {x}
        """,
    "plate": "{x}|차 {x}|차번호 {x}|{x} 차 빼주세요|흰색 소나타 {x}|{x} 맞지?",
    "birth date": "생년월일 {x}|생일 {x}|제 생년월일은 {x}입니다|생일이 {x}야|생년월일: {x}",
    "birth date abroad": "my birthday is {x}|DOB: {x}|date of birth {x}|born on {x}|誕生日 {x}|生年月日は{x}です",
    "passport": "여권 {x}|여권번호는 {x}|passport number {x}|my passport: {x}|パスポート {x}|여권 번호 {x}예요",
    "licence": "면허 {x}|운전면허번호 {x}|면허증 번호는 {x}야|driver's license {x}|{x} 이게 면허번호",
    "IP address": "서버 {x}|ip {x}|ssh root@{x}|{x}로 접속해|{x}:25565 마크서버|my ip is {x}|IP: {x}",
    "door code": "비번 {x}|현관 비번 {x}|도어락 번호 {x}|PIN {x}|door code is {x}"
    "|暗証番号は{x}|공동현관 {x}|my pin is {x}",
    "password": """
        비밀번호는 {x}|와이파이 비번 {x}|password: {x}|the password is {x}|pw: {x}|パスワード: {x}|비번은 {x}이야
        wifi password {x}
        """,
    "address": "{x}로 와|{x}|주소 {x}|서울 마포구 {x}|{x}이야|집은 {x}입니다|{x} 3층|{x}, 502호",
    "address in English": "I live at {x}|{x}, London|come to {x}|send it to {x}, Apt 4B|my address: {x}|{x}",
    "address in Japanese": "{x}です|住所は{x}|{x}に来て|{x}",
    "phone": "{x}|여기 {x} 전화해줘|{x} 맞지?|내 번호 {x}|{x}로 연락|음 {x} 저장해둬",
    "foreign phone": "{x}|here: {x}|it's {x} ok?|{x} thanks|just use {x}|これ {x} です|{x} だよ|{x} 저장해",
    "e-mail": "{x}|여기 {x} 확인해줘|{x} 맞지?|here: {x}|just use {x}|{x} です",
    "account number": "{bank} {x}|{bank} {x} 입금|{bank} 계좌 {x}|{x} {bank}|{bank}: {x}",
    "registration number": "{x}|주민번호 {x}|주민 {x} 맞아|내꺼 {x}",
}
BANKS = choices_of("""
    국민|신한은행|우리|하나은행|새마을|새마을금고|케이뱅크|카카오뱅크|카뱅|토스|농협|씨티은행|수협|부산은행|우체국|기업|SC제일
""")
ROADS = "테헤란로 올림픽대로 세종대로 양화로 판교역로 강남대로 경수대로 월드컵로 백범로 한강대로".split()
STREETS = "Maple|Baker|Old Kent|Rosewood|Sunset|King George|5th|Elm".split("|")
TOWNS = "東京都渋谷区神南 大阪市北区梅田 横浜市中区本町 京都市左京区吉田町 福岡県福岡市中央区天神".split()
MONTHS = "January February March April May June July August September October November December".split()
EMAILS = choices_of("""
    {}@naver.com|{}@gmail.com|{} at naver dot com|{}(at)daum.net|{}@회사.한국|{} [at] gmail [dot] com
    {}@example.co.jp|{} @ kakao.com
""")
# d is a digit, D one that is not 0
PHONES = choices_of(
    "010-Dddd-dddd|010Ddddddd|010 Dddd dddd|010.Dddd.dddd|+82 10 Dddd dddd|+82-10-Dddd-dddd|(010) Dddd-dddd"
)
FOREIGN = choices_of("""
    415-D55-Dddd|212.D55.Dddd|(646) D55-Dddd|+1 305 D55 Dddd|720 D55 Dddd|090-dddd-dddd|080dddddddd|03-dddd-dddd
    +81 90 dddd dddd|070-Dddd-dddd|138dddddddd|139-dddd-dddd|+86 151 dddd dddd|0171 Dddddddd
    +49 151 dddddddd|030 dddddddd
    06 dd dd dd dd|06.dd.dd.dd.dd|+33 6 dd dd dd dd|07700 dddddd|020 7946 dddd|+44 7700 dddddd
    612 34D Ddd|+34 612 345 ddd
""")
ACCOUNTS = "Dddd-Dddd-Dddd-D|Ddd-Dddddd-Ddddd|Dddddd-Dd-Dddddd|Dddd-Dd-Ddddddd|Ddd-Dddd-Dddd-Dd".split("|")


@dataclass(frozen=True)
class Secret:
    """A message, the kind of what is planted in it, and what must not be left of it."""

    text: str
    kind: str
    secret: str


class Planting:
    """A room of people who write of each other, and give each other numbers."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        korean = [self._pick(DISPLAYS).format(name) for name in NAMES + KOREAN_WORDS]
        self.senders = [*korean, *ENGLISH, *ENGLISH_WORDS, *JAPANESE, *HANDLES[:2]]
        people = [self.korean, self.korean_word, self.english, self.english_word, self.japanese, self.handle]
        self._makers: list[Callable[[], Secret]] = [*people, *(lambda kind=kind: self.told(kind) for kind in TOLD)]

    def messages(self, count: int) -> Iterator[Secret]:
        """As many messages, each with one secret."""
        for place in range(count):
            yield self._makers[place % len(self._makers)]()

    def korean(self) -> Secret:
        full = self._pick(NAMES)
        given = full[2:] if full.startswith("남궁") else full[1:]
        if len(given) == 1:  # hardly ever said alone
            return Secret(_filled(self._pick(OF_ONE_SYLLABLE), full, given), "sender", "")
        return Secret(_filled(self._pick(CALLS + OF_NAMES), full, given), "sender", given)

    def korean_word(self) -> Secret:
        full = self._pick(KOREAN_WORDS)
        return Secret(_filled(self._pick(CALLS), full, full[1:]), "name that is a word", full[1:])

    def english(self) -> Secret:
        name = self._pick(ENGLISH)
        said = self._pick([name, name.split()[0], name.split()[0].lower(), name.lower()])
        return Secret(self._pick(ENGLISH_CALLS).format(n=said), "sender", said.split()[0])

    def english_word(self) -> Secret:
        name = self._pick(ENGLISH_WORDS).split()[0]
        said = self._pick([name, name, name.lower()])
        return Secret(self._pick(ENGLISH_CALLS).format(n=said), "name that is a word", said)

    def japanese(self) -> Secret:
        name = self._pick(JAPANESE)
        said = self._pick([name.replace(" ", ""), name.split()[0] if " " in name else name[: max(2, len(name) - 2)]])
        said = name if name == "さくら" else said
        return Secret(self._pick(JAPANESE_CALLS).format(said), "sender", said)

    def handle(self) -> Secret:
        said = self._pick(HANDLES)
        return Secret(self._pick(HANDLE_CALLS).format(said), "sender", said)

    def told(self, kind: str) -> Secret:
        """A message in which one of TOLD is told."""
        secret = getattr(self, "_" + kind.replace(" ", "_").replace("-", "_").lower())()
        return Secret(self._pick(choices_of(TOLD[kind])).format(x=secret, bank=self._pick(BANKS)), kind, secret)

    # ------------------------------------------------------------------ makers, by the names of their kinds

    def _account(self) -> str:
        return self._word(5) + self._pick(["_", ".", ""]) + self._number("dd")

    def _plate(self) -> str:
        letter = self._pick("가나다라마거너더러머버서어저하허호")
        return (
            self._number(self._pick(["Dd", "Ddd"]))
            + letter
            + self._pick(["", " " if letter not in "하호" else ""])
            + self._number("dddd")
        )

    def _birth_date(self) -> str:
        y, m, d = self._day()
        both = [f"{y}년 {m}월 {d}일", f"{y}.{m:02}.{d:02}", f"{y}-{m:02}-{d:02}", f"{y % 100:02}{m:02}{d:02}"]
        return self._pick([*both, f"{y}{m:02}{d:02}", f"{m}월 {d}일"])

    def _birth_date_abroad(self) -> str:
        y, m, d = self._day()
        month = MONTHS[m - 1]
        return self._pick(
            [f"{month} {d}, {y}", f"{d} {month} {y}", f"{m}/{d}/{y}", f"{y}-{m:02}-{d:02}", f"{y}年{m}月{d}日"]
        )

    def _passport(self) -> str:
        return self._pick("MSRGD") + self._number("dddddddd")

    def _licence(self) -> str:
        return f"{self._between(11, 28)}-{self._number('dd-dddddd-dd')}"

    def _ip_address(self) -> str:
        return ".".join(map(str, [self._pick([203, 121, 58, 211, 8, 91]), *(self._between(0, 254) for _ in range(3))]))

    def _door_code(self) -> str:
        return (
            self._pick(["", "", "*", "#"])
            + self._number(self._pick(["dddd", "dddddd"]))
            + self._pick(["", "", "*", "#"])
        )

    def _password(self) -> str:
        return self._word(5) + self._number("ddd") + self._pick(["", "!"])

    def _address(self) -> str:
        return f"{self._pick(ROADS)} {self._between(10, 900)}"

    def _address_in_english(self) -> str:
        kind = self._pick("Street St Avenue Ave Road Rd Lane Boulevard".split())
        return f"{self._between(1, 2000)}{self._pick(['', '', 'B'])} {self._pick(STREETS)} {kind}"

    def _address_in_japanese(self) -> str:
        a, b, c = self._between(1, 9), self._between(1, 30), self._between(1, 20)
        return self._pick(TOWNS) + self._pick([f"{a}-{b}-{c}", f"{a}丁目{b}番{c}号"])

    def _phone(self) -> str:
        return self._number(self._pick(PHONES))

    def _foreign_phone(self) -> str:
        return self._number(self._pick(FOREIGN))

    def _e_mail(self) -> str:
        return self._pick(EMAILS).format(self._word(5) + self._number("dd"))

    def _account_number(self) -> str:
        return self._number(self._pick(ACCOUNTS))

    def _registration_number(self) -> str:
        _, m, d = self._day()
        rest = self._pick(["dddddd", "******", "●●●●●●", "xxxxxx"])
        return (
            self._number("dd")
            + f"{m:02}{d:02}"
            + self._pick(["-", " - "])
            + self._pick("1234")
            + (self._number(rest) if rest[0] == "d" else rest)
        )

    # ------------------------------------------------------------------ dice

    def _day(self) -> tuple[int, int, int]:
        return self._between(1950, 2012), self._between(1, 12), self._between(1, 28)

    def _pick(self, choices: Sequence[T]) -> T:
        return self.random.choice(choices)

    def _between(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def _number(self, shape: str) -> str:
        dice = {"d": string.digits, "D": string.digits[2:]}
        return "".join(self.random.choice(dice[one]) if one in dice else one for one in shape)

    def _word(self, length: int) -> str:
        return self.random.choice("bcdfghjklmnprstvw") + "".join(
            self.random.choices("aeiou" + string.ascii_lowercase, k=length - 1)
        )


def _filled(shape: str, full: str, given: str) -> str:
    closed = (ord(given[-1]) - ord("가")) % 28 > 0
    forms = {"v": "아", "s": "이가", "w": "이랑"} if closed else {"v": "야", "s": "가", "w": "랑"}
    return shape.format(f=full, g=given, **{key: given + ending for key, ending in forms.items()})
