"""People who write, and sentences in which others name them, as in chats in Korean, English and Japanese."""

# ruff: noqa: E501, SIM905 (the sentences are to be read, and edited, as text)

from __future__ import annotations

import random
from dataclasses import dataclass

from benchmarks.planted.pieces import Plant, filled, plant

# `surname given`, and how the given name is written in Latin letters where people write it so.
KOREAN = (
    "서 나율 nayul|박 도담 dodam|김 민수 minsu|이 지훈 jihoon|최 서연 seoyeon|정 유진 yujin|강 태오 taeo|조 은채 eunchae|"
    "윤 시우 siwoo|장 하람 haram|임 아라 ara|한 도현 dohyun|오 세린 serin|신 예준 yejun|권 다온 daon|황 지안 jian|"
    "남궁 민재 minjae|선우 채린 chaerin|황보 건우 gunwoo|배 수아 sua|백 현서 hyunseo|유 리안 rian|문 가온 gaon|"
    "양 승호 seungho|구 본혁 bonhyuk|노 윤슬 yoonseul|홍 길동 gildong|송 미영 miyoung|안 철수 chulsoo|전 영희 younghee"
)
SHORT = "최 준|김 혁|이 솔|박 훈|정 민|한 별|윤 건|강 찬|조 율|임 결"
WORDS = (
    "김 하늘|이 바다|박 보라|최 사랑|정 이슬|강 가을|조 나라|윤 우주|장 소리|한 다정|오 한결|서 노을|신 겨울|권 단비|"
    "문 새벽|배 은하|유 미래|홍 지혜|송 기쁨|안 봄이|전 초롱|남 여름|구 아름|노 진주|백 장미|양 보배|황 구름|임 마음"
)
ENGLISH = (
    "Nora Finch|Oscar Lindqvist|Priya Raman|Magnus Dahl|Beatriz Campos|Theodore Whitlock|Imogen Ashby|Declan Murphy|"
    "Keisha Barlow|Sanjay Mehta|Freya Holloway|Callum Reid|Abigail Thornton|Mateo Vargas|Linnea Berg|Rufus Okafor|"
    "Deborah Klein|Nathan Pruitt|Yvonne Castle|Gareth Pugh"
)
ENGLISH_WORDS = (
    "Tom Becker|Bob Larsen|Mark Ellison|Grace Moreau|Will Hartley|Rose Kim|Hope Sanders|Joy Nakamura|Bill Ferris|"
    "Jack Dunmore|Frank Osei|May Lin|April Novak|June Park|Summer Hayes|Faith Romero|Drew Palmer|Chase Hudson|Pat Quinn|"
    "Sue Delgado|Rob Fischer|Don Harker|Ivy Chen|Jade Bishop|Amber Stone|Ruby Walsh|Daisy Cole|Lily Frost|Hunter Boyd|"
    "Dean Foster|Rich Molloy|Sunny Patel|Sky Jensen|River Adair|Penny Lane|Ginger Blythe|Holly Wood|Robin Marsh|Art Vance|"
    "Nick Vogel|Tony Russo|Min Cho|Jun Sato|Olive Grant|Miles Becket|Carter Voss|Mason Pike|Guy Laurent|Angel Ruiz|Star Lopez"
)
JAPANESE = "佐藤 結衣|田中 太郎|鈴木 健太|高橋 美咲|渡辺 翔太|伊藤 陽菜|山本 大輔|中村 優花|小林 直樹|加藤 沙織|吉田 拓海|山田 花子"
JAPANESE_WORDS = "木村 さくら|斎藤 光|清水 ひなた|森 蓮|池田 つばさ|橋本 ひかり|石川 みらい|前田 のぞみ"
SURNAME_WORDS = frozenset("Stone Frost Lane Wood Park Grant Pike Marsh Bishop Cole Castle Chase".split())
OTHERS = (
    "María Fernández|Jürgen Köhler|Chloé Lefèvre|João Pereira|Giulia Bianchi|Özge Yılmaz|Анна Соколова|Дмитрий Орлов|"
    "李娜|王小明|فاطمة|Budi Santoso|Łukasz Nowak|Søren Holm|Ingrid Bäcker"
)


@dataclass(frozen=True)
class Person:
    """One who writes: the name that the app shows, the names that others say, and what kind of name it is."""

    shown: str
    full: str
    given: str
    language: str  # ko, en, ja or other
    word: bool = False
    latin: str = ""
    handle: str = ""


def everybody(chance: random.Random) -> list[Person]:
    """All people, of whom some decorate their name as open chats do, or go by a handle."""
    people = [_korean(entry, chance) for entry in KOREAN.split("|")]
    people += [_korean(entry, chance, word=False) for entry in SHORT.split("|")]
    people += [_korean(entry, chance, word=True) for entry in WORDS.split("|")]
    for names, word in ((ENGLISH, False), (ENGLISH_WORDS, True)):
        for full in names.split("|"):
            given, surname = full.split(" ")
            handle = chance.choice((f"{given}_{surname[0]}", f"{given}{chance.randint(70, 99)}", f"{given}.{surname}"))
            people.append(Person(chance.choice((full, full, given)), full, given, "en", word, handle=handle.lower()))
    for names, word in ((JAPANESE, False), (JAPANESE_WORDS, True)):
        for entry in names.split("|"):
            surname, given = entry.split(" ")
            shown = chance.choice((surname + given, entry, given))
            people.append(Person(shown, surname + given, given, "ja", word))
    people += [Person(full, full, full.split(" ")[0], "other") for full in OTHERS.split("|")]
    return people


def _korean(entry: str, chance: random.Random, word: bool = False) -> Person:
    surname, given, *latin = entry.split(" ")
    full, year = surname + given, chance.randint(80, 99)
    places = ("수원매탄", "서울강서", "부산", "대전")
    ways: tuple[str, ...] = (
        full,
        full,
        full,
        given if len(given) > 1 else full,
        f"{full}/{year}/{chance.choice(places)}",
        f"🌸{full}🌸",
    )
    ways += (
        f"[운영진] {full}",
        f"{full}(팀장)",
        f"{full}♡",
        f"{full} {year} 남",
        f"{full}_{chance.choice(places)}",
        f"{full} 대리",
    )
    handle = f"{latin[0]}{chance.choice(('_m', str(year), '.daily', '_' + str(year)))}" if latin else ""
    return Person(chance.choice(ways), full, given, "ko", word, latin[0] if latin else "", handle)


# {} is the name as it stands, {I} the given name with the 이 that follows a closed syllable, {V} with 아 or 야.
KOREAN_SAYS = """{V} 밥 먹자|{V} 너 어디야?|{V} 오늘 몇시에 와|야 {V} 전화 좀 받아|ㅋㅋㅋ {V} 그거 아니야|고마워 {V}|미안 {V} 늦을듯|{V}~~ 생일 축하해|근데 {V} 그거 봤어?
{I}가 그러는데 내일 휴강이래|{I}는 왜 안와|아까 {I}랑 밥먹었어|{I}한테 물어봐|{I}네 집에서 보자|{I}도 온대|{I}만 안왔네|그거 {I}꺼야|{I}한테서 연락왔어|오늘 {I}가 쏜대|{I}를 왜 불러|내가 {I}보다 먼저 왔음
{}님 안녕하세요|{}씨 자료 보내주세요|{}님께서 말씀하신 대로 할게요|{}쌤 오늘 수업 있나요|{I}형 뭐해요|{I}누나 왔어요?|{}오빠 저 왔어요|{}언니 사진 보내줘요|{} 선배 감사합니다|{} 대리님 확인 부탁드려요|{}님이랑 같이 갈게요
나 {I}야|저 {}인데요|여기 {}이에요|@{} 이거 봐봐|@{}님 확인요|@{} |{} 왔다|{} 어디갔어|{} 뭐함|{}? 걔는 집에 갔지|ㅋㅋㅋㅋ{}|우리 {I} 최고|{}!!! 빨리 와|{I}엄마가 전화하셨어|{I}생일이 언제더라|{}, 너도 올래?
오늘 올 사람: {}|담당자는 {}입니다|({}) 확인했습니다|{I}가 보고싶다|범인은 {}|{I} 바꿔줘|{I}인줄 알았네|너 {I} 알아?|어제 {I} 만났는데 살빠졌더라|{I}랑 통화했어"""
GLUED = "{}왔다|{}인가봐|{}쓰 뭐하냐|{}이다|울{I} 어딨어|우리{I} 화이팅|{}ㅋㅋㅋ|{I}가아니라|{}누나왔어|{}님도요|ㅇㅇ{}|{}임|{}맞지|헐{}"
FULL_SAYS = """{} 어디감|{}이 어제 전화했어|{}한테 물어봐|{}님 오셨나요|{} 씨 안녕하세요|제 이름은 {}입니다|{} 고객님 예약되셨습니다|받는 사람 {}|예금주 {}|{}아니냐ㅋㅋ|{}!!|야 {} 너 진짜|{}은 안 온대|{}도 간대|'{}' 이름으로 예약함|{}, 한 명 추가요|{}(본인)|{}/여자친구"""
# With words that are names, only where Korean itself tells the person: vocative, 이가, 님, 한테.
WORD_SAYS = """{V} 밥 먹자|{V} 너 어디야?|야 {V} 전화 받아|고마워 {V}|{I}가 그러는데 내일 휴강이래|{I}랑 밥먹었어|{I}한테 물어봐|{I}도 온대|{}님 안녕하세요|{}씨 자료 보내주세요|{}언니 어디에요|{}오빠 저 왔어요|{} 선배 감사합니다|@{} 이거 봐봐|나 {I}야|{}님께서 말씀하셨어요|{I}네 집에서 보자|{I}는 왜 안와|{V}!!|{I}형 뭐해요|{I}한테 전화해봐"""
SHORT_SAYS = """{V} 밥 먹자|{V} 어디야|야 {V} 빨리 와|고마워 {V}|{I}가 그러는데 내일 쉰대|{I}한테 물어봐|{}님 안녕하세요|{}씨 왔어요?|{I}형 뭐해요|@{} 이거 봐|{I}랑 밥먹었어|{}오빠 저 왔어요"""
ENGLISH_SAYS = """{} said he'd be late|hey {}, are you there?|{}'s car broke down again|ask {} please|thanks {}!|thank you {} :)|I told {} about it yesterday|is {} coming tonight?|me, {} and the others|with {} at the station|{} can you send me the file|@{} look at this|has anyone seen {}?|happy birthday {}!!|sorry {} I was asleep|{} is here|no {} that's not what I meant|I saw {} at the gym|{} and I are leaving now|lol {}|{}: 7pm works for me|ok {}|I'll call {} later|{} told me the same|where's {}?|{} asked if we need chairs|this is {}'s number|dear {},|love you {}|{} lives near the park|{} thinks so too|let {} know|tell {} I said hi|{} was there as well|my friend {} knows a guy|call me when {} gets there|{} hasn't answered|go {}!|{}, you up?|from {}: see you all soon"""
JAPANESE_SAYS = """{}さん、お疲れ様です|{}ちゃん元気？|{}くん今どこ？|{}は来る？|{}が言ってたよ|{}に聞いてみて|{}と一緒に行く|{}の家で集合ね|@{} これ見て|{}先輩ありがとうございます|ねえ{}、明日ひま？|{}も来るって|昨日{}に会った|{}、誕生日おめでとう！|{}さんへ連絡済みです|{}って誰だっけ|{}様のご予約です|今日は{}と{}が当番です"""
JAPANESE_WORD_SAYS = "{}さん、お疲れ様です|{}ちゃん元気？|{}くん今どこ？|ねえ{}ちゃん、明日ひま？|{}さんに聞いてみて|{}先輩ありがとうございます|@{} これ見て|{}ちゃんの家で集合ね|{}さんも来るって"
OTHER_SAYS = "{} 👋|@{} mira esto|gracias {}|wo ist {}?|{} kommt später|merci {} !|{} ha detto di sì|привет, {}|谢谢{}|{} vem amanhã|ok {}, hasta luego|{} geldi mi"


def mention(chance: random.Random, person: Person) -> tuple[str | Plant, ...]:
    """A sentence that names the person, of the language that the person writes."""
    if person.language == "ko":
        return _in_korean(chance, person)
    if person.language == "ja":
        kind = "names that are words" if person.word else "senders"
        template = chance.choice((JAPANESE_WORD_SAYS if person.word else JAPANESE_SAYS).split("|"))
        name = person.given if person.word or chance.random() < 0.5 else person.full
        one = plant(kind, "Japanese given" if name == person.given else "Japanese full", name)
        return filled(template, [one] * template.count("{}"))
    if person.language == "other":
        name, way = chance.choice(((person.full, "other language, full"), (person.given, "other language, given")))
        return filled(chance.choice(OTHER_SAYS.split("|")), [plant("senders", way, name)])
    return _in_english(chance, person)


def _in_english(chance: random.Random, person: Person) -> tuple[str | Plant, ...]:
    template = chance.choice(ENGLISH_SAYS.split("|"))
    named = person.shown != person.handle
    way = chance.choice(("given", "given", "given", "small", "full", "surname" if " " in person.shown else "given"))
    name = {
        "given": person.given,
        "small": person.given.lower(),
        "full": person.full,
        "surname": person.full.split(" ")[1],
    }[way]
    if way == "full" and person.shown != person.full:
        name, way = person.given, "given"
    if name in SURNAME_WORDS or (named and person.word and way in ("given", "small")):
        return filled(template, [plant("names that are words", f"English {way}", name)])
    return filled(template, [plant("senders", f"English {way}", name)])


def _in_korean(chance: random.Random, person: Person) -> tuple[str | Plant, ...]:
    roll, given = chance.random(), person.given
    if person.shown != person.full and roll < 0.12:
        template = chance.choice(("@{} 안녕", "@{} 이거 봐", "{}님 반가워요", "@{} 님 확인요"))
        return filled(
            template,
            [
                plant(
                    "senders", "whole display name", person.shown, person.full if person.full in person.shown else given
                )
            ],
        )
    if person.latin and roll < 0.24:
        template = chance.choice(
            ("{} 왔어?", "{}아 밥", "hey {}", "@{} ㅋㅋ", "{}님 하이", "oh {} 왔네", "{} bro 뭐함", "is {} there")
        )
        return filled(
            template, [plant("senders", "in Latin letters", chance.choice((person.latin, person.latin.title())))]
        )
    if person.handle and roll < 0.32:
        return filled(
            chance.choice(("{} 이 사람임", "{} 님 강퇴", "@{} 안녕", "{}가 올린 글")),
            [plant("senders", "handle of a name", person.handle)],
        )
    if roll < 0.5 and person.full in person.shown:
        return filled(chance.choice(FULL_SAYS.split("|")), [plant("senders", "Korean full", person.full)])
    if len(given) == 1:
        return _inflected(chance.choice(SHORT_SAYS.split("|")), given, "senders", "one syllable")
    if person.word:
        return _inflected(chance.choice(WORD_SAYS.split("|")), given, "names that are words", "Korean")
    if roll < 0.65:
        return _inflected(chance.choice(GLUED.split("|")), given, "senders", "Korean given, glued")
    return _inflected(chance.choice("|".join(KOREAN_SAYS.split("\n")).split("|")), given, "senders", "Korean given")


def _inflected(template: str, given: str, kind: str, way: str) -> tuple[str | Plant, ...]:
    closed = (ord(given[-1]) - 0xAC00) % 28 > 0
    text = template.replace("{I}", "{}이" if closed else "{}").replace("{V}", "{}아" if closed else "{}야")
    return filled(text, [plant(kind, way, given)] * text.count("{}"))
