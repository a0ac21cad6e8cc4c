"""Placeholders and people's data: what is found of 20,000 synthetic messages, what is harmless and stays, every format
by itself, and the lists that a user edits."""

import re
from collections import Counter
from pathlib import Path

import pytest

from data.errors import DataError
from data.masking.cleaning import clean
from data.masking.names import mask_names, name_pattern, read_names
from data.masking.tags import with_tags
from tests.synthetic import CORPORA, GIVEN, SURNAMES, Chat, sentences

PEOPLE = re.compile("<(?:NAME|EMAIL|PHONE|ID|CARD|ACCOUNT|ADDRESS)>")
RECALL = {"email": 0.99, "phone": 0.99, "registration number": 0.99, "card": 0.99, "full name": 0.99}
HARMLESS = 1 / 2000  # of the words that are nobody's data may be masked


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text.lower())


def test_planted_data_is_found_and_harmless_words_stay() -> None:
    chat = Chat(seed=20261124)
    names = name_pattern(chat.senders)
    planted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    missed, harmed, words = [], [], 0
    for message in chat.messages(20_000):
        cleaned = clean(message.text, names)
        if message.tag:
            planted[message.kind] += 1
            if message.tag in cleaned and squeezed(message.secret) not in squeezed(cleaned):
                found[message.kind] += 1
            else:
                missed.append((message.kind, message.text, cleaned))
        around = (message.harmless if message.tag else message.text).split()
        words += len(around)
        swallowed = [word for word in around if word not in cleaned and clean(f"x {word}")[2:] not in cleaned]
        too_many = len(PEOPLE.findall(cleaned)) > bool(message.tag)
        harmed += [(message.text, cleaned)] * max(len(swallowed), too_many)
    recall = {kind: found[kind] / count for kind, count in planted.items()}
    for kind, share in recall.items():
        assert share >= RECALL.get(kind, 0.95), (kind, share, [miss for miss in missed if miss[0] == kind][:10])
    assert len(harmed) < HARMLESS * words, harmed[:10]
    assert min(planted.values()) > 500 and words > 50_000, "the generator plants enough of everything"


@pytest.mark.parametrize(("corpus", "lines"), [("chatbot_data.csv", 30_000), ("nsmc-reviews.txt", 20_000)])
def test_hardly_a_word_of_the_corpora_is_taken_for_somebody(corpus: str, lines: int) -> None:
    if not (CORPORA / corpus).exists():
        pytest.skip(f"{corpus} is not beside this repository")
    text = sentences() if corpus.endswith("csv") else (CORPORA / corpus).read_text(encoding="utf-8").splitlines()
    names = name_pattern(SURNAMES[place % len(SURNAMES)] + given for place, given in enumerate(GIVEN[:50]))
    harmed = [line for line in text[:lines] for _ in PEOPLE.findall(clean(line, names))]
    assert len(harmed) < HARMLESS * sum(len(line.split()) for line in text[:lines]), harmed[:20]


@pytest.mark.parametrize(
    ("tag", "messages"),
    [
        (
            "<PHOTO>",
            "사진|사진 12장|Photo|photo|<Photo>|(Photo)|photos|<사진 읽지 않음>|[사진]|[Photo]|\u200eimage omitted"
            "|<Media omitted>|<미디어 파일을 제외한 내보내기>|IMG-20240821-WA0001.jpg (file attached)"
            f"|IMG-1.jpg (파일 첨부됨)|<attached: 00000012-PHOTO-2024-01-01.jpg>|{'0a' * 32}.jpg",
        ),
        ("<MOVIE>", f"동영상|<동영상 읽지 않음>|videos|Video|[Video]|\u200evideo omitted|{'b7' * 32}.mp4"),
        ("<EMOJI>", "이모티콘|(이모티콘)|(emoticon)|Emoticons|[스티커]|[Sticker]|sticker omitted"),
        ("<FILE>", "파일: x.pdf|File: x|[파일]|document omitted|보고서.hwp (file attached)"),
        ("<VOICE>", "음성메시지|Voice Note|[음성 메시지]|audio omitted|PTT-20240821-WA0003.opus (file attached)"),
        (
            "<CALL>",
            "보이스톡 해요|보이스톡 0:17|보이스톡 해요.|페이스톡 해요|페이스톡 1:02:03|그룹콜 해요|라이브톡 시작"
            "|라이브톡 종료|보이스톡 부재중|Voice Call|Video Call|Voice Call 0:17"
            "|Missed voice call|☎ 통화 시간 0:30|☎ Missed call",
        ),
        ("<MONEY>", "30,400원을 받으세요.|30,400원을 보냈어요.|송금 12,000원"),
        ("<POLL>", "톡게시판 '투표': 언제 볼까|POLL:\nwhen?\nOPTION: now (1 vote)"),
        ("<NOTICE>", "톡게시판 '공지': 내일 세 시\n늦지 마세요|톡게시판 '일정': 모임"),
        (
            "<PLACE>",
            "지도|지도: 강남역 2번 출구|[위치 정보]|Live location shared|location: https://maps.google.com/?q=37,126",
        ),
        ("<CONTACT>", "연락처|연락처: 김철수|contact card omitted|김철수.vcf (file attached)"),
        ("<URL>", "샵검색: #내일 날씨|https://naver.me/abc"),
        (
            "",
            "삭제된 메시지입니다.|삭제된 메시지입니다|메시지가 삭제되었습니다.|This message was deleted."
            "|This message was deleted|You deleted this message|관리자가 메시지를 가렸습니다."
            "|채팅방 관리자가 메시지를 가렸습니다.",
        ),
    ],
)
def test_placeholders_of_every_export(tag: str, messages: str) -> None:
    for message in messages.split("|"):
        assert clean(message) == tag, message
        assert clean(message, lower_case=False) == tag, message


@pytest.mark.parametrize(
    ("message", "cleaned"),
    [
        ("사진 좋다", "사진 좋다"),
        ("파일 보냈어", "파일 보냈어"),
        ("보이스톡 해요?", "보이스톡 해요?"),
        ("지도 봐", "지도 봐"),
        ("메시지가 삭제되었습니다. 라고 떠", "메시지가 삭제되었습니다. 라고 떠"),
        ("(이모티콘) 안녕", "<EMOJI> 안녕"),
        ("IMG-20240821-WA0001.jpg (file attached)\n어제 바다", "<PHOTO>\n어제 바다"),
        ("늦을듯 <This message was edited>", "늦을듯"),
    ],
)
def test_what_people_say_of_pictures_stays(message: str, cleaned: str) -> None:
    assert clean(message) == cleaned


@pytest.mark.parametrize(
    ("message", "cleaned"),
    [
        ("abc.d+e@mail.co.kr로 abc@네이버 a1@naver HONG (at) Gmail.com", "<EMAIL>로 <EMAIL> <EMAIL> <EMAIL>"),
        ("hong123골뱅이naver.com hong@naver점com", "<EMAIL> <EMAIL>"),
        ("900101-1234567 9001011234567 900101 - 5234567 000229-3******", "<ID> <ID> <ID> <ID>"),
        ("901301-1234567 900230-1234567", "901301-1234567 900230-1234567"),  # no such day
        ("4111-1111-1111-1111 4111111111111111 3782 822463 10005", "<CARD> <CARD> <CARD>"),
        ("4111-1111-1111-1112", "4111-1111-1111-1112"),  # the checksum is wrong
        (
            "010-1234-5678로 010 1234 5678 01012345678임 (010)1234-5678 010.123.4567",
            "<PHONE>로 <PHONE> <PHONE>임 <PHONE> <PHONE>",
        ),
        ("+82 10-1234-5678 +821012345678 82-10-1234-5678 +82 (0)2 123 4567", "<PHONE> <PHONE> <PHONE> <PHONE>"),
        ("02-123-4567 031)123-4567 0212345678 0507-1234-5678 1588-1234", "<PHONE> <PHONE> <PHONE> <PHONE> <PHONE>"),
        ("+1 415-555-2671 +44 20 7946 0958 +81-90-1234-5678", "<PHONE> <PHONE> <PHONE>"),
        ("+86 138 0013 8000 2024 +86 13800138000 1234", "<PHONE> 2024 <PHONE> 1234"),
        ("+14155552671 2024-10-15 +1 (415) 555-2671 2024년", "<PHONE> 2024-10-15 <PHONE> 2024년"),
        ("+81 90-1234-5678 3시 이후 +1 415 555 2671 30분 뒤에", "<PHONE> 3시 이후 <PHONE> 30분 뒤에"),
        ("+90 532 123 45 67로 +65 8123 4567 010-1234-5678", "<PHONE>로 <PHONE> <PHONE>"),
        ("+62 812-3456-78901 +14155552671만 +44 20 7946 0958 5 6", "<PHONE> <PHONE>만 <PHONE> 5 6"),
        ("공일공 일이삼사 오육칠팔이야 공일공-1234-5678 o1o 1234 5678", "<PHONE>이야 <PHONE> <PHONE>"),
        ("０１０－１２３４－５６７８", "<PHONE>"),
        ("전화번호 1234-5678", "전화번호 <PHONE>"),
        ("국민 123456-12-123456 3333-01-1234567 카뱅", "국민 <ACCOUNT> <ACCOUNT> 카뱅"),
        ("농협 계좌는 3020123456781이야", "농협 계좌는 <ACCOUNT>이야"),
        ("서울시 강남구 테헤란로 152, 12층으로 와", "<ADDRESS>으로 와"),
        ("경기도 성남시 분당구 판교역로146번길 20(백현동)", "<ADDRESS>"),
        ("올림픽로35길 10 역삼동 737-1번지 주소는 양화로 45야", "<ADDRESS> <ADDRESS> 주소는 <ADDRESS>야"),
        ("부산 해운대구 우동 1408, 101동 1203호", "<ADDRESS>"),
    ],
)
def test_personal_data_of_every_shape(message: str, cleaned: str) -> None:
    assert clean(message) == cleaned


@pytest.mark.parametrize(
    "message",
    """
    1,234,567원 1000000원 3만5천원 $12.99 1588-1592년 1910-1945 2019-2023|오후 3:30 14:00~15:30 20241015
    2024-10-15 14:30:25|3:2 21-19 5대 4 1+1 10박스 20개입 +30000000원
    주문번호 2024101512345678 운송장 6123-4567-8901 송장번호 123456789012
    192.168.0.1 3.14159265358979 37.566535, 126.977969|우리은행 앞에서 3시 30분 하나 12개 2000원 국민은행 2번 창구
    앞으로 3년 별로 5점 그대로 2개 바로 3층 서울 위로 3칸 다시 회사로 3시까지 서울 가는길 30분 종로3가 을지로 4가에서
    인구 51740000명 조회수 1234567890회 010번 버스|내공1000000000단 검색어1위가 7번지의선물
    010 영화 공일공 이일공 영일만 구일 오이 이십오
    3개@1000원 @ 5시 a @ b 사랑@행복@
    """.replace("\n", "|")
    .strip("| ")
    .split("|"),
)
def test_numbers_of_nobody_stay(message: str) -> None:
    assert clean(message) == " ".join(message.split())


@pytest.mark.parametrize(
    ("message", "cleaned"),
    [
        ("https://map.kakao.com/link/map/우리집,37.402056,127.108212 로 와", "<URL> 로 와"),
        ("https://m.a.com/s?query=김철수&id=hong123 https://m.a.com/s?query=김철수", "<URL> <URL>"),
        ("https://네이버.한국/a ftp://김철수:비번@host.com/ www.네이버.com", "<URL> <URL> <URL>"),
        ("t.me/minji_kim naver.me/xAbC12 kko.to/AbCdEf1 forms.gle/abc", "<URL> <URL> <URL> <URL>"),
        (
            "https://a.kr/b에서, https://a.kr/에서... a.com/b랑 (https://a.kr/b)는",
            "<URL>에서, <URL>에서... <URL>랑 (<URL>)는",
        ),
        ("https://a.kr/b랑https://c.kr a.com/블로그/김철수", "<URL>랑<URL> <URL>"),
        ("and/or 1.5m/s e.g./i.e. 3.5/5 그.그/그", "and/or 1.5m/s e.g./i.e. 3.5/5 그.그/그"),
    ],
)
def test_links_are_masked_to_their_end(message: str, cleaned: str) -> None:
    assert clean(message) == cleaned


SENDERS = [
    *(
        "김철수",
        "남궁민수 팀장",
        "박솔",
        "민준❤️(회사)",
        "분당/영희/85",
        "[대리] 박지훈",
        "정우형",
        "민지맘",
        "강지우",
        "서울 사는 곰",
    ),
    *("John Smith", "~Jane", "Will Turner", "May", "+82 10-1234-5678", "田中太郎", "Иван", "Zoë"),
]


@pytest.mark.parametrize(
    ("message", "cleaned"),
    [
        ("철수야빨리와 우리철수가 철수네집 철수생일", "<NAME>야빨리와 우리<NAME>가 <NAME>네집 <NAME>생일"),
        ("민준이한테 민준이 민준 박민준 민준이가요", "<NAME>이한테 <NAME>이 <NAME> <NAME> <NAME>이가요"),
        ("@철수 @홍길동님 @minji_k @821012345678 @all @강남역", "<NAME> <NAME>님 <NAME> <NAME> @all @강남역"),
        ("영희랑 김영희는 분당에서", "<NAME>랑 <NAME>는 분당에서"),
        ("지훈쌤 지훈대리님 정우야 정우형 민지야", "<NAME>쌤 <NAME>대리님 <NAME>야 <NAME> <NAME>야"),
        ("글을 지우고 지우면 지우야 지우랑", "글을 지우고 지우면 <NAME>야 <NAME>랑"),
        ("부대가 철수 중 최고의 영호ㅓ", "부대가 철수 중 최고의 영호ㅓ"),
        ("서울 사는 곰님은 서울 살아", "<NAME>님은 서울 살아"),
        ("JOHN said John's Smith johnny", "<NAME> said <NAME>'s <NAME> johnny"),
        ("I will, may I? Will Turner jane이랑", "I will, may I? <NAME> <NAME>이랑"),
        ("田中太郎さん", "<NAME>さん"),
        ("Иван и Ивана, Диван Иван이랑 zoë야 azoë", "<NAME> и <NAME>а, Диван <NAME>이랑 <NAME>야 azoë"),
    ],
)
def test_names_in_any_case(message: str, cleaned: str) -> None:
    names = name_pattern(SENDERS)
    assert clean(message, names, lower_case=False) == cleaned
    assert clean(message, names) == cleaned.lower().replace("<name>", "<NAME>")


def test_case_is_kept_or_lowered() -> None:
    text = "HELLO 😀 Www.Naver.com <Name> A@B.com"
    assert clean(text) == "hello <EMOJI> <URL> name <EMAIL>"
    assert clean(text, lower_case=False) == "HELLO <EMOJI> <URL> Name <EMAIL>"


def test_lists_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "aliases.txt").write_text("# friends\n하늘  # also a word\n곰돌이\n\nBear\n", encoding="utf-8-sig")
    (tmp_path / "not-names.txt").write_text("철수\npark\n", encoding="utf-8")
    aliases, kept = read_names(tmp_path / "aliases.txt"), read_names(tmp_path / "not-names.txt")
    assert (aliases, kept, read_names(tmp_path / "none.txt")) == (["하늘", "곰돌이", "bear"], ["철수", "park"], [])
    names = name_pattern(["김철수", "Chan Park"], aliases, kept)
    masked = with_tags(mask_names("하늘이 맑다 곰돌이랑 BEAR 철수가 김철수는 chan은 Park에서", names))
    assert masked == "<NAME>이 맑다 <NAME>랑 <NAME> 철수가 <NAME>는 <NAME>은 Park에서"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("철수\n영희, 민수\n".encode(), "line 2: '영희, 민수' is no name; write one name a line"),
        (b"\n12345\n", "line 2: '12345' is no name"),
        ("이름\n".encode() + b"\xff\xfe", "line 2: is not UTF-8 text"),
    ],
)
def test_bad_line_in_a_list_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "aliases.txt"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_names(path)
    assert str(caught.value).startswith(f"{path}, line ") and told in str(caught.value)
