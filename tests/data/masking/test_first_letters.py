"""Each word that tells people's data is looked for, whatever letter it begins with: expressions ask for that first."""

# ruff: noqa: SIM905 (the word lists are to be read, and edited, as text)

import pytest

from data.masking.cleaning import clean
from data.masking.names import name_pattern

APPS = """
    카카오톡 카톡 카카오 인스타그램 인스타 인별 텔레그램 텔레 라인 트위터 디스코드 디코 틱톡 스냅챗 스냅
    페이스북 페북 위챗 왓츠앱 스레드 깃헙 깃허브 스팀 배그 롤 ㅋㅌ ライン インスタ カカオ ツイッター
    ディスコード テレグラム 微信 instagram insta ig snapchat telegram kakao line discord twitter tiktok wechat
    whatsapp skype github facebook threads steam signal viber reddit twitch battlenet psn xbox Instagram LINE
    Discord 아이디 아디 계정 username
""".split()
LOCKS = """
    비번 비밀번호 패스워드 암호 도어락 공동현관 현관 暗証番号 パスワード パスコード wifiのパス ワイファイのパス
    オートロック 密码 密碼 password passwd passcode passphrase pwd pw PIN door|code gate|code entry|code
    lock|code alarm|code access|code safe|code garage|code code|for|the|door key|box lockbox Keybox
""".split()
TOLD = """
    생일|1999.03.12 생년월일|990312 1999년|3월|12일에|태어났어 민증|990312 birthday|03/12/1999 bday|03/12/1999
    born|on|03/12/1999 DOB|03/12/1999 誕生日|1999/03/12 生年月日|1999/03/12 生日|1999/03/12 여권|M12345678
    passport|M12345678 パスポート|M12345678 旅券|M12345678 护照|M12345678 면허|11-22-333333-44
    licence|11-22-333333-44 免許|112233334444 주민번호|990312 민번|990312 외국인등록번호|990312 ssn|123-45-6789
    social|security|123-45-6789 マイナンバー|1234|5678|9012 身份证|110101199003071234 dl:|D1234567
""".split()
SHOWN = """
    사진|3장:<PHOTO> 동영상|2개:<MOVIE> 음성메시지|0:12:<VOICE> 파일:|a.pdf:<FILE> 보이스톡|해요:<CALL>
    페이스톡|0:31:<CALL> 그룹콜|시작:<CALL> 라이브톡|종료:<CALL> 음성통화|0:31:<CALL> 영상통화|취소:<CALL>
    통화|시간|0:31:<CALL> 송금|5,000원:<MONEY> 정산|5,000원:<MONEY> 투표:|점심:<POLL>
    톡|게시판|'투표':|점심:<POLL> 톡게시판|'공지':|안녕:<NOTICE> 지도:|강남역:<PLACE> 위치:|강남역:<PLACE>
    연락처:|나율:<CONTACT> 나율.vcf:<CONTACT> 샵검색:|#날씨:<URL>
""".split()


@pytest.mark.parametrize("word", APPS)
def test_accounts(word: str) -> None:
    assert clean(f"그래 {word} nayul_90").endswith(" <ID>"), word


@pytest.mark.parametrize("word", [word.replace("|", " ") for word in LOCKS])
def test_secrets(word: str) -> None:
    assert clean(f"그래 {word} 0412#").endswith(" <ID>"), word


@pytest.mark.parametrize("text", [text.replace("|", " ") for text in TOLD])
def test_papers_and_birth_dates(text: str) -> None:
    assert "<ID>" in clean(text), text


@pytest.mark.parametrize("shown", [text.replace("|", " ") for text in SHOWN])
def test_placeholders(shown: str) -> None:
    text, _, tag = shown.rpartition(":")
    assert clean(text) == tag, text


def test_names_by_their_first_letters() -> None:
    senders = "서나율|최준|김하늘|오늘|Grace|Özge Yılmaz|Анна|田中太郎|さくら|민준tv|nora_f|7even|이 솔|Ωmega".split(
        "|"
    )
    names = name_pattern(senders)
    said = (
        "나율아 준아 하늘이가 오늘님 Özge! анна? 田中さん さくらちゃん 민준TV x_nora_f 7even hey Grace, ωmega 이솔 왔다"
    )
    assert clean(said, names).count("<NAME>") == 14, clean(said, names)
    assert clean("하늘 맑은 오늘 준비", names) == "하늘 맑은 오늘 준비"
