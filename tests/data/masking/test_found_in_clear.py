"""People's data and people that benchmarks/planted found in clear, and what is like them and is nobody's."""

import pytest

from data.formats.app_lines import people_named
from data.masking.cleaning import clean
from data.masking.names import name_pattern


@pytest.mark.parametrize(
    ("message", "cleaned"),
    [
        ("인스타 tombeckr 팔로우", "인스타 <ID> 팔로우"),
        ("my insta is tombeckr", "my insta is <ID>"),
        ("find me on tiktok as loveme88", "find me on tiktok as <ID>"),
        ("카톡친추 seoha1004", "카톡친추 <ID>"),
        ("IDはyui_chan22です", "idは<ID>です"),
        ("インスタ tombeckr", "インスタ <ID>"),
        ("0412# 이 비번이야", "<ID> 이 비번이야"),
        ("현관 종 3857 종", "현관 <ID>"),
        ("비번은요 !qwer42~", "비번은요 <ID>"),
        ("alarm code 7016!", "alarm code <ID>"),
        ("the code for the door is 851973", "the code for the door is <ID>"),
        ("pass kitty3859 ok", "pass <ID> ok"),
        ("my password's kitty_97@", "my password's <ID>"),
        ("WiFiのパス love477!", "wifiのパス <ID>"),
        ("현관비번 268745...", "현관비번 <ID>..."),
        ("비번 sunny18 시간 되면 와", "비번 <ID> 시간 되면 와"),
        ("DOB 4/18/62", "dob <ID>"),
        ("her bday is the 16th of August 2011", "her bday is <ID>"),
        ("昭和51年5月24日生まれです", "<ID>生まれです"),
        ("誕生日は平成2年1月3日", "誕生日は<ID>"),
        ("68년생 4월 18일생입니다", "<ID>생입니다"),
        ("3월 23일 생일이야", "<ID> 생일이야"),
        ("1997. 12. 20.에 태어났어", "<ID>.에 태어났어"),
        ("주민 앞자리 840416", "주민 앞자리 <ID>"),
        ("생일 언제? 5/26", "생일 언제? <ID>"),
        ("카드 9410-2208-****-4586 로 결제", "카드 <CARD> 로 결제"),
        ("5446 73** **** 3599", "<CARD>"),
        ("drivers license # 813357902", "drivers license # <ID>"),
        ("DL: D6792064", "dl: <ID>"),
        ("면허번호 경기-14-928284", "면허번호 <ID>"),
        ("면허 26-43-335397", "면허 <ID>"),
        ("면허 경기 87 213566 91", "면허 <ID>"),
        ("여권 M 34814728", "여권 <ID>"),
        ("M-67821163 이게 내 여권번호", "<ID> 이게 내 여권번호"),
        ("passport number is C01X29163", "passport number is <ID>"),
        ("민번 911219-2", "민번 <ID>"),
        ("주차등록 71무-7675", "주차등록 <ID>"),
        ("차번호 48 다 5590", "차번호 <ID>"),
        ("811누 4456 차주분", "<ID> 차주분"),
        ("96버1515 만나는 사람", "<ID> 만나는 사람"),
        ("license plate AB74 CDE", "license plate <ID>"),
        ("ナンバーは 品川 934 さ 81-21", "ナンバーは <ID>"),
        ("h.sora90 골뱅이 snu 점 ac.kr", "<EMAIL>"),
        ("tomb 골뱅이 web 점 de", "<EMAIL>"),
        ("010에 6816-7734", "010에 <PHONE>"),
        ("내 번호 8547-2537", "내 번호 <PHONE>"),
        ("(21) 9 7252-2525", "<PHONE>"),
        ("98948 96302", "<PHONE>"),
        ("0812-6356-6179 개봉", "<PHONE> 개봉"),
        ("081282500573", "<PHONE>"),
        *(
            (f"a {number} b", "a <PHONE> b")
            for number in (  # as phonenumbers writes those of many countries at home
                "810 13 04 09",
                "(11) 2394-3406",
                "312 091 7650",
                "(0212) 343 48 27",
                "8 (301) 444-84-38",
                "222 198 7843",
                "200-050-5940",
                "081234 63760",
                "074182-87483",
                "06 12377925",
                "078 181 89 48",
                "01 238181124",
                "03112 67922",
                "012-330 8563",
                "0450 07 37 96",
                "03.1230.6766",
                "131.9421.2299",
                "(201)7070012",
                "(11)-96343-2621",
                "01210265244",
                "1-212-193-2675",
            )
        ),
        ("입금은 164-22-745222로", "입금은 <ACCOUNT>로"),
        ("1225-62-9272036 새마을로 보내줘", "<ACCOUNT> 새마을로 보내줘"),
        ("테헤란로 13 로 와", "<ADDRESS> 로 와"),
        ("봉은사로246 근처야", "<ADDRESS> 근처야"),
        ("우리집 봉은사로 254", "우리집 <ADDRESS>"),
        ("we moved to 319 W 42nd St", "we moved to <ADDRESS>"),
        ("501 W 42nd Court", "<ADDRESS>"),
    ],
)
def test_what_words_beside_it_give_away(message: str, cleaned: str) -> None:
    assert clean(message) == cleaned


@pytest.mark.parametrize(
    "message",
    [
        "my insta is private",
        "my discord is broken",
        "on instagram stories",
        "insta reels 봤어",
        "카톡 pc버전 깔아",
        "텔레그램 premium 샀어",
        "인스타 official 계정",
        "디코 ㄱㄱ",
        "line manager called",
        "pass 12 of 20",
        "pass me the salt 24",
        "생일 2번 했어",
        "생일파티 3월에 하자",
        "2/3 정도 남았어",
        "3월 23일 생일파티",
        "면허 따는데 100000원",
        "여권 사진 12장",
        "2000년생 모임",
        "택시 25 도 더 나왔어",
        "주차 3 시간 4000원",
        "20대 1500명",
        "무조건 10시 3000명",
        "9410-2208 이랑",
        "따로10명 왔어",
        "현금으로3000원",
        "바로100 보냄",
        "비행기로12시간",
        "서울로 20 분",
        "계좌 없어",
        "입금 2024-05-01 완료",
        "license to kill 2",
        "pass the 3rd exam, bus pass 2024, pass level 1000",
        "building code 2021",
        "면허 10000000원",
        "여권 123456789원",
        "비번이 4자리야",
        "1000 이 넘는 비번이야 뭐야",
        "09.12.2024 10 30 출발, 01-02-2024 15:30 도착",
        "0123456789 눌러 봐",
        "(2014) 12345678 번째",
        "송장 0412 5566 7788",
    ],
)
def test_what_is_like_it_stays(message: str) -> None:
    assert clean(message) == message.lower()


@pytest.mark.parametrize(
    ("sender", "message", "cleaned"),
    [
        ("임결/98/대전", "임결님 결아 결이랑 @결 이거", "<NAME>님 <NAME>아 <NAME>이랑 <NAME> 이거"),
        ("강찬(팀장)", "찬이한테 찬씨 찬오빠", "<NAME>이한테 <NAME>씨 <NAME>오빠"),
        ("한별", "별아 별이가 별님", "<NAME>아 <NAME>이가 <NAME>님"),
        ("민재", "민재가아니라 민재맞지 헐민재 민재도왔네", "<NAME>가아니라 <NAME>맞지 헐<NAME> <NAME>도왔네"),
        ("임아라", "hey ara, Ara bro", "hey <NAME>, <NAME> bro"),
        ("한시우", "siwoo_m 님 siwoo", "<NAME> 님 <NAME>"),
        ("渡辺翔太", "今日は翔太と来る。翔太が言ってた", "今日は<NAME>と来る。<NAME>が言ってた"),
        ("橋本ひかり", "ひかりさん @ひかり ひかりちゃん", "<NAME>さん <NAME> <NAME>ちゃん"),
        ("森蓮", "蓮くん @蓮 蓮先輩", "<NAME>くん <NAME> <NAME>先輩"),
        ("노을", "노을이네 집 노을이형 뭐해", "<NAME>이네 집 <NAME>이형 뭐해"),
        ("김바다", "바다가 그러는데 바다는 왜 안와 나 바다야", "<NAME>가 그러는데 <NAME>는 왜 안와 나 <NAME>야"),
        ("노진주", "@진주 이거", "<NAME> 이거"),
        ("Ruby Walsh", "ruby hasn't answered", "<NAME> hasn't answered"),
        ("Miles Becket", "miles and I are leaving", "<NAME> and i are leaving"),
        ("Bill Ferris", "has anyone seen bill?", "has anyone seen <NAME>?"),
        ("Holly Wood", "holly: 7pm works", "<NAME>: 7pm works"),
        (
            "Don Harker",
            "is don coming tonight? I'll call don later",
            "is <NAME> coming tonight? i'll call <NAME> later",
        ),
        ("Faith Romero", "let faith know, lol faith", "let <NAME> know, lol <NAME>"),
        ("May Lin", "this is may's number", "this is <NAME>'s number"),
        ("Rob Fischer", "no rob that's not it", "no <NAME> that's not it"),
    ],
)
def test_people_where_grammar_tells_them(sender: str, message: str, cleaned: str) -> None:
    assert clean(message, name_pattern([sender])) == cleaned


@pytest.mark.parametrize(
    ("sender", "message"),
    [
        ("백장미", "장미 한 송이"),
        ("Jade Bishop", "jade necklace, the bishop moves"),
        ("Ginger Blythe", "ginger tea helps"),
        ("Summer Hayes", "summer is here, summer is coming, from summer: sales"),
        ("Hope Sanders", "no hope that's left"),
        ("Bill Ferris", "bill: 40 dollars, the bill is here, call bill collectors"),
        ("한별", "별이 많다"),
        ("백가을", "가을은 왜 안와"),
        ("최준", "준비는 다 했어"),
        ("Art Vance", "the art of cooking"),
        ("이솔", "솔로라서"),
        ("田中希望", "希望がある"),
    ],
)
def test_words_of_their_names_stay(sender: str, message: str) -> None:
    assert clean(message, name_pattern([sender])) == message.lower()


@pytest.mark.parametrize(
    "line",
    [
        "Ivyさんがグループの招待リンクを使用して参加しました",
        "Ivy ist über den Einladungslink dieser Gruppe beigetreten",
        "Ivy si è unita usando il link d'invito di questo gruppo",
    ],
)
def test_who_came_by_a_link_is_named(line: str) -> None:
    assert people_named(line) == ["Ivy"]
