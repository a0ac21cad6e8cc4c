"""People's data that has no shape of its own, and is told by the words beside it; numbers of other countries."""

import pytest

from data.masking.cleaning import clean


@pytest.mark.parametrize(
    ("message", "cleaned"),
    [
        ("주민번호 900101-1******", "주민번호 <ID>"),
        ("주민 900101-2*** 맞지", "주민 <ID> 맞지"),
        ("900101-1●●●●●● 뒷자리 900101-*******", "<ID> 뒷자리 <ID>"),
        ("인스타@nayul.daily 팔로우해", "인스타<ID> 팔로우해"),
        ("인스타 nayul.daily 팔로우", "인스타 <ID> 팔로우"),
        ("카톡 아이디 nayul_90", "카톡 아이디 <ID>"),
        ("카톡아이디는 nayulkim이야", "카톡아이디는 <ID>이야"),
        ("insta: nora.finch", "insta: <ID>"),
        ("텔레그램 id seoha77 추가해", "텔레그램 id <ID> 추가해"),
        ("my snapchat is nora_f ok", "my snapchat is <ID> ok"),
        ("LINE ID: hanako_88", "line id: <ID>"),
        ("차 번호 123가4567", "차 번호 <ID>"),
        ("12가 3456 차 빼주세요 서울12가3456", "<ID> 차 빼주세요 <ID>"),
        ("生日 생년월일 1990년 3월 5일", "生日 생년월일 <ID>"),
        ("생일은 90.03.05야", "생일은 <ID>야"),
        ("생년월일: 900305", "생년월일: <ID>"),
        ("my birthday is 3/5/1990", "my birthday is <ID>"),
        ("date of birth: March 5, 1990", "date of birth: <ID>"),
        ("生年月日 1990年3月5日", "生年月日 <ID>"),
        ("여권 M12345678", "여권 <ID>"),
        ("passport no. AB1234567", "passport no. <ID>"),
        ("면허 11-12-345678-90", "면허 <ID>"),
        ("운전면허번호 서울 12-345678-90", "운전면허번호 <ID>"),
        ("ssh 203.0.113.77로 들어와", "ssh <ID>로 들어와"),
        ("ip 81.20.30.40 2001:db8::ff00:42:8329", "ip <ID> <ID>"),
        ("현관 비번 1234*", "현관 비번 <ID>"),
        ("비밀번호는 qwer1234!", "비밀번호는 <ID>"),
        ("도어락 *0987#", "도어락 <ID>"),
        ("password: Hunter2!", "password: <ID>"),
        ("와이파이 비번 happy2024야", "와이파이 비번 <ID>야"),
        ("PIN is 4821", "pin is <ID>"),
        ("비번 0412# 이야", "비번 <ID> 이야"),
        ("暗証番号は4821です パスワード：abc123", "暗証番号は<ID>です パスワード：<ID>"),
        ("테헤란로 152로 와", "<ADDRESS>로 와"),
        ("올림픽대로 300, 세종대로 110", "<ADDRESS>, <ADDRESS>"),
        ("경수대로 1234", "<ADDRESS>"),
        ("I live at 221B Baker Street, London", "i live at <ADDRESS>, london"),
        ("12 Rosewood Ave, Apt 4B", "<ADDRESS>"),
        ("come to 1600 Pennsylvania Avenue NW", "come to <ADDRESS>"),
        ("東京都渋谷区神南1-2-3", "<ADDRESS>"),
        ("〒150-0041 大阪市北区梅田3丁目1番3号", "<ADDRESS>"),
        ("090-5555-0101 080 1234 5678 03-1234-5678", "<PHONE> <PHONE> <PHONE>"),
        ("415.555.0132 (415) 555-0132 415 555 0132", "<PHONE> <PHONE> <PHONE>"),
        ("13812345678 138-1234-5678", "<PHONE> <PHONE>"),
        ("0171 2345678 0151/23456789 030 12345678", "<PHONE> <PHONE> <PHONE>"),
        ("06 12 34 56 78 01.23.45.67.89", "<PHONE> <PHONE>"),
        ("07700 900123 020 7946 0958", "<PHONE> <PHONE>"),
        ("llámame al 612 345 678, tel 934567890", "llámame al <PHONE>, tel <PHONE>"),
        ("nayul at naver dot com", "<EMAIL>"),
        ("nora dot finch at gmail dot com!", "<EMAIL>!"),
        ("hong [at] daum [dot] net", "<EMAIL>"),
        ("nayul@회사.한국으로", "<EMAIL>으로"),
        ("kim@우리집.com", "<EMAIL>"),
        ("새마을 9003-1234-5678-9", "새마을 <ACCOUNT>"),
        (
            "케이뱅크 100-123-456789 씨티 123-456789-01 토스 1000-1234-5678",
            "케이뱅크 <ACCOUNT> 씨티 <ACCOUNT> 토스 <ACCOUNT>",
        ),
    ],
)
def test_what_is_told_by_its_words(message: str, cleaned: str) -> None:
    assert clean(message) == cleaned


@pytest.mark.parametrize(
    "message",
    """
    국민 2024-2025-01 우리 2023-2024|생일 축하해 생일이 언제야 생일에 3시까지|비번 까먹었어 비번이 뭐야
    비밀번호 바꿔야 돼
    버전 1.2.3.4 말고|12가지 3456 10가구 2000명|3나 4|인스타 봤어? 인스타에 올려 인스타 라이브 보자
    아이디 뭐야 아이디어 좋다|pin this message|my password is wrong|look at google dot the i
    at noon dot dot|여권 챙겨 면허 따고 싶다|그대로 152 앞으로 30|i live at home, 12 street fighters
    138 1234 경기 0:3|2024.10.15 12.34.56|06 12 월|line id가 뭐야|the pin is stuck|at 3 main reasons
    """.replace("\n", "|")
    .strip("| ")
    .split("|"),
)
def test_what_is_nobodys_data_stays(message: str) -> None:
    assert clean(message.strip()) == message.strip()
