"""People's data told by the words beside it: accounts of messengers, passwords, birth dates, passports, licences.

Nearly all of it could be anything without its word (`비번 0412#`, `인스타 nayul.daily`). A few have a shape of their
own: number plates, addresses in a network. The word stays, and what it tells becomes <ID>.
"""

import re

from data.masking.latin_words import ENGLISH_WORDS
from data.masking.tags import mark

_ID = mark("<ID>")
_IS = r"(?:\s?(?:은|는|이|가|:|：|=|->|→|は|is|was|번호|no\.?(?=[\s:#])|number|뒷자리)){0,3}\s?"

# ---------------------------------------------------------------------- accounts

_APP = (
    r"카톡|카카오톡|카카오|인스타그램|인스타|텔레그램|텔레|라인|트위터|디스코드|디코|틱톡|스냅챗|스냅|페이스북|페북|위챗|왓츠앱"
    r"|스레드|깃헙|스팀|배그|롤|ライン|インスタ|カカオ|ツイッター|微信|(?<![a-z])(?:instagram|insta|ig|snapchat|snap|telegram|kakaotalk|kakao"
    r"|line|discord|twitter|tiktok|wechat|whatsapp|skype|github|facebook|threads|steam|battle\.?net|psn|xbox)"
)
_ACCOUNT_WORD = r"아이디|아디|계정|id|handle|username|user name|アカウント|ＩＤ|号|账号"
_HANDLE = r"@?[a-z0-9_][a-z0-9._-]{1,28}[a-z0-9_](?:#\d{4})?(?![a-z0-9@])"
_CLEAR_HANDLE = rf"(?=@?[a-z0-9._-]*[a-z])(?=@?[a-z]*[0-9._])(?=[a-z0-9._@-]{{5}}){_HANDLE}"
_MAYBE_ACCOUNT = re.compile(f"(?:{_APP}|{_ACCOUNT_WORD})[^\\n]{{0,12}}[a-z0-9]", re.IGNORECASE)
_ACCOUNTS = (
    re.compile(
        rf"(?P<before>(?:(?:{_APP})의?の?[ _]?(?:{_ACCOUNT_WORD})|(?:아이디|아디|계정|(?<![a-z])username"
        rf"|(?<![a-z])id ?[:：=]))"
        rf"{_IS})(?P<value>{_HANDLE})",
        re.IGNORECASE,
    ),
    re.compile(rf"(?P<before>(?:{_APP})(?![a-z]){_IS})(?P<value>{_CLEAR_HANDLE})", re.IGNORECASE),
)


def _account(found: re.Match[str]) -> str:
    return found[0] if found["value"].lower() in ENGLISH_WORDS else found["before"] + _ID


# ---------------------------------------------------------------------- secrets

_SECRET_WORD = (
    r"비번|비밀 ?번호|패스워드|암호|도어락|공동현관|현관문?|暗証番号|パスワード|パスコード|密码|密碼"
    r"|(?<![a-z])(?:password|passwd|passcode|passphrase|pwd|pw|pin(?: ?code)?|(?:door|gate|entry|lock) ?code)(?![a-z])"
)
_UNIT = r"(?![0-9])(?!\s?(?:원|개|명|번 |년|월|시|분|층|호|자리|일|x|%))"
_SECRET = re.compile(
    rf"(?P<before>(?:{_SECRET_WORD})(?: ?(?:번호|코드|code))?(?:\s?[(（]?[가-힣a-z]{{1,6}}[)）]?)??{_IS})"
    rf"(?P<value>(?=[^\s가-힣]*\d)[*#]?[A-Za-z0-9][\w!@#$%^&*+=~?.-]{{2,40}}?(?=[^\x21-\x7e]|$){_UNIT}(?<![.,])"
    rf"|[*#]\d{{2,8}}[*#]?|\d{{3,8}}[*#])"
    rf"|(?P<told>(?<![a-z])(?:password|passwd|pwd|pw|비번|비밀번호)\s?[:：=]\s?)[\x21-\x7e]{{4,40}}"
    rf"|(?P<letters>(?:비번|비밀번호|패스워드)[은는]? )[a-z]{{6,40}}(?![a-z ])",
    re.IGNORECASE | re.ASCII,
)


def _secret(found: re.Match[str]) -> str:
    return (found["before"] or found["told"] or found["letters"]) + _ID


# ---------------------------------------------------------------------- papers

_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
_FULL_DATE = r"(?:\d{4}|\d{2})\s?[.\-/년年]\s?\d{1,2}\s?[.\-/월月]\s?\d{1,2}(?:\s?[일日]|(?!\d))"
_DATE = (
    rf"(?:{_FULL_DATE}|\d{{1,2}}[./-]\d{{1,2}}[./-]\d{{4}}|\d{{1,2}}\s?[월月]\s?\d{{1,2}}\s?[일日]?"
    rf"|{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?|\d{{1,2}}(?:st|nd|rd"
    rf"|th)?(?: of)? {_MONTH}\.?(?:,? \d{{4}})?"
    r"|\d{8}|\d{6}|\d{1,2}/\d{1,2}|(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01]))(?![\d/])"
)
_BIRTH = re.compile(
    r"(?P<before>(?:생년월일|생일|생신|출생일?|生年月日|誕生日|生日|(?<![a-z])(?:birthday|birth ?date"
    r"|date of birth|dob|born))"
    rf"(?:은|는|이|가|：|:|=|は|\s|is|on|in|(?:음력|양력))*)(?P<value>{_DATE})"
    rf"|(?P<value_before>(?<!\d)(?:{_FULL_DATE}|\d{{6}}))(?=\s?(?:년생|생(?:이|입|인|임|\s|$)|태생|출생))",
    re.IGNORECASE,
)
_PAPERS = re.compile(
    r"(?P<before>(?:여권|passport|パスポート|旅券|护照)[^\d\n]{0,12}?)(?:[A-Z]{1,2}\d{7,8}|[A-Z]\d{3}[A-Z]\d{4}|\d{9})(?![a-z0-9])"
    r"|(?P<before_licence>(?:면허증?|licen[cs]e|免許証?)(?:\s?번호|番号)?[^\d\n]{0,8}?)"
    r"(?:(?:[가-힣]{2}\s)?\d{2}[- ]\d{2}[- ]?\d{6}[- ]?\d{2}|[가-힣]{2}\s?\d{2}-\d{6}-\d{2}|\d{12}"
    r"|[A-Z]{1,2}\d{6,14})(?![a-z0-9])"
    r"|(?P<before_social>(?:주민(?:등록)?(?:번호)?|외국인등록번호|ssn|social security|マイナンバー"
    r"|身份证)[^\d\n]{0,8}?)"
    r"(?:\d{6}-?[1-8]?(?![\d-])|\d{3}-?\d{2}-?\d{4}|\d{4}[ -]?\d{4}[ -]?\d{4}|\d{17}[\dx])(?![\d-])"
    r"|(?<![\d-])(?:(?:1[1-9]|2[0-8])-\d{2}-\d{6}-\d{2}|[1-8]\d{2}-\d{2}-\d{4})(?![\d-])",
    re.IGNORECASE,
)
_MAYBE_PAPERS = re.compile(
    r"여권|면허|주민|등록번호|passport|licen[cs]e|ssn|social|パスポート|マイナンバー|免許|旅券|护照|身份|\d-\d\d-\d",
    re.IGNORECASE,
)
_MAYBE_STARRED = re.compile(r"\d\s?[-–ㅡ]\s?\d?[*xX●○•＊]")
_STARRED = re.compile(r"(?<!\d)\d{6}\s?[-–ㅡ]\s?(?:[1-8][*xX●○•＊]{1,6}|[*xX●○•＊]{6,7})(?![\w*●])")


def _paper(found: re.Match[str]) -> str:
    return (found["before"] or found["before_licence"] or found["before_social"] or "") + _ID


# ---------------------------------------------------------------------- shapes of their own

_PLATE_LETTERS = "가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주하허호배바사아자"
_PLATE = re.compile(
    rf"(?<![\d.,])(?:(?:서울|부산|대구|인천|광주|대전|울산|세종|경기|강원|충북|충남|전북|전남|경북|경남|제주)\s?)?"
    rf"(?:\d{{2,3}}[{_PLATE_LETTERS}]|\d{{2,3}}[가나다라마거너더러머버서어저허] |(?<=[가-힣] )\d{{2}}[바사아자] )"
    rf"\d{{4}}(?!\d|[.,]\d"
    rf"|\s?[년원명개만억천장권보점회배km%])"
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
_MAYBE_NETWORK = re.compile(r"\d\.\d{1,3}\.\d{1,3}\.\d|[0-9a-f]:[0-9a-f:]{5}", re.IGNORECASE)
_MAYBE_PLATE = re.compile(r"\d\d[가-힣] ?\d{4}")
_MAYBE_SECRET = re.compile(_SECRET_WORD, re.IGNORECASE)
_MAYBE_BIRTH = re.compile(r"생|birth|born|dob|誕生|生年|生日", re.IGNORECASE)


def mask_identifiers(text: str) -> str:
    """Return the text with a mark in the place of each. Only called where there are Latin letters or digits."""
    if _MAYBE_ACCOUNT.search(text):
        for pattern in _ACCOUNTS:
            text = pattern.sub(_account, text)
    if _MAYBE_SECRET.search(text):
        text = _SECRET.sub(_secret, text)
    if _MAYBE_BIRTH.search(text):
        text = _BIRTH.sub(lambda found: (found["before"] or "") + _ID, text)
    if _MAYBE_STARRED.search(text):
        text = _STARRED.sub(_ID, text)
    if _MAYBE_PAPERS.search(text):
        text = _PAPERS.sub(_paper, text)
    if _MAYBE_PLATE.search(text):
        text = _PLATE.sub(_ID, text)
    if _MAYBE_NETWORK.search(text):
        text = _NETWORK.sub(_ID, text)
    return text
