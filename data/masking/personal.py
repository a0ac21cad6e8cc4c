"""People's data masked in a message: e-mail, registration number, card, phone, account and address.

`mask_emails` and `mask_numbers` put a mark (data.tags) in the place of each. Numbers are tried in the order in which
one kind can be taken for another. Prices, times, dates, scores and quantities are nobody's data and stay: what has no
shape of its own needs something beside it, an account a bank, a house number a street and its town.
"""

import re

from data.masking.addresses import mask_addresses
from data.masking.foreign import mask_foreign_addresses, mask_foreign_numbers
from data.masking.identifiers import mask_identifiers
from data.masking.tags import mark

_EMAIL, _ID, _CARD = mark("<EMAIL>"), mark("<ID>"), mark("<CARD>")
_PHONE, _ACCOUNT = mark("<PHONE>"), mark("<ACCOUNT>")

# ---------------------------------------------------------------------- e-mail

_MAYBE_EMAIL = re.compile(r"@|＠|골뱅이|\([aA][tT][)\]]|\[[aA][tT][)\]]")
_PROVIDER = "naver|gmail|daum|hanmail|kakao|nate|outlook|hotmail|yahoo|icloud|네이버|지메일|다음|한메일|카카오|네이트"
_EMAIL_ADDRESS = re.compile(
    r"[a-z0-9](?:[a-z0-9._%+-]{0,62}[a-z0-9_+-])?\s?(?:[@＠]|골뱅이|[(\[]at[)\]])\s?"
    rf"(?:(?:[a-z0-9-]{{1,63}}\.){{1,5}}[a-z]{{2,24}}|(?:{_PROVIDER})(?:\s?(?:[.]|점|닷)\s?(?:com|net|컴|넷))?(?![a-z]))",
    re.IGNORECASE,
)
_SPELLED_IN_KOREAN = re.compile(  # nayul 골뱅이 web 점 de
    r"[a-z0-9](?:[a-z0-9._%+-]{0,62}[a-z0-9_+-])?\s?(?:[@＠]|골뱅이)\s?"
    r"[a-z0-9-]{1,40}(?:\s?(?:[.]|점|닷|쩜)\s?[a-z0-9-]{2,20}){1,3}(?![a-z])",
    re.IGNORECASE,
)
_DOT = r"\s?(?:\.|[(\[]dot[)\]]|(?<=\s)dot(?=\s))\s?"
_SPELLED_ADDRESS = re.compile(  # nora dot finch at gmail dot com
    rf"(?:[a-z0-9_-]{{1,30}}{_DOT}){{0,3}}[a-z0-9_+-]{{2,40}}\s?(?:[(\[]at[)\]]|(?<=\s)at(?=\s))\s?(?:[a-z0-9-]{{2,40}}{_DOT}){{1,3}}"
    r"(?:com|net|org|edu|gov|info|app|dev|co|kr|jp|cn|io|me|uk|de|fr|es|it|ru|br|us|ca)(?![a-z0-9])",
    re.IGNORECASE,
)
_HANGUL_DOMAIN = re.compile(
    r"[a-z0-9](?:[a-z0-9._%+-]{0,62}[a-z0-9_+-])?\s?[@＠]\s?(?:[가-힣a-z0-9-]{1,40}\.){1,3}(?:한국|닷컴|닷넷|com|net|org|kr)(?![a-z])",
    re.IGNORECASE,
)


def mask_emails(text: str) -> str:
    """Mask addresses with a domain, or at a provider that everybody knows (`hong @네이버`), also spelled out."""
    if "dot" in text or "DOT" in text:
        text = _SPELLED_ADDRESS.sub(_EMAIL, text)
    if not _MAYBE_EMAIL.search(text):
        return text
    if "골뱅이" in text:
        text = _SPELLED_IN_KOREAN.sub(_EMAIL, text)
    return _EMAIL_ADDRESS.sub(_EMAIL, _HANGUL_DOMAIN.sub(_EMAIL, text))


# ---------------------------------------------------------------------- numbers

_FULL_WIDTH = str.maketrans("０１２３４５６７８９－＋（）", "0123456789-+()")
_MAYBE_FULL_WIDTH = re.compile("[０-９]")
_EIGHT_DIGITS = re.compile(r"(?:\d[^\d\n]{0,3}){8}")

_GAP = r"[ \t\u00a0]?"
_DASH = r"[-‐‑–—−ㅡ~.·/_]"
_JOINT = rf"{_GAP}{_DASH}?{_GAP}"


def mask_numbers(text: str) -> str:
    """Mask everything that is told by its digits. Digits of full width become ordinary ones."""
    if _MAYBE_FULL_WIDTH.search(text):
        text = text.translate(_FULL_WIDTH)
    if _LATIN_OR_DIGIT.search(text) is not None:
        text = mask_identifiers(text)
        if _EIGHT_DIGITS.search(text):
            text = _mask_long_numbers(text)
        if _MAYBE_STARRED_CARD.search(text):
            text = _STARRED_CARD.sub(_CARD, text)
    if _MAYBE_SPELLED.search(text):
        text = _SPELLED_MOBILE.sub(_PHONE, text)
    return mask_foreign_addresses(mask_addresses(text)) if _DIGIT.search(text) else text


def _mask_long_numbers(text: str) -> str:
    text = _REGISTRATION.sub(_registration, text)
    text = _CARD_NUMBER.sub(_card, text)
    text = _INTERNATIONAL.sub(_international, text)
    for pattern in _PHONES:
        text = pattern.sub(_PHONE, text)
    text = _HOTLINE.sub(_hotline, text)
    text = _LAST_EIGHT.sub(_last_eight, text)
    text = _ACCOUNT_AFTER_BANK.sub(_account, text)
    text = _ACCOUNT_BEFORE_BANK.sub(_account, text)
    return mask_foreign_numbers(text)


_DIGIT, _LATIN_OR_DIGIT = re.compile("[0-9]"), re.compile("[0-9A-Za-z]")

# Six digits that are a day, one that tells century and sex (5 to 8: foreigners), six more or as many stars.
_REGISTRATION = re.compile(
    rf"(?<!\d)(?P<birth>\d{{2}}(?P<month>0[1-9]|1[0-2])(?P<day>0[1-9]|[12]\d|3[01]))"
    rf"(?:{_JOINT}[1-8]\d{{6}}|{_GAP}{_DASH}{_GAP}[1-8][*xX●]{{6}})(?!\d)"
)


def _registration(found: re.Match[str]) -> str:
    days = 29 if found["month"] == "02" else 30 if found["month"] in ("04", "06", "09", "11") else 31
    return _ID if int(found["day"]) <= days else found[0]


_CARD_NUMBER = re.compile(
    rf"(?<!\d)(?:\d{{4}}{_JOINT}\d{{4}}{_JOINT}\d{{4}}{_JOINT}\d{{4}}|\d{{4}}{_JOINT}\d{{6}}{_JOINT}\d{{4,5}})(?!\d)"
)
_ISSUER = {16: re.compile("[34569]|2[2-7]"), 15: re.compile("3[47]"), 14: re.compile("3[068]")}  # by number of digits


# A card as a receipt shows it: 9410-2208-****-4586.
_MAYBE_STARRED_CARD = re.compile(r"\d[- ]?[*xX●•＊]{2}")
_STARRED_CARD = re.compile(
    r"(?<![\d-])(?:\d{4}[- ]\d{4}[- ]?[*xX●•＊]{4}"
    r"|\d{4}[- ](?:\d{2})?[*xX●•＊]{2,4}[- ]?[*xX●•＊]{4})[- ]?(?:\d{4}|[*xX●•＊]{4})(?!\d)"
)


def _card(found: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", found[0])
    return _CARD if _ISSUER[len(digits)].match(digits) and _has_luhn_checksum(digits) else found[0]


def _has_luhn_checksum(digits: str) -> bool:
    return sum(sum(divmod(int(digit) * (1 + place % 2), 10)) for place, digit in enumerate(reversed(digits))) % 10 == 0


_PHONES = (
    re.compile(  # from abroad: +82 10-…, 82-10-…, +82 (0)2 …
        rf"(?<![\d+])(?:(?:\+|00)82{_JOINT}\(?0?\)?{_JOINT}(?:1[016-9]|2|[3-6][1-5]|[78]0|50\d?)|82{_JOINT}10)"
        rf"\)?{_JOINT}\d{{3,4}}{_JOINT}\d{{4}}(?!\d)"
    ),
    re.compile(rf"(?<![\d+])(?<!\d{{4}}-)\(?01[016-9]\)?{_JOINT}\d{{3,4}}{_JOINT}\d{{4}}(?!\d)"),
    re.compile(  # landlines, 050…, 070, 080
        rf"(?<!\d)(?<!\d[.,])\(?0(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|[78]0|50\d?)\)?{_JOINT}\d{{3,4}}{_JOINT}\d{{4}}(?!\d)"
    ),
    re.compile(r"(?<![\d-])(?:\([2-9]\d{2}\) ?|[2-9]\d{2}-)\d{3}-\d{4}(?![\d-])"),  # as in North America
)

_MAYBE_SPELLED = re.compile(r"[0oO공영]\s?[1lI일]\s?[0oO공영]")
_SPELLED = r"[0-9oO공영일이삼사오육륙칠팔구]"
_SPELLED_MOBILE = re.compile(  # 공일공 일이삼사 …, 0 1 0 1 2 3 4 …, o1o-1234-…
    rf"(?<!\d)(?:[공영] ?[일1] ?[공영]|[0oO] ?[1lI] ?[0oO])(?:{_JOINT}{_SPELLED}(?: ?{_SPELLED}){{3}}){{2}}(?!\d)"
)

_HOTLINE = re.compile(
    rf"(?<![\d.,-])(1(?:5(?:22|33|44|55|66|77|88|99)|6(?:00|11|44|55|60|61|66|68|70|77|88)|8(?:00|11|22|33|44|55|66|77|88|99)))"
    rf"(?:{_GAP}[-–ㅡ]{_GAP}|[ ])(\d{{4}})(?![\d-])"
)


def _hotline(found: re.Match[str]) -> str:
    """1588-1592 is a war, not a number to call."""
    return found[0] if int(found[1]) < int(found[2]) < 2100 else _PHONE


_LAST_EIGHT = re.compile(
    rf"((?:(?:전화|연락처|폰|내|제|집|엄마|아빠|핸드폰|휴대폰)\s?번호|전화|연락처|폰|(?<!\d)010에|공일공에)[^\d\n]{{0,6}})(\d{{4}}){_GAP}-{_GAP}(\d{{4}})(?![\d-])"
)


def _last_eight(found: re.Match[str]) -> str:
    return found[0] if int(found[2]) < int(found[3]) < 2100 else found[1] + _PHONE


_INTERNATIONAL = re.compile(r"(?<![\d+])\+(?!82)\d++(?! ?[원점명개%억회])(?:[ .-]?\(?\d+\)?)*")
_GROUP = re.compile(r"(?P<gap>[ .-]?)\(?(?P<digits>\d+)\)?")
_UNIT = re.compile(" ?[원점명개%만억회시분초년월일]")


def _international(found: re.Match[str]) -> str:
    """Groups of digits up to 15 are a number, and what comes after ten and a space is another: a year, a price.

    Two digits may still be the last of the first (`+90 532 123 45 67`), unless they count something (`30분`).
    """
    digits = end = 0
    for group in _GROUP.finditer(found[0]):
        more = digits + len(group["digits"])
        counts = group.end() == len(found[0]) and _UNIT.match(found.string, found.end())
        another = group["gap"] == " " and (len(group["digits"]) != 2 or counts)
        if more > 15 or (digits >= 10 and another):
            break
        digits, end = more, group.end()
    return _PHONE + found[0][end:] if digits >= 8 else found[0]


# ---------------------------------------------------------------------- accounts

_BANK = (
    "(?:국민|우리|하나|신한|기업|산업|제일|대구|부산|경남|광주|전북|제주|외환)은행|카카오뱅크|케이뱅크|토스뱅크|아이엠뱅크"
    "|저축은행|카뱅|케뱅|토뱅|농협|신한|신협|수협|우체국|새마을금고|IBK|KDB|SC제일|씨티은행|씨티뱅크|iM뱅크|수출입은행|산림조합"
    "|축협|한국투자|미래에셋|키움|삼성증권|계좌|입금|송금|이체|예금주"
)
# Words too: the number must follow at once.
_WORD_BANK = "국민|우리|하나|기업|토스|제일|산업|씨티|새마을|외환|대구|부산|경남|광주|전북|제주|KB|NH|SC|iM|케이|카카오"
_ACCOUNT_NUMBER = r"(?P<number>\d{2,6}(?:\s?[-–]\s?\d{1,8}){1,4}|\d{10,16}|\d{3,6}(?: \d{2,7}){2,3})(?![\d-])"
_NOT_MONEY = "송장|택배|등기|주문|상담|전화|예약|문의"
_ACCOUNT_AFTER_BANK = re.compile(
    rf"(?P<before>(?:{_BANK})(?:(?!{_NOT_MONEY})[^\d\n]){{0,15}}?|(?<![가-힣a-z])(?:{_WORD_BANK})\s?:?\s?)(?<!\d)"
    rf"{_ACCOUNT_NUMBER}",
    re.IGNORECASE,
)
_ACCOUNT_BEFORE_BANK = re.compile(
    rf"(?P<before>(?<![\d-])(?<!송장)(?<!송장 )){_ACCOUNT_NUMBER}"
    rf"(?=(?:(?!{_NOT_MONEY})[^\d\n]){{0,6}}?(?:{_BANK})|\s?(?:{_WORD_BANK})(?:은행|뱅크)?(?:[으]?로|에|이야|입니다|임|이고|이에요|예요|요)?(?![가-힣]))",
    re.IGNORECASE,
)


def _account(found: re.Match[str]) -> str:
    """A run of years or a day is no account (`국민 2024-2025-01`)."""
    is_one = 10 <= sum(map(str.isdigit, found["number"])) <= 16 and not _YEARS.match(found["number"])
    return found["before"] + _ACCOUNT if is_one else found[0]


_YEARS = re.compile(r"(?:19|20)\d\d ?[-–] ?(?:(?:19|20)\d\d(?!\d)|(?:0?[1-9]|1[0-2]) ?[-–] ?\d\d?(?!\d))")
