"""Whoever the export names, in every form in which people speak of each other, and words that only look like them."""

import pytest

from data.masking.cleaning import clean
from data.masking.names import name_pattern


def masked(senders: list[str], message: str) -> str:
    """The message cleaned, as it is cased; the same must come out of small letters."""
    return clean(message, name_pattern(senders), lower_case=False)


@pytest.mark.parametrize(
    ("sender", "message", "cleaned"),
    [
        # names that are English words, before what Korean glues to a person
        ("Tom", "안녕 나 Tom이야", "안녕 나 <NAME>이야"),
        ("Tom", "Tom아 밥 먹자", "<NAME>아 밥 먹자"),
        ("Grace", "Grace님 오셨네", "<NAME>님 오셨네"),
        ("Mark", "mark한테 물어봐", "<NAME>한테 물어봐"),
        ("Will", "will이 그랬어", "<NAME>이 그랬어"),
        ("Jun", "jun이랑 may에 보자", "<NAME>이랑 may에 보자"),
        # and in English, where only a person speaks, is called or stands among people
        ("Rose Kim", "Rose said it rose", "<NAME> said it rose"),
        ("Grace", "thanks, grace! by the grace of god", "thanks, <NAME>! by the grace of god"),
        ("Will", "hey will, will you come?", "hey <NAME>, will you come?"),
        ("May", "ask may in may", "ask <NAME> in may"),
        ("Hunter", "then I met Hunter again, a hunter", "then I met <NAME> again, a hunter"),
        ("Summer", "Summer asked me about summer", "<NAME> asked me about summer"),
        ("Bob", "bob is late", "<NAME> is late"),
        # names that are Korean words
        ("김하늘", "하늘이가 하늘이 맑대", "<NAME>이가 하늘이 맑대"),
        ("윤바다", "바다야 바다 가자", "<NAME>야 바다 가자"),
        ("이사랑", "사랑 언니 생일", "<NAME> 언니 생일"),
        ("김하늘", "@하늘 하늘 봐", "<NAME> 하늘 봐"),
        ("오늘", "오늘 뭐해 오늘님", "오늘 뭐해 <NAME>님"),
        ("안녕", "안녕 다들, @안녕 왔어?", "안녕 다들, <NAME> 왔어?"),
        ("우리집", "우리집 와 우리집님", "우리집 와 <NAME>님"),
        # whole display names, in mentions too
        ("박도담/96/수원매탄", "@박도담/96/수원매탄 안녕", "<NAME> 안녕"),
        ("Nora Finch", "@Nora Finch hi", "<NAME> hi"),
        ("도담🌸수원", "@도담🌸수원 안녕", "<NAME> 안녕"),
        ("[3반] 서나율", "@[3반] 서나율 왔다", "<NAME> 왔다"),
        ("서나율(총무)", "@서나율(총무)님", "<NAME>님"),
        # without a space, and of one syllable
        ("서나율", "나율왔다 나율인가봐 나율쓰", "<NAME>왔다 <NAME>인가봐 <NAME>쓰"),
        ("서나율", "나율갔어 나율이쓰 나율어딨어", "<NAME>갔어 <NAME>이쓰 <NAME>어딨어"),
        ("최준", "준아 밥 준이가 사 준 거", "<NAME>아 밥 <NAME>이가 사 준 거"),
        ("박솔", "솔아 솔이한테 솔님", "<NAME>아 <NAME>이한테 <NAME>님"),
        ("김안", "나 안아 줘", "나 안아 줘"),
        # handles
        ("Seoha", "seoha_m 팔로우", "<NAME> 팔로우"),
        ("seoha_m", "seoha 왔어?", "<NAME> 왔어?"),
        ("nayul90", "nayul90 nayul", "<NAME> <NAME>"),
        ("nora_f", "nora_f#0001 왔다", "<NAME> 왔다"),
        ("서나율Nayul", "nayul 왔어 나율아", "<NAME> 왔어 <NAME>아"),
        # romanisations
        ("서나율", "nayul said hi, Seo Nayul", "<NAME> said hi, <NAME>"),
        ("김민준", "minjun, min-joon and Kim Minjoon", "<NAME>, <NAME> and <NAME>"),
        ("Tom", "톰이 왔어 톰아", "<NAME>이 왔어 <NAME>아"),
        # elsewhere
        ("田中太郎", "田中さん、太郎くん", "<NAME>さん、<NAME>くん"),
        ("佐藤 さくら", "さくらちゃん、桜はさくら色", "<NAME>ちゃん、桜はさくら色"),
        ("王小明", "小明你好", "<NAME>你好"),
    ],
)
def test_people_in_every_form(sender: str, message: str, cleaned: str) -> None:
    assert masked([sender, "최도담"], message) == cleaned
    assert clean(message, name_pattern([sender])) == cleaned.lower().replace("<name>", "<NAME>")


@pytest.mark.parametrize(
    ("message", "cleaned"),
    [
        ("나율, 하늘, 바다 셋이 왔어", "<NAME>, <NAME>, <NAME> 셋이 왔어"),
        ("하늘랑 나율이", "<NAME>랑 <NAME>이"),
        ("grace and nora came", "<NAME> and <NAME> came"),
        ("하늘이 맑고 바다가 푸르다", "하늘이 맑고 바다가 푸르다"),
    ],
)
def test_words_in_a_list_of_people_are_people(message: str, cleaned: str) -> None:
    assert masked(["서나율", "김하늘", "윤바다", "Grace Lee", "Nora Finch"], message) == cleaned


@pytest.mark.parametrize(
    "message",
    """
    I will, may I? mark my words by the grace of god|a rose in june, the summer sun rose|in May or on Sun 3 Jun, 10 min
    sunny with a price of 3|he drew a long hill|Central Park, Stephen King, the River Thames
    grace period, will do, may be|오늘 하늘 좋다 바다 가고 싶다 사랑해|하늘 높이 사랑은 바다처럼|let it rise, it is may
    """.replace("\n", "|")
    .strip("| ")
    .split("|"),
)
def test_words_that_are_names_of_senders_stay(message: str) -> None:
    senders = "Will|May|Mark|Grace|Rose|June|Summer|Sun|Min|Sunny|Price|Drew|Hill|Park|King|River|김하늘|윤바다|이사랑"
    assert masked(senders.split("|"), message.strip()) == message.strip()


def test_mentions_with_marks_are_masked_to_their_bounds() -> None:
    assert clean("@\u2068Nora van der Finch\u2069 hi") == "<NAME> hi"
    assert clean("\u200e@\u2068~Ann\u2069, @\u2068+82 10-1234-5678\u2069") == "<NAME>, <NAME>"
    assert clean("<@U01AB2CD3> <@!123456789012345678> hi") == "<NAME> <NAME> hi"
