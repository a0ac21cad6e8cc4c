"""Phone numbers, mails, IDs, plates, networks and passwords, each in the ways in which people write it in chats."""

# ruff: noqa: E501, SIM905 (the sentences are to be read, and edited, as text)

from __future__ import annotations

import random

from benchmarks.planted.pieces import Plant, filled, plant

HANGUL_DIGITS = dict(zip("0123456789", "공일이삼사오육칠팔구", strict=True))
MAIL_NAMES = (
    "nayul.seo dodam_park77 tomb.ecker gracem h.sora90 minsoo1234 oscar.l yui-sato k.haneul rose.kim.art".split()
)
IDS = "nayul_90 dodam.daily tombeckr graceee_m seoha1004 minsu.zip oscarl_ yui_chan22 x_haneul_x blue.whale_7 jk97park loveme88".split()
Sentence = tuple[str | Plant, ...]


def digits(chance: random.Random, count: int) -> str:
    """A number of so many digits that does not begin with 0."""
    return str(chance.randint(10 ** (count - 1), 10**count - 1))


def one_of(chance: random.Random, kind: str, way: str, sentences: str, text: str, *parts: str) -> Sentence:
    """One of the sentences (parted by |), with the plant in it."""
    return filled(chance.choice(sentences.split("|")), [plant(kind, way, text, *parts)])


KOREAN_PHONE = "내 번호 {}|{} 여기로 전화줘|번호 바뀌었어 {}|{}|엄마 번호 {} 저장해|010 말고 {}로 연락 주세요|연락처: {}|{} 이거 누구 번호야?|폰번 {}임|{}으로 문자해|전화번호는 {}입니다|급하면 {}ㅋㅋ"
ENGLISH_PHONE = "call me at {}|my number is {}|{}|text {} when you land|new phone {} who dis|whatsapp me {} ok?|her cell: {}|reach the landlord on {} after 6"
JAPANESE_PHONE = "電話番号は{}です|{}に電話して|携帯 {}|{}|お店の番号{}だよ|連絡先：{}"


def korean_phone(chance: random.Random) -> Sentence:
    a, b = digits(chance, 4), digits(chance, 4)
    hangul = "".join(HANGUL_DIGITS[d] for d in a), "".join(HANGUL_DIGITS[d] for d in b)
    ways = {
        "dashes": f"010-{a}-{b}", "spaces": f"010 {a} {b}", "dots": f"010.{a}.{b}", "none": f"010{a}{b}",
        "abroad": f"+82 10-{a}-{b}", "abroad none": f"+8210{a}{b}", "bracket": f"010){a}-{b}", "slash": f"010/{a}/{b}",
        "old": f"011-{a[:3]}-{b}", "Seoul": f"02-{a[:3]}-{b}", "province": f"031-{a[:3]}-{b}", "area bracket": f"(02) {a}-{b}",
        "net": f"070-{a}-{b}", "Hangul digits": f"공일공 {hangul[0]} {hangul[1]}", "Hangul digits glued": f"공일공{''.join(hangul)}",
        "Hangul digits dashes": f"공일공-{hangul[0]}-{hangul[1]}", "mixed": f"공일공 {a} {b}", "no prefix": f"{a}-{b}",
        "letter O": f"O1O-{a}-{b}", "wide dashes": f"010 - {a} - {b}", "tilde": f"010~{a}~{b}", "full width": f"０１０－{a}－{b}",
    }  # fmt: skip
    way = chance.choice(list(ways))
    if way == "no prefix":
        return one_of(chance, "phones, Korea", way, "내 번호 {}|공일공에 {}야|010에 {}|전화번호 뒤에 {}", ways[way])
    return one_of(
        chance,
        "phones, Korea",
        way,
        KOREAN_PHONE,
        ways[way],
        *([a, b] if way not in ("Hangul digits",) else []) if a in ways[way] else (),
    )


def foreign_phone(chance: random.Random) -> Sentence:
    a, b, c = digits(chance, 4), digits(chance, 4), digits(chance, 3)
    area = chance.choice("212 415 646 310 202 512 617".split())
    two = digits(chance, 8)
    pairs = " ".join(two[i : i + 2] for i in range(0, 8, 2))
    ways = {
        "Japan": (f"090-{a}-{b}", f"080 {a} {b}", f"090{a}{b}", f"03-{a}-{b}", f"+81 90-{a}-{b}", f"0120-{c}-{digits(chance, 3)}"),
        "USA": (f"{area}.555.{a}", f"({area}) {c}-{a}", f"{area}-{c}-{a}", f"+1 {area} {c} {a}", f"1-{area}-{c}-{a}", f"{area} {c} {a}"),
        "China": (f"138{two}", f"139 {a} {b}", f"+86 186 {a} {b}", f"186-{a}-{b}"),
        "Germany": (f"0176 {two}", f"+49 151 {two}", f"030 {two}", f"0171/{two[:7]}", f"0049 176 {two}"),
        "France": (f"06 {pairs}", f"+33 6 {pairs}", f"07.{pairs.replace(' ', '.')}", f"01 {pairs}", f"06{two}"),
        "UK": (f"07700 {two[:6]}", f"+44 7911 {two[:6]}", f"020 7946 {a}", f"07{c} {two[:6]}", f"07911{two[:6]}"),
        "Spain": (f"+34 612 {two[:3]} {two[3:6]}", f"612 {two[:2]} {two[2:4]} {two[4:6]}", f"+34 6{two}", f"655 {two[:3]} {two[3:6]}"),
        "Brazil": (f"+55 11 9{a}-{b}", f"(11) 9{a}-{b}", f"(21) 9 {a}-{b}"),
        "Italy": (f"+39 347 {two[:3]} {a}", f"347 {two[:7]}", f"+39 347{two[:7]}"),
        "Turkey": (f"0532 {c} {two[:2]} {two[2:4]}", f"+90 532 {c} {two[:2]} {two[2:4]}"),
        "Indonesia": (f"0812-{a}-{b}", f"+62 812-{a}-{b}", f"0812{two}"),
        "Russia": (f"+7 916 {c}-{two[:2]}-{two[2:4]}", f"8 (916) {c}-{two[:2]}-{two[2:4]}", f"8916{two[:7]}"),
        "Mexico": (f"+52 55 {a} {b}", f"+52 1 55 {a} {b}"),
        "India": (f"+91 98{two[:3]} {two[3:8]}", f"98{two[:3]} {two[3:8]}", f"+9198{two}"),
    }  # fmt: skip
    land = chance.choice(list(ways))
    sentences = JAPANESE_PHONE if land == "Japan" and chance.random() < 0.6 else ENGLISH_PHONE
    return one_of(chance, "phones, abroad", land, sentences, chance.choice(ways[land]))


def mails(chance: random.Random) -> Sentence:
    name, host = (
        chance.choice(MAIL_NAMES),
        chance.choice(
            (
                "gmail.com",
                "naver.com",
                "hanmail.net",
                "daum.net",
                "outlook.com",
                "kakao.com",
                "yahoo.co.jp",
                "snu.ac.kr",
                "web.de",
            )
        ),
    )
    first, last = host.split(".", 1)
    spelled = f"{name} at {first} dot {last}"
    ways = {
        "plain": f"{name}@{host}", "spaces": f"{name} @ {host}", "at dot": spelled, "brackets": f"{name}(at){first}(dot){last}",
        "square": f"{name} [at] {first} [dot] {last}", "Korean at": f"{name}골뱅이{host}", "Korean at spaced": f"{name} 골뱅이 {first} 점 {last}",
        "Hangul domain": f"{name}@{chance.choice(('회사.한국', '우리가게.com', '학교.한국'))}", "Hangul host": f"{name}@{chance.choice(('네이버', '네이버.com', '지메일', '다음', '한메일.net'))}",
        "capitals": f"{name}@{host}".upper(), "plus": f"{name}+shop@{host}", "full width": f"{name}＠{host}", "mailto": f"mailto:{name}@{host}",
    }  # fmt: skip
    way = chance.choice(list(ways))
    sentences = "메일 주소 {}|{} 로 보내줘|{}|이메일: {}|send it to {} please|my email is {}|メールは{}です|{}으로 파일 좀|자료는 {} 여기로요"
    return one_of(chance, "mails", way, sentences, ways[way], name)


def messenger_ids(chance: random.Random) -> Sentence:
    one = chance.choice(IDS) + chance.choice(("", digits(chance, 2)))
    korean = "카톡 아이디 {}|카톡아이디는 {}|카톡 id: {}|카톡 {} 추가해줘|인스타 {}|인스타 아이디 {}야|인스타 {} 팔로우 ㄱㄱ|인스타@{} 팔로우해|인스타그램 {} 이에요|내 인스타 {}|라인 아이디 {}|라인 id {}|텔레 {}|텔레그램 {}로 연락|트위터 {}|디코 {}|디스코드 아이디 {}|카카오톡 ID {} 입니다|틱톡 {} 맞팔|insta {}|아이디: {}|스냅챗 {}|위챗 {}|페북 {}|깃허브 {}|게임 아이디 {}|카톡친추 {}|ㅋㅌ {}|옾챗말고 카톡 {}"
    english = "my insta is {}|follow me on instagram {}|ig: {}|add me on snapchat {}|snap {}|telegram {}|discord is {}|my twitter is {}|kakao id {}|line id: {}|wechat {}|insta @{}|find me on tiktok as {}|my username is {}|skype: {}|IG {} dm me|@{} on twitter|signal id {}|psn {}|steam id {}"
    japanese = "インスタ {}|LINE ID {}|ラインのIDは{}です|インスタのアカウント {}|ツイッター {}|カカオのID：{}|ディスコ {}|IDは{}"
    way, sentences = chance.choice(
        (("Korean", korean), ("Korean", korean), ("English", english), ("Japanese", japanese))
    )
    return one_of(chance, "IDs of messengers", way, sentences, one)


def plates(chance: random.Random) -> Sentence:
    two, three, four, letter = (
        digits(chance, 2),
        digits(chance, 3),
        digits(chance, 4),
        chance.choice("가나다라마거너더러머고노도로모구누두루무버서어저하허호바사아자"),
    )
    ways = {
        "new": f"{three}{letter}{four}", "old": f"{two}{letter}{four}", "spaced": f"{three}{letter} {four}", "all spaced": f"{two} {letter} {four}",
        "place": f"{chance.choice(('서울', '경기', '부산', '인천'))} {two}{letter}{four}", "dash": f"{two}{letter}-{four}", "place glued": f"서울{two}{letter}{four}",
    }  # fmt: skip
    way = chance.choice(list(ways))
    sentences = "차번호 {}|{} 차 빼주세요|{}|우리차 {} 인데요|{} 차주분|주차등록 {} 부탁드려요|택시 {} 탔어|차량번호: {}|{} 검은색 소나타|번호판 {}임"
    if chance.random() < 0.12:
        plate = chance.choice(
            (
                f"B-{chance.choice('MKX')}W {four}",
                f"AB{two} CDE",
                f"7{chance.choice('ABC')}XY{three}",
                f"品川 {three} さ {two}-{digits(chance, 2)}",
            )
        )
        return one_of(
            chance,
            "licence plates",
            "abroad",
            "license plate {}|my plate is {}|number plate {} thanks|ナンバーは {}",
            plate,
        )
    return one_of(chance, "licence plates", way, sentences, ways[way])


def addresses_of_networks(chance: random.Random) -> Sentence:
    four = f"{chance.choice((192, 112, 121, 203, 58))}.{chance.randint(1, 254)}.{chance.randint(1, 254)}.{chance.randint(1, 254)}"
    six = f"2001:db8:{chance.randint(4096, 65535):x}::{chance.randint(16, 255):x}:{chance.randint(4096, 65535):x}"
    way, text = chance.choice(
        (
            ("IPv4", four),
            ("IPv4", four),
            ("IPv4, port", f"{four}:{chance.randint(1000, 65535)}"),
            ("IPv4, net", f"{four}/24"),
            ("IPv6", six),
            (
                "IPv6, link",
                f"fe80::{chance.randint(4096, 65535):x}:{chance.randint(4096, 65535):x}:fe{chance.randint(16, 255):x}:{chance.randint(4096, 65535):x}",
            ),
        )
    )
    return one_of(
        chance,
        "IP addresses",
        way,
        "아이피 {}|{} 로 접속해|서버 {}|my ip is {}|ping {} fails|{}|공유기 주소 {}야|ssh root@{}|IPは{}です|{} 막힘",
        text,
        four if text.startswith(four) else text,
    )


def secrets(chance: random.Random) -> Sentence:
    word = chance.choice(("sunny", "Dodam", "qwer", "love", "Passw0rd", "kitty"))
    door = chance.choice(
        (
            f"{digits(chance, 4)}#",
            f"#{digits(chance, 4)}",
            f"*{digits(chance, 4)}*",
            digits(chance, 4),
            digits(chance, 6),
            f"{digits(chance, 4)}*",
            f"종 {digits(chance, 4)} 종",
            f"{digits(chance, 4)}별",
        )
    )
    password = chance.choice(
        (
            f"{word}{digits(chance, 3)}!",
            f"{word}{digits(chance, 4)}",
            f"{word}_{digits(chance, 2)}@",
            f"!{word}{digits(chance, 2)}",
        )
    )
    korean_door = "비번 {}|현관비번 {}|현관 비밀번호 {}이야|도어락 비번은 {}|비번은 {} 누르고 들어와|공동현관 {}|집 비번 {}임|문 비밀번호: {}|비밀번호가 {} 맞나?|비번 {} 이거 맞아?|비번 바꿨어 {}|현관 {}|도어락 {}|출입문 비번 {}|{} 이 비번이야"
    korean_word = "와이파이 비번 {}|비밀번호는 {}|비번 {}|와파 비번: {}|넷플 비번 {}야|패스워드 {}|계정 비번이 {}임|비번= {}|임시비번 {}|암호는 {}|pw {}|PW: {}|비번은요 {}"
    english = "password is {}|password: {}|the wifi password is {}|pw: {}|pass {}|my password's {}|pwd {}|passcode {}|netflix password {}"
    english_door = "PIN {}|my pin is {}|door code is {}|gate code: {}|the code for the door is {}|pin code {}|entry code {}|PIN: {}|alarm code {}|the key box is {}"
    japanese = "パスワードは{}です|暗証番号 {}|パスワード：{}|暗証番号は{}|WiFiのパス {}|オートロックの番号 {}"
    simple = digits(chance, chance.choice((4, 6)))
    way, sentences, text = chance.choice(
        (
            ("Korean door", korean_door, door),
            ("Korean door", korean_door, door),
            ("Korean word", korean_word, password),
            ("English word", english, password),
            ("English door", english_door, simple),
            ("Japanese", japanese, chance.choice((simple, password))),
        )
    )
    shown = (
        "".join(letter for letter in text if letter.isalnum() and letter not in "종별")
        if way == "Korean door"
        else text
    )
    return one_of(chance, "passwords and door codes", way, sentences, text, shown)
