"""Sentences in which nobody's data stands, though words and numbers look like it: prices, dates, scores, orders, names as words."""

# ruff: noqa: E501 (the sentences are to be read, and edited, as text)

from __future__ import annotations

import random

KOREAN = """오늘 하늘이 진짜 파랗다|바다 보러 가고 싶어|가을이 벌써 왔나봐|노을 봤어? 대박|이슬 한잔 하자|나라가 어쩌려고 이러냐|우주 다큐 봤는데 재밌더라|소리가 너무 커|지혜롭게 하자|미래가 걱정된다|별이 엄청 많아|솔직히 별로야|준비는 다 했어?|혁신적이네|결론부터 말하면 안 가|찬물로 씻었어|율무차 마실래|민트초코 싫어|건물 앞에서 봐|훈련 갔다왔어
사랑은 타이밍이야|보라색 옷 입고 와|겨울 옷 꺼냈어|여름 휴가 언제야|장미 한 송이 샀어|구름이 많이 꼈네|마음이 아프다|기쁨의 눈물|진주 목걸이 예쁘다|새벽에 잠들었어|은하수 보러가자|봄이 오면 좋겠다|보배드림 글 봤어?|단비 같은 소식|초롱초롱한 눈|아름다운 풍경|다정한 사람이 좋아|한결 낫네"""
ENGLISH = """we will see|will you be home for dinner?|I hope so|the grace period ends on friday|mark the date|what a joy|please bill me later|the rose smells nice|may I come in|I may be late|in april or june|summer is over|have faith|don't chase it|pat the dog|sue the company|rob a bank lol|the art of cooking|he is so rich|the sky is blue|we walked along the river|a penny for your thoughts|ginger tea helps|the dean of the school|star wars again?|guy next to me snores|you're an angel|olive oil and garlic|sunny tomorrow|miles away|hunter gatherers|amber light|jade necklace|ruby red shoes|a lily in the pond|drew a picture|frank talk|nick of time|jack up the price|just a min|be frank with me|it was a joy to see you|stone cold|the lane was closed|park the car|frost on the window|wood for the fire
see you at the game|can you pick up milk on the way home|the train was late again|nothing works today|I think we should leave earlier|lol no way|that was the best movie this year|what time does it start|I'm so tired|did you lock the door?|the password has to be changed|my phone is dead|where is my passport|I forgot my pin again|what's your address|our birthday party was fun|my id card is blue|line up here please|the telegram never came|snap out of it"""
JAPANESE = """明日は晴れるかな|さくらが咲いたね|光がまぶしい|森の中を歩いた|未来の話をしよう|ひなたぼっこしたい|今日は疲れた|電車が遅れてる|映画面白かった|お腹すいた|ご飯食べた？|パスワード忘れた|誕生日いつ？|住所教えて|電話していい？|つばさの折れた鳥|ひかり号に乗った|のぞみに乗って大阪へ|了解です|また明日ね"""
NUMBERS = """{p}원이야|총 {p}원 나왔어|{p}원 입금했어|가격이 {p}원에서 내렸대|{h}시 {m}분에 보자|{h}:{m} 도착|{a}월 {d}일에 만나|2026-0{s}-{d} 회의|2026.{a}.{d} 까지 제출|20260{s}{d}_회의록|{x}대 {y}로 이겼어|스코어 {x}-{y}|{x}:{y} 끝남|주문번호 {o} 확인|송장번호 {o}|운송장 {t}|{s}번 출구|{s}층 {r}호 강의실|{r}쪽까지 읽어|버스 {r}번 타|{p}명 왔대|버전 {x}.{y}.{s}|{r}g 넣어|몸무게 {a}{s}kg|{o}번 문제|평점 {s}.{y}점|수능 {r}점|{d}일부터 {d}일까지|ISBN 978-89-{o}|제{r}회 로또|로또 {a} {d} {r} {s} {x} {y}|{p}km 뛰었어|2024-2025 시즌|국민 2024-2025-01|사건번호 2024가합{o}|시리얼 {o}
total was ${p}|{p} people came|meet at {h}:{m}|order #{o} shipped|tracking {t}|we won {x}-{y}|version {x}.{y}.{s}|page {r}|chapter {s}|room {r}|flight KE{r} at {h}:{m}|on 2026-0{s}-{d}|{a}/{d} works for me|{p} km to go|bus {r}|score was {x} to {y}|{r} dollars|invoice {o}|born to run|the {d}th of next month|it costs {p} euros|{p}円です|{a}月{d}日に会おう|{h}時{m}分に着く|{x}対{y}で勝った|注文番号 {o}|{r}号室じゃない|第{r}回|about {s}0% off|{r} calories|1 in {p}|ratio {x}/{y}|rev {o}|error {r}|port {p}|code {r} not found|model X{r}-{s}"""


def sentence(chance: random.Random) -> str:
    """A sentence of an ordinary chat, of which nothing should be masked."""
    kind = chance.choice((KOREAN, ENGLISH, JAPANESE, NUMBERS, NUMBERS))
    text = chance.choice("|".join(kind.split("\n")).split("|"))
    if kind is not NUMBERS:
        return text
    price = (
        f"{chance.randint(1, 999)},{chance.randint(0, 999):03}"
        if chance.random() < 0.5
        else str(chance.randint(100, 99999))
    )
    values = {
        "p": price,
        "h": chance.randint(1, 12),
        "m": chance.randint(10, 59),
        "a": chance.randint(1, 9),
        "d": chance.randint(10, 28),
        "s": chance.randint(1, 9),
    }
    values |= {
        "x": chance.randint(0, 5),
        "y": chance.randint(0, 5),
        "o": chance.randint(10**6, 10**9),
        "t": chance.randint(10**11, 10**12),
        "r": chance.randint(100, 999),
    }
    return text.format_map(values)
