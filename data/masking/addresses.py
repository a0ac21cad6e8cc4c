"""Addresses masked: a house number by the street (`강남구 테헤란로 152`) or by the land (`역삼동 737-1번지`).

Most words before a number end like a street (`앞으로 3명`, `올라가는 길 30분`): so a street counts with its town before
it, with a numbered side street, after the word 주소, or with a door behind it.
"""

# ruff: noqa: SIM905 (the lists of places are to be read, and edited, as text)

import re

from data.masking.tags import mark

_ADDRESS = mark("<ADDRESS>")

_PROVINCES = "서울 부산 대구 인천 광주 대전 울산 세종 경기 강원 충북 충남 전북 전남 경북 경남 제주".split() + [
    f"{region}{half}" for region in ("충청", "전라", "경상") for half in "남북"
]
_CITIES = """
    강릉 거제 경산 경주 계룡 고양 공주 과천 광명 광양 광주 구리 구미 군산 군포 김제 김천 김포 김해 나주 남양주 남원
    논산 당진 동두천 동해 목포 문경 밀양 보령 부천 사천 삼척 상주 서귀포 서산 성남 속초 수원 순천 시흥 아산 안동 안산
    안성 안양 양산 양주 여수 여주 영주 영천 오산 용인 원주 의왕 의정부 이천 익산 전주 정읍 제주 제천 진주 창원 천안
    청주 춘천 충주 태백 통영 파주 평택 포천 포항 하남 화성
""".split()
_COUNTIES = """
    가평 강진 강화 거창 고령 고성 고창 고흥 곡성 괴산 구례 군위 금산 기장 남해 단양 달성 담양 무안 무주 보성 보은 봉화
    부안 부여 산청 서천 성주 순창 신안 양구 양양 양평 연천 영광 영덕 영동 영암 영양 영월 예산 예천 옥천 옹진 완도 완주
    울릉 울주 울진 음성 의령 의성 인제 임실 장성 장수 장흥 정선 증평 진도 진안 진천 창녕 철원 청도 청송 청양 칠곡 태안
    평창 하동 함안 함양 함평 합천 해남 홍성 홍천 화순 화천 횡성
""".split()
_DISTRICTS = """
    강남 강동 강북 강서 계양 관악 광산 광진 구로 금정 금천 기흥 남 남동 노원 단원 달서 대덕 덕양 덕진 도봉 동 동남
    동대문 동래 동안 동작 마산합포 마산회원 마포 만안 미추홀 부산진 부평 북 분당 사상 사하 상당 상록 서 서대문 서북
    서원 서초 성동 성북 성산 송파 수성 수영 수정 수지 양천 연수 연제 영도 영등포 영통 완산 용산 유성 은평 의창 일산동
    일산서 장안 종로 중 중랑 중원 진해 처인 청원 팔달 해운대 흥덕 권선
""".split()


def _any_of(words: list[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_PROVINCE = rf"(?:{_any_of(_PROVINCES)})(?:특별자치|특별|광역)?[시도]?"
_CITY = rf"(?:{_any_of(_CITIES)})"
_DISTRICT = rf"(?:(?:{_any_of(_DISTRICTS)})구|(?:{_any_of([name for name in _DISTRICTS if len(name) > 1])}))"
_REGION = (
    rf"(?:{_PROVINCE}\s?(?:{_CITY}시?\s?)?|{_CITY}시\s?)?"
    rf"(?:{_DISTRICT}|(?:{_any_of(_COUNTIES)})군|{_CITY}시?|{_PROVINCE})"
)
_NUMBER = (
    r"(?:지하\s?)?\d{1,4}(?:-\d{1,4})?(?![\d,.]?\d)"
    r"(?=(?:번지|동|호|층|이야|야|입니다|임|이에요|예요|에요|요|으로|로|에|의|인데|이고|고|래|라고|이라|앞|옆|쪽)|[^가-힣%]|$)"
    r"(?!\s(?:시간|시|분|초|년|개월|명|개|원|만|킬로|미터|km|호선)(?:[^가-힣]|$))"
)
_SIDE_STREET = r"(?:대?로|길)\s?\d{1,4}(?:번|가)?길"
_NO_STREET = r"(?<!으로)(?<![그이저제맘뜻멋]대로)(?<![서바별새따]로)(?<![는은던른]길)"
_STREET = rf"[가-힣][가-힣0-9·]{{0,8}}?(?:{_SIDE_STREET}|(?:대로|로|길){_NO_STREET})"
_LAND = r"[가-힣]{1,5}\d?(?:동|리|가|읍|면)"
_DOOR = r"(?:\d{1,4}동\s?)?(?:지하\s?)?\d{1,4}(?:호|층)"
_DETAIL = (
    r"(?:번지)?(?:,?\s?(?:\([가-힣0-9A-Za-z,\s·]{1,30}\)|지하\s?\d{1,2}층"
    r"|\d{1,4}(?:동|호|층)(?=[^가-힣]|$|으로|로|에|이|야|입니|인|임|라|래|\d)"
    r"|[가-힣A-Za-z0-9]{1,12}(?:아파트|빌딩|타워|오피스텔|빌라|주택|맨션|하우스|상가)))*"
)
_MAYBE_ADDRESS = re.compile(r"(?:[로길동리가읍면]|지하)\s?\d")
_FULL_ADDRESS = re.compile(
    rf"(?<![가-힣])(?:\(?\d{{5}}\)?\s)?{_REGION}\s?(?:[가-힣]{{1,5}}\d?(?:동|읍|면|리)\s?){{0,2}}"
    rf"(?:{_STREET}|{_LAND})\s?{_NUMBER}{_DETAIL}"
    rf"|(?<![가-힣])[가-힣]{{1,8}}{_SIDE_STREET}\s?{_NUMBER}{_DETAIL}"
    rf"|(?<![가-힣]){_STREET}\s?\d{{1,4}}(?:-\d{{1,4}})?,?\s{_DOOR}{_DETAIL}"
    r"|(?<![가-힣])(?:[가-힣]{1,6}[동리]|[가-힣]{1,5}\d가)\s?(?:산\s?)?\d{1,4}(?:-\d{1,4})?\s?번지" + _DETAIL + r"|"
    r"(?:[가-힣A-Za-z0-9]{1,12}(?:아파트|빌라|맨션|오피스텔|자이|래미안|푸르지오|힐스테이트|아이파크)\s?)?"
    r"(?<!\d)\d{1,4}동\s?\d{2,4}호" + _DETAIL
)
_AFTER_THE_WORD = re.compile(
    r"((?:주소|배송지|사는 ?곳|보내(?:실|줄) ?곳|우리 ?집|집은|회사는?|학원은?|가게는?|택배|도착지"
    r"|목적지|위치)[^\d\n]{0,8}?[\s:은는가]\s?)"
    rf"(?:{_STREET}|{_LAND})\s?{_NUMBER}{_DETAIL}"
)
# A street and its number alone: no adverb, a number of two digits or more, and then nothing that it could count.
_ADVERBS = (
    "그야말|실제|때때|대체|절대|진짜|가짜|스스|억지|함부|의외|참고|최대|최소|추가|별도|임의|무료|유료|공짜|강제|정식|예정|계획|생각|말씀|약속|순서|차례|"
    "마음|시간|가격|원래|사실|그런대|단독|자체|전체|이대|그대|저대|제대|되는대|하는대|멋대|맘대|뜻대|공식|별개|하나|둘째|첫째"
)
_STREET_ALONE = re.compile(
    rf"(?<![가-힣])(?!(?:{_ADVERBS})로)[가-힣]{{2,7}}?(?:대로|로){_NO_STREET}\s?\d{{2,4}}(?:-\d{{1,3}})?(?![\d:,.]\d|\d)"
    r"(?=(?:번지|이야|야|입니다|임|이에요|예요|에요|으로|로|에서|에|인데|이고|래|라고|앞|옆)(?:[^가-힣]|$|\s)|\s?(?:[.,!?)]|$)|\s와"
    r"|\s?(?:로|으로|에서|에|앞|옆|뒤|근처|맞은편|건너편)(?:[^가-힣]|$|에서?|으로|로|쪽|이야|야|임|인데))"
    + _DETAIL
    # Glued: 월드컵북로154. A word of three syllables and more, and nothing that is counted.
    + rf"|(?<![가-힣])(?!(?:{_ADVERBS})로)[가-힣]{{3,7}}(?:대로|로){_NO_STREET}\d{{2,3}}(?:-\d{{1,3}})?(?=$|[\s,.!?]"
    + r"(?!\s?(?:시간|시|분|초|년|개월|명|개|원|만|킬로|미터|km|호선|대|배|점|권|번)(?:[^가-힣]|$)))"
)


def mask_addresses(text: str) -> str:
    """Return the text with a mark in the place of each address."""
    if not _MAYBE_ADDRESS.search(text):
        return text
    text = _STREET_ALONE.sub(_ADDRESS, _FULL_ADDRESS.sub(_ADDRESS, text))
    return _AFTER_THE_WORD.sub(rf"\1{_ADDRESS}", text)
