"""Phone numbers and addresses as other countries write them at home, without a +: the countries whose apps are read."""

import re

from data.masking.tags import mark

_PHONE, _ADDRESS, _ACCOUNT = mark("<PHONE>"), mark("<ADDRESS>"), mark("<ACCOUNT>")

# ---------------------------------------------------------------------- phones

_NINE_DIGITS = re.compile(r"(?:\d[^\d\n]{0,2}){9}")
_NO_UNIT = r"(?![\d-])(?!\.\d)(?![원명개만억円元€$%회])(?!\s[원명개만억円元€$%회](?![가-힣]))"
_PHONES = re.compile(
    r"(?<![\d+.,-])(?:"
    r"0[5789]0[- ]?\d{4}[- ]?\d{4}|\(?0\d{1,4}[)-]\d{1,4}-\d{4}"  # Japan
    r"|(?:1[-. ])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[-. ])[2-9]\d{2}[-. ]\d{4}"  # North America
    r"|(?:1[-. ])?[2-9]\d{2}([-. ])\d{3}\1\d{4}"
    r"|1[3-9]\d[- .]?\d{4}[- .]?\d{4}|0\d{2,3}-\d{7,8}"  # China
    r"|\(?01[5-7]\d{1,2}\)?[ /-]?\d{3,4}[ ]?\d{4,5}|\(?0[2-9]\d{1,3}\)?[ /-]{1,3}\d{3,4}[ -]?\d{3,5}"  # Germany
    r"|0[1-9](?:([ .-])\d{2})(?:\2\d{2}){3}|0[67]\d{8}"  # France
    r"|07\d{3}[ -]?\d{3}[ -]?\d{3}|\(?0(?:2\d|1\d{2,3})\)?[ -]\d{3,4}[ -]?\d{3,4}"  # United Kingdom
    r"|[679]\d{2}([ .-])\d{3}\3(?!000)\d{3}|[6-9]\d{2}([ .-])\d{2}\4\d{2}\4\d{2}"  # Spain
    r"|3\d{2}[ .-]?\d{3}[ .-]?\d{4}|\(?0?[1-9]\d\)? ?9 ?\d{4}-\d{4}|\([1-9]\d\) ?[2-5]\d{3}-\d{4}"  # Italy; Brazil
    r"|[6-9]\d{4} \d{5}"  # India
    r"|(?:\(?8\)?|\+7)[ -]?(?:\(\d{3}\)|9\d{2})[ -]?\d{3}[ -]?\d{2}[ -]?\d{2}"
    r"|0?5\d{2}[ -]\d{3}[ -]\d{2}[ -]?\d{2}"  # Russia; Turkey
    rf"|08[1-9]\d{{7,9}}|08\d{{2}}([- ])\d{{4}}\5\d{{3,5}}){_NO_UNIT}"  # Indonesia
)
# In groups after a 0 or an area code in brackets, as most countries write a number at home; or in one after a 0.
_GROUPED = re.compile(
    r"(?<![\d+.,:/-])(?:\(?0[1-9]\d{0,4}\)?[ ./-]{1,3}\d{2,9}|\((?!(?:19|20)\d\d\))\d{2,5}\)[ .-]{0,2}\d{2,9}"
    r"|0[1-9]\d{8,9})"
    rf"(?:[ .-]\d{{2,5}}){{0,4}}(?!\d|:\d|/\d){_NO_UNIT}"
)
# After its word any number of eight digits or more is one.
_AFTER_THE_WORD = re.compile(
    r"((?:전화|연락처|핸드폰|휴대폰|폰번호|電話|携帯|手机|电话|(?<![a-z])(?:tel|téléphone|tél|telefon|teléfono|telefone|móvil|handy|phone|mobile"
    r"|cell|whatsapp|llámame|appelle|call me|text me|my number))[^\d\n(+]{0,14})"
    r"(\+?\(?\d(?:[ ().\-/]{0,2}\d){7,14})(?!\d)(?!\s?[원명개만억円元년월일])",
    re.IGNORECASE,
)
_ACCOUNTS = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])"
    r"|(?P<before>(?:普通|当座|口座(?:番号)?)[^\d\n]{0,6}|(?<![a-z])(?:account|acct\.?|routing)(?: ?(?:number"
    r"|no\.?|#))?(?: is|:)? )"
    r"\d[\d-]{5,15}(?![\d-])|(?P<before_sort>sort code[^\d\n]{0,6})\d{2}-\d{2}-\d{2}",
    re.IGNORECASE,
)


_NO_PHONE = re.compile(r"(?:송장|택배|등기|주문|조회|상품|order|tracking|注文|追跡|订单)[^\d\n]{0,8}$", re.IGNORECASE)


_NO_NUMBER = re.compile(r"0\d[ ./-]\d\d[ ./-](?:19|20)\d\d(?!\d)|01234567")  # a day; a row of keys


def _phone(found: re.Match[str]) -> str:
    """What follows a word for orders and parcels is no phone number."""
    if _NO_NUMBER.match(found[0]):
        return found[0]
    return found[0] if _NO_PHONE.search(found.string, max(0, found.start() - 16), found.start()) else _PHONE


def _grouped(found: re.Match[str]) -> str:
    groups = re.findall(r"\d+", found[0])
    is_one = 9 <= sum(map(len, groups)) <= 12 and max(map(len, groups)) > 2
    return _phone(found) if is_one else found[0]


def mask_foreign_numbers(text: str) -> str:
    """Return the text with marks for phone numbers, and for accounts of foreign banks."""
    if _NINE_DIGITS.search(text):
        text = _GROUPED.sub(_grouped, _PHONES.sub(_phone, text))
    text = _AFTER_THE_WORD.sub(rf"\1{_PHONE}", text)
    return _ACCOUNTS.sub(lambda found: (found["before"] or found["before_sort"] or "") + _ACCOUNT, text)


# ---------------------------------------------------------------------- addresses

_NO_STREET = (
    r"(?!(?:the|on|in|of|down|a|an|this|that|my|our|way|more|people|min|mins|minutes?|miles?|km|cars?|kids?|days?|hours?|to|at|from|and|or"
    r"|for|per|years?|weeks?|months?|blocks?|lane|steps?|off|up|is|are|was|by)\b)"
)
_STREET_WORD = "street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|terrace|parkway|pkwy|highway|hwy"
_CAPITAL_WORD = (
    "Drive|Dr|Way|Court|Ct|Place|Pl|Close|Square|Sq|Circle|Cir|Crescent|Gardens|Grove|Row|Hill|Walk|Mews|Trail"
)
_DETAIL = r"(?:,?\s(?:apt|apartment|unit|suite|ste|flat|room|floor|#)\.?\s?#?[\w-]{1,6})?"
_ENGLISH = re.compile(
    rf"(?<![\d.,$-])(?:(?i:flat|apt|apartment|unit|suite) ?\d{{1,4}}[A-Za-z]?,? )?\d{{1,5}}[A-Za-z]? "
    rf"(?:(?:(?:[NSEW]\.? )?(?i:{_NO_STREET}[a-z0-9'.]{{2,20}} ){{1,4}}?(?i:{_STREET_WORD})"
    rf"|(?:[NSEW]\.? )?(?:[A-Z][\w'.]{{1,20}} |\d{{1,3}}(?:st|nd|rd|th) ){{1,3}}(?:{_CAPITAL_WORD}))\b\.?"
    rf"(?: (?:NW|NE|SW|SE|N|S|E"
    rf"|W)\b)?(?i:{_DETAIL})(?:,? [A-Z][a-z]+(?: [A-Z][a-z]+)?,? [A-Z]{{2}} \d{{5}}(?:-\d{{4}})?)?)"
)
_EUROPEAN = re.compile(
    r"(?<![\w])[A-ZÄÖÜ][a-zäöüß-]{2,20}(?:straße|strasse|str\.|weg|platz|allee|gasse) \d{1,4} ?[a-z]?(?![a-z\d])"
    r"|(?<![\d.])\d{1,4}(?: bis| ter)?,? (?:rue|avenue|boulevard|place|chemin|allée|impasse|quai) (?:(?:de|du"
    r"|des|la|le|les|l'|d')\s?)*"
    r"[A-ZÀ-Ýa-zà-ÿ][\w'-]{2,20}(?: [A-ZÀ-Ý][\w'-]{2,20}){0,2}"
    r"|(?<![\w])(?:calle|avenida|avda\.|plaza|paseo|via|viale|rua|ulitsa|улица|ул\.) (?:(?:de|del|la|las|los|da|do)\s)*"
    r"[A-ZÀ-Ýa-zà-ÿА-яё][\w'-]{2,20}(?: [A-ZÀ-Ý][\w'-]{2,20}){0,2},? (?:n[º°o]\.? ?|д\. ?)?\d{1,4}(?![\d:])",
    re.IGNORECASE,
)
_HAN = "\u3400-\u9fff"
_EAST_ASIAN = re.compile(
    rf"(?:〒?\d{{3}}-\d{{4}}\s?)?(?:[{_HAN}]{{2,3}}[都道府県])?(?:[{_HAN}\u3041-\u30ff]{{1,6}}?[市区郡町村]){{1,3}}"
    rf"[{_HAN}\u3041-\u30ff]{{0,10}}\s?\d{{1,4}}(?:丁目|番地|番|号|[-−ー–の]|(?<=\D)\d{{1,4}})+(?:[ 　]?\d{{2,4}}号室)?"
    rf"|[{_HAN}]{{2,16}}(?:路|街|大道|巷)\d{{1,5}}号(?:[\d{_HAN}]{{0,4}}?[栋楼室])*"
    rf"|〒\d{{3}}-?\d{{4}}"
)


def mask_foreign_addresses(text: str) -> str:
    """Return the text with a mark in the place of each address."""
    if _LATIN.search(text):
        text = _ENGLISH.sub(_ADDRESS, text)
        text = _EUROPEAN.sub(_ADDRESS, text)
    return _EAST_ASIAN.sub(_ADDRESS, text) if _HAN_LETTER.search(text) else text


_LATIN = re.compile("[A-Za-zÀ-я]{2}")
_HAN_LETTER = re.compile(f"[{_HAN}〒]")
