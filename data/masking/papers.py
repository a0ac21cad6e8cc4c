"""Birth dates, passports, licences and other papers, told by the words beside them; registration numbers with stars."""

import re

from data.masking.tags import mark

_ID = mark("<ID>")

# ---------------------------------------------------------------------- birth dates

_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
_FULL_DATE = (
    r"(?:(?:昭和|平成|令和|大正)\s?(?:\d{1,2}|元)|\d{4}|\d{2})\s?(?:[.\-/년年]|년생)\s?\d{1,2}\s?[.\-/월月]\s?\d{1,2}"
    r"(?:\s?[일日]|(?!\d))"
)
_MONTH_AND_DAY = r"\d{1,2}\s?[월月]\s?\d{1,2}\s?[일日]"
_DATE = (
    rf"(?:{_FULL_DATE}|\d{{1,2}}[./-]\d{{1,2}}[./-](?:\d{{4}}|\d{{2}})|{_MONTH_AND_DAY}?"
    rf"|{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?"
    rf"|(?:the )?\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH}\.?(?:,? \d{{4}})?"
    r"|\d{8}|\d{6}|\d{1,2}/\d{1,2}|(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01]))(?![\d/])"
)
_BIRTH = re.compile(
    r"(?P<before>(?:생년월일|생일|생신|출생일?|민증|주민(?:번호)? ?앞자리|生年月日|誕生日|生日"
    r"|(?<![a-z])(?:birthday|bday|birth ?date"
    r"|date of birth|dob|born))"
    rf"(?:은|는|이|가|：|:|=|は|\s|is|on|in|'s|was|언제(?:야|지|임|예요)?\?|(?:음력|양력))*)(?P<value>{_DATE})"
    rf"|(?P<value_before>(?<![\d.\-/])(?:{_FULL_DATE}|{_MONTH_AND_DAY}|\d{{8}}|\d{{6}}|\d{{1,2}}/\d{{1,2}}))"
    r"(?=\.?\s?(?:년생|생(?:이|입|인|임|\s|$)|태생|출생|에 ?태어|생일(?! ?(?:파티|선물|케이크|축하))"
    r"|が誕生日|に?生まれ))",
    re.IGNORECASE,
)
_MAYBE_BIRTH = re.compile(
    r"(?=[생태앞민誕生bd])(?:생|태어|앞자리|민증|birth|born|dob|bday|誕生|生年|生日|生まれ)", re.IGNORECASE
)

# ---------------------------------------------------------------------- papers

_PASSPORT = (
    r"(?:[A-Z]{1,2}[ -]?\d{7,8}|[A-Z][ -]?\d{3}[A-Z]\d{4}|\d{9}|(?=[A-Z]+\d)[A-Z0-9]{9})(?![a-z0-9]|원|\s원(?![가-힣]))"
)
_KOREAN_LICENCE = (
    r"(?:[가-힣]{2}\s?)?(?:\d{2}[- ])?\d{2}[- ]?\d{6}(?:[- ]?\d{2})?|[가-힣]{2}[- ]?\d{2}[- ]\d{6}(?:[- ]\d{2})?"
)
_PAPERS = re.compile(
    rf"(?P<before>(?:여권|passport|パスポート|旅券|护照)[^\d\n]{{0,12}}?)(?<![a-z]){_PASSPORT}"
    rf"|(?<![a-z0-9]){_PASSPORT}(?=[^\d\n]{{0,8}}?(?:여권|パスポート|旅券))"
    r"|(?P<before_licence>(?:면허증?|licen[cs]e|免許証?|(?<![a-z])DL ?[:#])(?:\s?번호"
    r"|番号)?[^\d\n]{0,10}?)(?<![a-z가-힣])"
    rf"(?:{_KOREAN_LICENCE}|\d{{12}}|\d{{8,9}}|[A-Z]{{1,2}}\d{{6,14}}|[A-Z]\d{{3}}-\d{{4}}-\d{{4}})"
    r"(?![a-z0-9]|원|\s원(?![가-힣])| bytes)"
    r"|(?P<before_social>(?:주민(?:등록)?(?:번호)?|민번|외국인등록번호|ssn|social security|マイナンバー"
    r"|身份证)[^\d\n]{0,8}?)"
    r"(?:\d{6}-?[1-8]?(?![\d-])|\d{3}-?\d{2}-?\d{4}|\d{4}[ -]?\d{4}[ -]?\d{4}|\d{17}[\dx])(?![\d-])"
    r"|(?<![\d-])(?:(?:1[1-9]|2[0-8])-\d{2}-\d{6}-\d{2}|[1-8]\d{2}-\d{2}-\d{4})(?![\d-])",
    re.IGNORECASE,
)
_MAYBE_PAPERS = re.compile(
    r"(?=[여면주민등pldsパマ免旅护身\d])"
    r"(?:여권|면허|주민|민번|등록번호|passport|licen[cs]e|dl ?[:#]|ssn|social|パスポート|マイナンバー"
    r"|免許|旅券|护照|身份|\d-\d\d-\d)",
    re.IGNORECASE,
)
_MAYBE_STARRED = re.compile(r"\d\s?[-–ㅡ]\s?\d?[*xX●○•＊]")
_STARRED = re.compile(r"(?<!\d)\d{6}\s?[-–ㅡ]\s?(?:[1-8][*xX●○•＊]{1,6}|[*xX●○•＊]{6,7})(?![\w*●])")


def _paper(found: re.Match[str]) -> str:
    return (found["before"] or found["before_licence"] or found["before_social"] or "") + _ID


def mask_papers(text: str) -> str:
    """Return the text with a mark in the place of each."""
    if _MAYBE_BIRTH.search(text):
        text = _BIRTH.sub(lambda found: (found["before"] or "") + _ID, text)
    if _MAYBE_STARRED.search(text):
        text = _STARRED.sub(_ID, text)
    return _PAPERS.sub(_paper, text) if _MAYBE_PAPERS.search(text) else text
