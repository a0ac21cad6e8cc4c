"""People's data on paper: birth dates, passports, licences, addresses, accounts, cards; and links."""

# ruff: noqa: E501, SIM905 (the sentences are to be read, and edited, as text)

from __future__ import annotations

import random

from benchmarks.planted.numbers import Sentence, digits, one_of


def births(chance: random.Random) -> Sentence:
    year, month, day = chance.randint(1955, 2012), chance.randint(1, 12), chance.randint(10, 28)
    short = f"{year % 100:02}"
    name = (
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    )[month - 1]
    korean = (
        f"{year}년 {month}월 {day}일",
        f"{short}년 {month}월 {day}일",
        f"{year}.{month}.{day}",
        f"{short}.{month:02}.{day}",
        f"{short}{month:02}{day}",
        f"{year}-{month:02}-{day}",
        f"{month}월 {day}일",
        f"{year}{month:02}{day}",
        f"{short}/{month:02}/{day}",
        f"{short}년생 {month}월 {day}일",
        f"{year}. {month}. {day}.",
        f"{month}/{day}",
    )
    english = (
        f"{name} {day}, {year}",
        f"{day} {name} {year}",
        f"{month:02}/{day}/{year}",
        f"{day}.{month:02}.{year}",
        f"{year}-{month:02}-{day}",
        f"{name} {day}th",
        f"{name[:3]} {day} {year}",
        f"{month}/{day}/{short}",
        f"the {day}th of {name} {year}",
    )
    japanese = (
        f"{year}年{month}月{day}日",
        f"{month}月{day}日",
        f"平成{chance.randint(2, 20)}年{month}月{day}日",
        f"昭和{chance.randint(40, 63)}年{month}月{day}日",
        f"{year}/{month}/{day}",
    )
    way = chance.choice(("Korean", "Korean", "English", "Japanese"))
    texts, sentences = {
        "Korean": (korean, "생일 {}|내 생일은 {}이야|생년월일 {}|생년월일: {}|생일이 {}이래|제 생년월일은 {} 입니다|{} 생일이야|{}에 태어났어|{}생입니다|생일 언제? {}|주민 앞자리 {}|{} 출생|생신이 {}이셔"),
        "English": (english, "my birthday is {}|born on {}|date of birth: {}|DOB {}|dob: {}|I was born {}|her bday is {}|birth date {}|his birthday's {}"),
        "Japanese": (japanese, "誕生日は{}です|生年月日：{}|{}生まれです|生年月日 {}|誕生日{}だよ"),
    }[way]  # fmt: skip
    text = chance.choice(texts)
    return one_of(chance, "birth dates", way, sentences, text)


def documents(chance: random.Random) -> Sentence:
    letter, two, six, eight = chance.choice("MSRGD"), digits(chance, 2), digits(chance, 6), digits(chance, 8)
    passports = (
        f"M{eight}",
        f"{letter}{eight}",
        f"M{digits(chance, 3)}A{digits(chance, 4)}",
        f"m{eight}",
        f"M {eight}",
        f"{letter}-{eight}",
    )
    if chance.random() < 0.5:
        way = chance.choice(("Korean", "English", "Japanese"))
        text = chance.choice(
            {
                "Korean": passports,
                "English": (*passports, digits(chance, 9), f"C01X{digits(chance, 5)}"),
                "Japanese": (f"TK{digits(chance, 7)}", f"TZ{digits(chance, 7)}"),
            }[way]
        )
        sentences = {
            "Korean": "여권 {}|여권번호 {}|여권번호는 {}입니다|여권 번호: {}|{} 이게 내 여권번호|여권넘버 {}",
            "English": "passport {}|passport number is {}|passport no. {}|my passport: {}|passport # {}",
            "Japanese": "パスポート {}|旅券番号は{}です|パスポート番号：{}|パスポートNo. {}",
        }[way]
        return one_of(chance, "passports", way, sentences, text)
    way = chance.choice(("Korean", "Korean", "English", "Japanese"))
    area = chance.choice(("11", "13", "21", "26", "서울", "경기"))
    korean = (
        f"{area}-{two}-{six}-{digits(chance, 2)}",
        f"{area} {two} {six} {digits(chance, 2)}",
        f"11{two}{six}{digits(chance, 2)}",
        f"{area}-{two}-{six}",
    )
    text = {
        "Korean": chance.choice(korean),
        "English": chance.choice(
            (
                f"D{digits(chance, 7)}",
                f"{letter}{digits(chance, 3)}-{digits(chance, 4)}-{digits(chance, 4)}",
                digits(chance, 9),
            )
        ),
        "Japanese": digits(chance, 12),
    }[way]
    sentences = {
        "Korean": "면허 {}|면허번호 {}|운전면허 {} 입니다|운전면허번호: {}|면허증 번호가 {}",
        "English": "driver's license {}|driving licence number {}|license no {}|DL: {}|drivers license # {}",
        "Japanese": "免許証番号 {}|免許番号は{}です|運転免許証：{}",
    }[way]
    return one_of(chance, "driver's licences", way, sentences, text)


def korean_addresses(chance: random.Random) -> Sentence:
    road = chance.choice(
        "테헤란로 강남대로 매봉산로 월드컵북로 삼성로 동탄대로 해운대로 봉은사로 성수이로 한강대로 은행나무로 새싹로".split()
    )
    lane = chance.choice(("", "", f"{chance.randint(2, 98)}길"))
    place = chance.choice(
        (
            "서울시 강남구",
            "서울 마포구",
            "경기도 수원시 영통구",
            "부산 해운대구",
            "대전광역시 유성구",
            "강남구",
            "성남시 분당구",
        )
    )
    number = f"{chance.randint(11, 420)}" + chance.choice(("", "", f"-{chance.randint(1, 30)}"))
    town = chance.choice(("매탄동", "역삼동", "망원동", "우동", "봉명동", "정자동"))
    flat = chance.choice(
        (
            "",
            f" {chance.randint(101, 120)}동 {chance.randint(101, 2504)}호",
            f" {chance.randint(2, 12)}층",
            f", {chance.randint(101, 909)}호",
        )
    )
    ways = {
        "road": f"{road}{lane} {number}", "road with place": f"{place} {road}{lane} {number}", "road with flat": f"{place} {road}{lane} {number}{flat}",
        "road glued": f"{road}{lane}{number}", "번지": f"{place} {town} {number}번지", "lot": f"{place} {town} {number}", "beon-gil": f"{road}{chance.randint(10, 99)}번길 {number}",
    }  # fmt: skip
    way = chance.choice(list(ways))
    core = {"road glued": f"{road}{lane}{number}", "번지": f"{town} {number}", "lot": f"{town} {number}"}.get(
        way, ways[way].split(road)[-1]
    )
    flats = (flat.strip(" ,"),) if flat and way == "road with flat" else ()
    sentences = "{} 로 와|주소 {}|집주소는 {}야|우리집 {}|{}|택배 {}로 보내주세요|배송지: {}|{} 근처야|{}에 살아|{} 앞에서 만나|회사는 {}"
    core = (
        core
        if core in ways[way] and road not in ways[way]
        else ways[way][ways[way].index(road) :]
        if road in ways[way]
        else core
    )
    return one_of(chance, "addresses, Korea", way, sentences, ways[way], core.removesuffix(flat), *flats)


def foreign_addresses(chance: random.Random) -> Sentence:
    number, name = (
        chance.randint(11, 990),
        chance.choice(("Maple", "Elm", "Oakwood", "Station", "Sunset", "Victoria", "Mill", "King's", "Park", "W 42nd")),
    )
    street = chance.choice(("Street", "St", "Avenue", "Ave", "Road", "Rd", "Lane", "Drive", "Blvd", "Court", "St."))
    zone = chance.choice(
        (
            "",
            f", Apt {chance.randint(2, 40)}",
            f", Springfield, IL {digits(chance, 5)}",
            f", London SW{chance.randint(1, 9)}A {chance.randint(1, 9)}AA",
            f" #{chance.randint(2, 40)}{chance.choice('AB')}",
        )
    )
    japanese = (
        f"東京都渋谷区神南{chance.randint(1, 3)}-{chance.randint(1, 20)}-{chance.randint(1, 20)}",
        f"大阪市北区梅田{chance.randint(1, 3)}丁目{chance.randint(1, 12)}番{chance.randint(1, 20)}号",
        f"横浜市西区みなとみらい{chance.randint(1, 6)}-{chance.randint(1, 9)}",
        f"新宿区西新宿{chance.randint(1, 8)}丁目{chance.randint(1, 20)}-{chance.randint(1, 20)}",
    )
    if chance.random() < 0.35:
        text = chance.choice(japanese)
        return one_of(
            chance,
            "addresses, abroad",
            "Japanese",
            "住所は{}です|{}に住んでる|{}|届け先：{}|{}まで来て",
            text,
            text.lstrip("東京都大阪市横浜新宿区渋谷北西"),
        )
    text = f"{number} {name} {street}"
    return one_of(
        chance,
        "addresses, abroad",
        "English",
        "I live at {}|{}|send it to {}|my address is {}|come to {} at 8|ship to: {}|we moved to {}|the house at {}",
        text + zone,
        text,
    )


def accounts(chance: random.Random) -> Sentence:
    bank = chance.choice(
        "국민 신한 우리 하나 농협 기업 카카오뱅크 카뱅 토스뱅크 토스 새마을 새마을금고 신협 우체국 케이뱅크 SC제일 씨티 부산은행 대구은행 국민은행 수협 광주은행 전북은행 경남은행 제주은행 산업은행 농협은행 하나은행 저축은행 iM뱅크 KB NH IBK 삼성증권 미래에셋".split()
    )
    a, b, c, d = (digits(chance, count) for count in (3, 6, 2, 4))
    number = chance.choice(
        (
            f"{a}-{b}-{c}-{a}",
            f"{a}-{c}-{b}",
            f"{d}-{c}-{b}{c[0]}",
            f"{a}{b}{d}",
            f"{a} {b} {c}{a}",
            f"{d}-{d}-{d}-{c[0]}",
            f"{b}-{c}-{b}",
            f"{a}-{d}-{d}-{c}",
        )
    )
    text, sentences = chance.choice(
        (
            (
                f"{bank} {number}",
                "{}|{} 입금해줘|계좌 {}|{} 으로 보내|{} 예금주 나|계좌번호 {} 입니다|회비는 {} 로|{} 3만원",
            ),
            (f"{number} {bank}", "{}|{} 여기로 부쳐|계좌 {}|{}로 2만원 보내줘"),
            (f"{bank}{number}", "{}|{}로 보내줘"),
            (f"{number}", "계좌번호 {}|계좌: {}|내 계좌 {}야|입금은 {}로"),
        )
    )
    if chance.random() < 0.15:
        iban = chance.choice(
            (
                f"DE89 3704 0044 {d} {digits(chance, 4)} 00",
                f"GB29NWBK{digits(chance, 8)}{digits(chance, 6)}",
                f"FR76{digits(chance, 10)}{digits(chance, 13)}",
            )
        )
        return one_of(chance, "accounts", "IBAN", "IBAN {}|my iban: {}|please transfer to {}|{}", iban)
    return one_of(chance, "accounts", "Korean", sentences, text, number)


def registrations(chance: random.Random) -> Sentence:
    birth = f"{chance.randint(55, 99)}{chance.randint(1, 12):02}{chance.randint(10, 28)}"
    last = chance.choice("1234") + digits(chance, 6)
    text = chance.choice(
        (
            f"{birth}-{last}",
            f"{birth} {last}",
            f"{birth}{last}",
            f"{birth}-{last[0]}******",
            f"{birth}-*******",
            f"{birth} - {last}",
            f"{birth}-{last[0]}●●●●●●",
            f"{birth}-{last[0]}xxxxxx",
            f"{birth}–{last}",
            f"{birth}-{last[0]}",
        )
    )
    way = "starred" if "*" in text or "●" in text or "x" in text else "cut" if text.endswith(f"-{last[0]}") else "whole"
    sentences = "주민번호 {}|주민등록번호 {} 입니다|주민번호는 {}야|주민: {}|민번 {}" + (
        "" if text[-1] == "*" or way != "whole" else "|{}|{} 보험 가입용"
    )
    return one_of(chance, "registration numbers", way, sentences, text, birth)


def cards(chance: random.Random) -> Sentence:
    number = chance.choice(("4", "5", "9410")) + digits(chance, 14)
    number = number[:15]
    total = sum(sum(divmod(int(digit) * (2 if position % 2 == 0 else 1), 10)) for position, digit in enumerate(number))
    number += str(-total % 10)
    fours = [number[i : i + 4] for i in range(0, 16, 4)]
    way, text = chance.choice(
        (
            ("dashes", "-".join(fours)),
            ("spaces", " ".join(fours)),
            ("none", number),
            ("dots", ".".join(fours)),
            ("starred", f"{fours[0]}-{fours[1]}-****-{fours[3]}"),
        )
    )
    return one_of(
        chance,
        "cards",
        way,
        "카드번호 {}|{} 유효기간 09/28|카드 {} 로 결제|card number {}|{}|my visa is {}|カード番号は{}です",
        text,
        fours[0] + text[4:5] + fours[1] if way != "none" else number,
    )


def links(chance: random.Random) -> Sentence:
    tail = "".join(chance.choice("abcdefghkmnpqrstuvw") for _ in range(7))
    text = chance.choice(
        (
            f"https://open.kakao.com/o/{tail}",
            f"http://{tail}.com/a?b=1",
            f"www.{tail}.co.kr",
            f"https://youtu.be/{tail}",
            f"naver.me/{tail}",
            f"bit.ly/{tail}",
            f"instagram.com/{tail}",
            f"https://t.me/{tail}",
            f"HTTPS://{tail}.NET/X",
            f"blog.naver.com/{tail}",
            f"{tail}.tistory.com",
            f"t.me/{tail}",
            f"https://{tail}.한국/길",
        )
    )
    return one_of(
        chance,
        "links",
        "with a scheme" if "://" in text.lower() else "bare",
        "{}|이거 봐 {}|{} 여기서 신청|look {}|{} this one|링크 {} 임|これ {}",
        text,
        tail,
    )
