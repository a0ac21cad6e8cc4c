"""People's data told by the words beside it: accounts of messengers, passwords, door codes; plates and networks.

Nearly all of it could be anything without its word (`비번 0412#`, `인스타 nayul.daily`). A few have a shape of their
own: number plates, addresses in a network. The word stays, and what it tells becomes <ID>. Papers: papers.py.
"""

import re

from data.masking.latin_words import APP_WORDS, ENGLISH_WORDS
from data.masking.papers import mask_papers
from data.masking.tags import mark

_ID = mark("<ID>")
_IS = (
    r"(?:\s?(?:은요|는요|은|는|이|가|：|:|=|->|→|は|の|'s|is|was|as|번호|番号"
    r"|no\.?(?=[\s:#])|#(?= )|number|뒷자리)){0,3}\s?"
)

# ---------------------------------------------------------------------- accounts

_KOREAN_APP = (
    r"카카오톡|카톡 ?친추|카톡|카카오|인스타그램|인스타|인별|텔레그램|텔레|라인|트위터|디스코드|디코"
    r"|틱톡|스냅챗|스냅|페이스북|페북|위챗|왓츠앱"
    r"|스레드|깃헙|깃허브|스팀|배그|롤|(?<![가-힣ㄱ-ㅎ])ㅋㅌ"
)
_JAPANESE_APP = "ライン|インスタグラム|インスタ|カカオ|ツイッター|ディスコード|ディスコ|テレグラム"
_ENGLISH_APP = (
    r"instagram|insta|ig|snapchat|snap|telegram|kakaotalk|kakao|line|discord|twitter|tiktok|wechat|whatsapp|skype|github"
    r"|facebook|threads|steam|signal|viber|reddit|twitch|battle\.?net|psn|xbox"
)
_APP = rf"{_KOREAN_APP}|{_JAPANESE_APP}|微信|(?<![a-z])(?=[bdfgiklprstvwx])(?:{_ENGLISH_APP})"
_ACCOUNT_WORD = r"아이디|아디|계정|id|handle|username|user name|アカウント|ＩＤ|号|账号"
_HANDLE = r"@?[a-z0-9_][a-z0-9._-]{1,28}[a-z0-9_](?:#\d{4})?(?![a-z0-9@])"
_CLEAR_HANDLE = rf"(?=@?[a-z0-9._-]*[a-z])(?=@?[a-z]*[0-9._])(?=[a-z0-9._@-]{{5}}){_HANDLE}"
_LETTERS = r"@?[a-z]{6,30}(?![a-z0-9@._-])"
_CLAUSE_ENDS = r"(?=\s*(?:$|[.!?~ㄱ-ㅣ가-힣]))"
# The letters with which these words begin, looked at before each of many words is tried at each letter of a message.
_BEGINS_ACCOUNT = "(?=[카인텔라트디틱스페위왓깃배롤ㅋライカツデテ微아계アＩ号账a-z])"
_MAYBE_ACCOUNT = re.compile(f"{_BEGINS_ACCOUNT}(?:{_APP}|{_ACCOUNT_WORD})[^\\n]{{0,12}}[a-z0-9]", re.IGNORECASE)
_ACCOUNTS = (
    re.compile(
        rf"(?P<before>(?:(?:{_APP})의?の?[ _]?(?:{_ACCOUNT_WORD})|(?:아이디|아디|계정|(?<![a-z])username"
        rf"|(?<![a-z])id ?[:：=は]))"
        rf"{_IS})(?P<value>{_HANDLE})",
        re.IGNORECASE,
    ),
    re.compile(rf"(?P<before>(?:{_APP})(?![a-z]){_IS})(?P<value>{_CLEAR_HANDLE})", re.IGNORECASE),
    # Letters alone, where it is told whose they are (`my insta is tombeckr`, `인스타 tombeckr`).
    re.compile(
        rf"(?P<before>(?:(?<![a-z])(?:my|his|her|their) (?:{_APP})(?: is|'s|:)? ?|(?<![a-z])on (?:{_APP})(?: as|:) ?"
        rf"|(?:{_APP})\s?[:：]\s?))(?P<value>{_LETTERS})",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?P<before>(?:(?:{_KOREAN_APP}|{_JAPANESE_APP})[은는]? ?|(?:^|[.!?~가-힣] |(?:add|follow"
        rf"|find) me on )(?:insta(?:gram)?|ig|snap(?:chat)?"
        rf"|tiktok|telegram|wechat|skype) ))(?P<value>{_LETTERS})(?:{_CLAUSE_ENDS}|(?= (?:dm|add|follow) me))",
        re.IGNORECASE,
    ),
)


def _account(found: re.Match[str]) -> str:
    return found[0] if found["value"].lower() in ENGLISH_WORDS | APP_WORDS else found["before"] + _ID


# ---------------------------------------------------------------------- secrets

_LOCK = "door|gate|entry|lock|alarm|access|safe|garage"
_SECRET_WORD = (
    r"비번|비밀 ?번호|패스워드|암호|도어락|공동현관|현관문?|暗証番号|パスワード|パスコード|(?:wi-?fi"
    r"|ワイファイ)の?パス|オートロック|密码|密碼"
    rf"|(?<![a-z])(?=[pdgelaskc])(?:password|passwd|passcode|passphrase|pwd|pw|pin(?: ?code)?|(?:{_LOCK}) ?code"
    rf"|code (?:for|to|of) (?:the|my|our) (?:[a-z]{{2,10}} )?(?:{_LOCK}|key ?box|room|house|flat)"
    rf"|key ?box|lock ?box)(?![a-z])"
)
_COUNTED = "원|개|명|번 |년|월|시|분|층|호|자리|일|x|%"
_UNIT = rf"(?![0-9])(?!{_COUNTED})(?!\s(?:{_COUNTED})(?![가-힣]))"
_SECRET = re.compile(
    rf"(?P<before>(?:{_SECRET_WORD})(?: ?(?:번호|코드|code))?(?:\s?[(（]?[가-힣a-z]{{1,6}}[)）]?)??{_IS})"
    rf"(?P<value>(?=[^\s가-힣]*\d)[*#!@$~^&]{{0,3}}[A-Za-z0-9][\w!@#$%^&*+=~?.-]{{2,40}}?(?=[.,]*(?:[^\x21-\x7e]|$)){_UNIT}(?<![.,])"
    rf"|[*#]\d{{2,8}}[*#]?|\d{{3,8}}[*#]|(?:종|별|샵|우물정)\s?\d{{3,8}}(?:\s?(?:종|별|샵|우물정)(?![가-힣]))?)"
    rf"|(?P<told>(?<![a-z])(?:password|passwd|pwd|pw|비번|비밀번호)\s?[:：=]\s?)[\x21-\x7e]{{4,40}}"
    r"|(?P<passed>(?<![a-z])pass )(?=[a-z!@#$%_]*\d)(?!\d+(?:st|nd|rd|th))[!@#$%]?[a-z_]{3,20}[\w!@#$%^&*-]{3,20}"
    rf"|(?P<letters>(?:비번|비밀번호|패스워드)[은는]? )[a-z]{{6,40}}(?![a-z ])",
    re.IGNORECASE | re.ASCII,
)
# The other way round: `0412# 이 비번이야`, 종 0412 종 비번.
_SECRET_BEFORE = re.compile(
    r"(?<![\d.,:/-])(?:종\s?\d{3,8}\s?종|별\s?\d{3,8}\s?별|[*#]?\d{4,8}(?:[*#]|별|샵)?)(?!\d)"
    r"(?=\s?(?:이게|이거|이|가|은)?\s?(?:우리 ?집 ?|현관 ?|집 ?|문 ?)?(?:비번|비밀번호)(?:이야|야|임"
    r"|입니다|이에요|예요|이다|$))"
)


def _secret(found: re.Match[str]) -> str:
    return (found["before"] or found["told"] or found["passed"] or found["letters"]) + _ID


# ---------------------------------------------------------------------- shapes of their own

_PLATE_LETTERS = "가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주하허호배바사아자"
_REGION = "서울|부산|대구|인천|광주|대전|울산|세종|경기|강원|충북|충남|전북|전남|경북|경남|제주"
_PLATE = re.compile(
    rf"(?<![\d.,])(?:(?:{_REGION})\s?)?"
    rf"(?:\d{{2,3}}[{_PLATE_LETTERS}](?:-(?=\d))?|\d{{3}}[{_PLATE_LETTERS}] (?=\d{{4}}(?:$| 차|[가-힣]? ?[.,!?]))"
    rf"|\d{{2,3}}[가나다라마거너더러머버서어저허] |(?<=[가-힣] )\d{{2}}[바사아자] )"
    rf"\d{{4}}(?!\d|[.,]\d|[년원명개만억천장권보점회배km%]|\s(?:[년원명개만억천장권보점회배%]|km)(?![가-힣]))"
)
_CAR = r"차번호|차량 ?번호|차량|번호판|주차(?:등록)?|우리 ?차|내 ?차|제 ?차|택시|차주|車|ナンバー"
_PLATE_AFTER_THE_WORD = re.compile(
    rf"(?P<before>(?:{_CAR})[은는이가]? ?[:：]? "
    rf"?)(?:(?:{_REGION})\s?)?\d{{2,3}}\s?[{_PLATE_LETTERS}][\s-]?\d{{4}}(?!\d|[.,]\d|원)"
    rf"|^\s*\d{{2,3}}\s?[{_PLATE_LETTERS}][\s-]?\d{{4}}(?=\s*(?:$|[ㅋㅎㅠ.!~]))"
    rf"|(?<!\d)\d{{2,3}}\s?[{_PLATE_LETTERS}][\s-]?\d{{4}}(?=\s?(?:차|검은|흰|하얀|회색|은색|소나타|아반떼|그랜저|모닝|카니발|suv))"
    r"|(?P<before_foreign>(?:(?<![a-z])(?:licen[cs]e|number|registration|car) plate"
    r"|(?<![a-z])plates?(?= is| number|:)|kennzeichen|ナンバー|車のナンバー)"
    r"(?: number| no\.?)?(?: is|は|:|：)? ?)"
    r"(?:[A-ZÄÖÜ]{1,3}-[A-Z]{1,2} ?\d{1,4}|(?=[A-Z0-9 -]*\d)(?=[A-Z0-9 -]*[A-Z])[A-Z0-9]{2,4}[ -]?[A-Z0-9]{3,4}|"
    r"[\u3400-\u9fff]{2,3} ?\d{2,3} ?[\u3041-\u3096] ?\d{2}-?\d{2})(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_PRIVATE = r"(?:10|127|0|255|192\.168|172\.(?:1[6-9]|2\d|3[01]))\."  # nobody's
_NETWORK = re.compile(
    rf"(?<![\d.])(?<!버전 )(?<!버전)(?<!ver )(?<!version )(?<!v)(?!{_PRIVATE})"
    rf"[1-9]\d?\d?\.{_OCTET}\.{_OCTET}\.{_OCTET}(?!\.?\d)"
    r"(?::\d{2,5}(?!\d))?"
    r"|(?<![\w:.])(?=[0-9a-f:]*[a-f0-9]{3})(?=[0-9a-f:]*::|(?:[0-9a-f]{1,4}:){7})[0-9a-f]{1,4}(?::{1,2}[0-9a-f]{1,4}){2,7}(?![\w:])"
    r"|(?<![\w:])(?:[0-9a-f]{2}:){5}[0-9a-f]{2}(?![\w:])",
    re.IGNORECASE | re.ASCII,
)
_MAYBE_NETWORK = re.compile(r"\.(?<=\d\.)\d{1,3}\.\d{1,3}\.\d|:(?<=[0-9a-fA-F]:)[0-9a-fA-F:]{5}")
_MAYBE_PLATE = re.compile(r"\d\d ?[가-힣][ -]?\d{4}")
_MAYBE_FOREIGN_PLATE = re.compile(r"plate|kennzeichen|ナンバー", re.IGNORECASE)
_MAYBE_SECRET = re.compile(rf"(?=[비패암도공현暗パワオ密a-z])(?:{_SECRET_WORD}|(?<![a-z])pass )", re.IGNORECASE)


def mask_identifiers(text: str) -> str:
    """Return the text with a mark in the place of each. Only called where there are Latin letters or digits."""
    if _MAYBE_ACCOUNT.search(text):
        for pattern in _ACCOUNTS:
            text = pattern.sub(_account, text)
    if _MAYBE_SECRET.search(text):
        text = _SECRET_BEFORE.sub(_ID, _SECRET.sub(_secret, text))
    text = mask_papers(text)
    if _MAYBE_PLATE.search(text):
        text = _PLATE.sub(_ID, text)
    if _MAYBE_FOREIGN_PLATE.search(text) or _MAYBE_PLATE.search(text):
        text = _PLATE_AFTER_THE_WORD.sub(lambda found: (found["before"] or found["before_foreign"] or "") + _ID, text)
    if _MAYBE_NETWORK.search(text):
        text = _NETWORK.sub(_ID, text)
    return text
