"""Placeholders: the words that exports write in the place of a picture, a call or a poll.

Each is known by its whole message, in Korean or English, as KakaoTalk, WhatsApp, LINE and Telegram write it. A few
that nobody types are also known inside a message: the line of an attached file, above the words that came with it.
"""

import re

from data.masking.tags import mark

# Tag: what stands for it as a whole message, in lower case. {} around a word: also in (), [] or <>.
_WORDS = {
    "<PHOTO>": """
        {사진}|{photo}|{photos}|{image}|{이미지}|<사진 읽지 않음>|사진을 보냈습니다|image omitted|photo omitted
        gif omitted|<media omitted>|media omitted|<미디어 파일을 제외한 내보내기>|<미디어 파일 제외됨>|<미디어 제외>
        <미디어 생략>|이미지 생략됨|사진 생략됨|gif 생략됨|{앨범}|{album}|{albums}|{gif}|sent a photo
        """,
    "<MOVIE>": """
        {동영상}|{video}|{videos}|{비디오}|<동영상 읽지 않음>|동영상을 보냈습니다|video omitted|video note omitted
        동영상 생략됨|비디오 생략됨|{animation}|{video message}|{video_message}|{video_file}|sent a video
        """,
    "<EMOJI>": """
        {이모티콘}|{emoticon}|{emoticons}|{스티커}|{sticker}|{stickers}|스티커를 보냈습니다|sticker omitted
        스티커 생략됨|sent a sticker
        """,
    "<FILE>": """
        {파일}|[file]|(file)|<파일 읽지 않음>|파일을 보냈습니다|document omitted|file omitted|문서 생략됨
        {document}|sent a file
        """,
    "<VOICE>": """
        {음성메시지}|{음성 메시지}|{음성메세지}|{voice note}|{voice notes}|{voice message}|{voice_message}|[voice]
        [음성]|[audio]|{audio_file}|<음성메시지 읽지 않음>|음성 메시지를 보냈습니다|audio omitted|오디오 생략됨
        음성 생략됨|음성 메시지 생략됨
        """,
    "<CALL>": """
        missed voice call|missed video call|missed group voice call|missed group video call|missed call|canceled call
        group call|부재중 음성통화|부재중 음성 통화|부재중 영상통화|부재중 영상 통화|부재중 전화|취소된 통화|통화 취소
        no answer|{phone_call}
        """,
    "<MONEY>": """
        {송금}|정산을 요청했어요|정산 요청|선물을 보냈습니다|선물과 메시지를 보냈습니다|선물과 메시지를 보냈어요|{gift}
        """,
    "<POLL>": "{투표}|{poll}",
    "<NOTICE>": "[노트]|[note]|[notes]|[공지]|[notice]|[일정]|[event]",
    "<PLACE>": """
        {지도}|{map}|{위치}|{위치 정보}|{location}|{live location}|live location shared|실시간 위치 공유
        실시간 위치를 공유했습니다
        """,
    "<CONTACT>": "{연락처}|{contact}|{contacts}|contact card omitted|연락처 생략됨|연락처 카드 생략됨|카카오톡 프로필",
}
_PICTURES, _MOVIES, _SOUNDS = "jpe?g|png|gif|webp|heic|bmp", "mp4|mov|avi|mkv|3gp|webm", "m4a|opus|ogg|mp3|aac|amr|wav"
_CALLS = (
    "보이스톡|페이스톡|그룹콜|그룹 보이스톡|그룹 페이스톡|라이브톡|음성 ?통화|영상 ?통화"
    "|(?:group )?(?:voice|video) ?(?:call|talk)|live ?talk"
)
_CALL_ENDS = "해요|시작|종료|취소|부재중|응답 ?없음|거절|ended|started|cancell?ed|missed|no answer"
_PAID = "받으세요|보냈어요|보냈습니다|받았어요|받았습니다|송금했어요|송금했습니다|요청했어요"
_DURATION = r"\d{1,3}:\d{2}(?::\d{2})?"
_BOARD = r"톡 ?게시판|talk ?board|(?:chatroom )?board"
_PATTERNS = {
    "<PHOTO>": rf"사진 ?\d+ ?장|\d+ photos|[0-9a-f]{{64}}\.(?:{_PICTURES})",
    "<MOVIE>": rf"동영상 ?\d+ ?개|\d+ videos|[0-9a-f]{{64}}\.(?:{_MOVIES})",
    "<VOICE>": rf"[0-9a-f]{{64}}\.(?:{_SOUNDS})|(?:음성 ?메시지|voice (?:note|message)) {_DURATION}",
    "<FILE>": r"(?:파일|file) ?: ?\S.*",
    "<CALL>": rf"(?:{_CALLS})(?: ?(?:{_CALL_ENDS}))?(?:[ ,:]*{_DURATION})?!?|통화 ?(?:시간)? {_DURATION}"
    r"|☎\ufe0f? ?(?:통화|call|부재중|missed|취소|cancel|응답|no answer).*",
    "<MONEY>": rf"(?:₩|krw ?)?[\d,]+ ?(?:원|won)[을를]? ?(?:{_PAID})|(?:송금|정산) ?:? ?[\d,]+ ?원"
    r"|you (?:sent|received) (?:₩|krw ?)?[\d,]+(?: ?won)?",
    "<POLL>": rf"(?:{_BOARD}) ['\"‘“]?(?:투표|poll)['\"’”]? ?:(?s:.*)|(?:투표|poll) ?:(?:\s(?s:.*))"
    r"|\[(?:투표|poll)\] .*",
    "<NOTICE>": rf"(?:{_BOARD}) ['\"‘“].{{1,20}}['\"’”] ?:(?s:.*)|\[(?:노트|note)\] .*",
    "<PLACE>": r"(?:지도|위치|map|location|live location) ?: ?\S.*|(?:위치|location)\s+https?://\S+",
    "<CONTACT>": r"(?:연락처|contact) ?: ?\S.*|\S.*\.vcf",
    "<URL>": r"샵검색 ?: ?#?.*|search ?: ?#.*",
}
# The same in other languages: what was left out, and that it was.
_KINDS = {
    "<PHOTO>": "image|photo|gif|bild|foto|imagen|imagem|immagine|görüntü|resim|gambar|изображение|фото"
    "|الصورة|صورة|画像|写真|图片|圖片|图像|照片",
    "<MOVIE>": "video|vidéo|vídeo|видео|الفيديو|فيديو|動画|ビデオ|视频|影片|videonotiz",
    "<VOICE>": "audio|áudio|sprachnachricht|ses|аудио|голосовое сообщение|الصوت|صوت|音声|音声メッセージ|语音|音频|語音",
    "<EMOJI>": "sticker|autocollant|çıkartma|stiker|стикер|ملصق|スタンプ|ステッカー|貼圖|贴纸|figurinha|adesivo",
    "<FILE>": "document|dokument|documento|belge|dokumen|документ|مستند|文書|ドキュメント|文档|文件|檔案",
    "<CONTACT>": "contact card|kontaktkarte|tarjeta de contacto|fiche contact|kişi kartı|kartu kontak"
    "|карточка контакта|連絡先|联系人",
}
_LEFT_OUT = (
    "omitted|weggelassen|absente?|omise?|omitid[ao]s?|ocultad[ao]|omess[oaie]|dahil edilmedi"
    "|tidak disertakan|отсутствует|опущено?|пропущено?"
    "|تم (?:حذف|استبعاد)|は?含まれていません|を?除外しました|なし|已?省略|已?忽略|被省略"
)
_OMITTED = re.compile(
    "|".join(
        f"(?:(?:{kind})(?P<a{n}>) ?(?:{_LEFT_OUT})|(?:{_LEFT_OUT}) ?(?:{kind})(?P<b{n}>))"
        for n, kind in enumerate(_KINDS.values())
    )
)
_MEDIA = re.compile(r"<[^<>\n\d]{0,30}(?:m[eé]di[aeo]|multim|mídia|medya|медиа|وسائط|メディア|媒|多媒)[^<>\n\d]{0,30}>")
_CALL_IN_WORDS = re.compile(
    r"(?:missed |declined |cancell?ed |unanswered )?(?:group )?(?:voice|video|audio) call"
    r"(?:[.,·:] ?(?:(?:tap|click) to call back|no answer|answered on other device|declined"
    r"|\d[\d :]{0,6} ?(?:h|m|s)[a-z]*(?: \d+ ?(?:m|s)[a-z]*)*"
    r"|\d+ joined))+"
    r"|(?:verpasster|entgangener) (?:gruppen-?)?(?:sprach|video)?anruf.{0,40}|appel (?:vocal"
    r"|vidéo)(?: de groupe)? manqué.{0,40}"
    r"|(?:video)?llamada (?:grupal )?(?:de (?:voz|video) )?perdida.{0,40}|chamada de (?:voz"
    r"|vídeo) perdida.{0,40}|(?:video)?chiamata (?:vocale )?persa.{0,40}"
    r"|cevapsız (?:sesli|görüntülü) arama.{0,40}|panggilan (?:suara|video) tak terjawab.{0,40}"
    r"|пропущенный (?:аудио|видео)?звонок.{0,40}"
    r"|مكالمة (?:صوتية|فيديو) فائتة.{0,40}|☎?\ufe0f? ?(?:通話(?:時間|を)|不在着信|応答なし|キャンセル"
    r"|音声通話|ビデオ通話).{0,30}|未接(?:语音|視訊|视频|語音)?(?:通话|通話|来电|來電).{0,20}"
)
# The line of an attached file, which is told by its shape: a file's name and a word in brackets, or both in <>.
_ATTACHED = re.compile(
    rf"^(?:[^\n<>]{{1,120}}\.(?P<after>{_PICTURES}|{_MOVIES}|{_SOUNDS}|[a-z0-9]{{2,5}}) \((?!\d)[^()\n\d]{{4,25}}\)"
    r"|<[^\n<>:：]{2,20} ?[:：] ?[^\n<>]{1,120}\.(?P<within>[a-z0-9]{2,5})>)$",
    re.IGNORECASE | re.MULTILINE,
)
_EDITED = re.compile(
    r"(?<!\s)\s*<[^<>\n]{0,30}(?:edited|bearbeitet|modifié|editó|editado|editada|modificato|düzenlendi|diedit|измен|تعديل|編集|编辑|編輯|수정되|편집됨)"
    r"[^<>\n]{0,20}>\s*$",
    re.IGNORECASE,
)
_INSIDE = re.compile(r"\((?:이모티콘|emoticon)\)", re.IGNORECASE)
_LONGEST_WORD = 64


def _whole_messages() -> dict[str, str]:
    table: dict[str, str] = {}
    for tag, words in _WORDS.items():
        for word in filter(None, map(str.strip, words.replace("\n", "|").split("|"))):
            bare = word.strip("{}")
            shapes = ("{}", "({})", "[{}]", "<{}>") if word != bare else ("{}",)
            table.update({shape.format(bare): mark(tag) for shape in shapes})
    return table


_WHOLE = _whole_messages()
_ORDER = list(_PATTERNS)
_PATTERN = re.compile("|".join(f"({pattern})" for pattern in _PATTERNS.values()))
# The Korean letters with which one of them can begin: most messages begin with another.
_BEGINNINGS = frozenset(re.findall(r"(?:^|[|(:?*\])])([가-힣])", "|".join(_PATTERNS.values())))


def placeholder(text: str) -> str | None:
    """Return the mark for a message that is nothing but a placeholder; None for text."""
    lowered = text.lower().rstrip(".")
    if len(lowered) <= _LONGEST_WORD:
        found = _WHOLE.get(lowered)
        if found is not None:
            return found
    is_korean = "가" <= lowered[:1] <= "힣"
    if not is_korean or lowered[0] in _BEGINNINGS or lowered.endswith(".vcf"):
        matched = _PATTERN.fullmatch(lowered)
        if matched is not None:
            return mark(_ORDER[(matched.lastindex or 1) - 1])
    return _in_other_languages(lowered) if len(lowered) <= _LONGEST_WORD and not is_korean else None


def _in_other_languages(text: str) -> str | None:
    if _CALL_IN_WORDS.fullmatch(text):
        return mark("<CALL>")
    if text.startswith("<") and _MEDIA.fullmatch(text):
        return mark("<PHOTO>")
    found = _OMITTED.fullmatch(text)
    return None if found is None else mark(list(_KINDS)[int(str(found.lastgroup)[1:])])


def mask_placeholders(text: str) -> str:
    """Return the text with marks for the placeholders in it, and without a note that it was edited."""
    if "(" in text or "<" in text:
        text = _INSIDE.sub(mark("<EMOJI>"), text)
        text = _ATTACHED.sub(_attached, text)
        text = _EDITED.sub("", text)
    return text


def _attached(found: re.Match[str]) -> str:
    kind = (found["after"] or found["within"]).lower()
    for tag, kinds in {"<PHOTO>": _PICTURES, "<MOVIE>": _MOVIES, "<VOICE>": _SOUNDS, "<CONTACT>": "vcf"}.items():
        if re.fullmatch(kinds, kind):
            return mark(tag)
    return mark("<FILE>")
