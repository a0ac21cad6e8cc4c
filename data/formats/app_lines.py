"""What apps say themselves, in the languages in which they are used most: lines about people, deletions, edits.

No list of sentences: an app names a person and says one of few things of them (`X left`, `X hat Y hinzugefügt`), and a
notice of a deletion is made of the word for message, a word for deleting and a few small words.
"""

import re
from collections.abc import Iterable

# What somebody does in an app's line, after their name. Groups of a language stand in a line.
_DOES = (
    r"joined(?: using| from| the| this| via|\.?$)|left(?: the| this|\.?$)|added |removed |invited "
    r"|created (?:this |the )?group|created group"
    r"|changed (?:the|this|their|to|from)|(?:is|are) now an admin|(?:was|were) (?:added|removed)"
    r"|has been removed|pinned a message"
    r"|turned (?:on|off)|unsent a message|started (?:a|an) |updated the|set (?:the|messages)|reset this"
    r"|requested to join|deleted this group"
    r"|hat .{1,120}(?:hinzugefügt|entfernt|geändert|erstellt|eingeladen|verlassen|angepinnt)"
    r"|ist (?:[^\n]{1,60} )?beigetreten|wurde hinzugefügt"
    r"|a (?:ajouté|retiré|supprimé|créé|changé|modifié|quitté|rejoint|épinglé|invité)|est parti|a été (?:ajouté|retiré)"
    r"|(?:se )?(?:añadió|agregó|eliminó|creó|cambió|salió|unió|fijó)(?: |\.?$)|ahora es admin|adicionou"
    r"|removeu|criou|mudou|alterou|saiu|entrou usando|fixou"
    r"|ha (?:aggiunto|rimosso|creato|cambiato|modificato|abbandonato|fissato)|(?:si )?è (?:entrat|uscit|unit)[oa]"
    r"|.{1,80}(?:ekledi|çıkardı|oluşturdu|değiştirdi|ayrıldı|katıldı|sabitledi)|(?:gruba|gruptan) "
    r"|menambahkan|mengeluarkan|membuat grup|mengubah|keluar\.?$|bergabung|telah (?:keluar|bergabung)"
    r"|(?:добавил|удалил|создал|изменил|сменил|покинул|присоединил|закрепил|пригласил)\w{0,5}|выш(?:ел|ла)"
)
_FRAME = re.compile(rf"(?P<who>[^\n:]{{1,80}}?),? (?:{_DOES})", re.IGNORECASE)
# The same within what looks like the name of who says something, `Ann changed the subject to "a: b"`: none ends there.
_DOES_MORE = _DOES.replace(r"|\.?$", "").replace(r"\.?$", "(?!)")
WHAT_APPS_SAY = re.compile(
    rf" (?:{_DOES_MORE})|님(?:이|께서) .*(?:그룹|추가|변경|만들|삭제|나갔|참여)|[がを].*(?:追加|変更|作成)|添加了"
    rf"|更改了|创建了",
    re.IGNORECASE,
)
_EAST_ASIAN = re.compile(
    r"(?P<who>[^\n、,，]{1,40}?)(?:さん)?が(?:[^\n]{1,40}?(?:を使用して|を使って|から|経由で))?(?:(?P<whom>[^\n]{1,80}?)(?:さん)?を)?(?:グループ[にをか名]\S{0,12}?)?"
    r"(?:追加|招待|退出|退会|参加|作成|変更|削除|取り消)し?"
    r"|(?P<who_zh>[^\n，。]{1,40}?)(?:已?(?:加入了?|退出了?|离开了?|離開了?|创建了?|建立了?|创建|更改了?|變更了?|收回|撤回)|"
    r"(?:添加了?|新增了?|移除了?|邀请了?|邀請了?|将|將)(?P<whom_zh>[^\n]{1,60}?)(?:加入|添加|移出|进|進|$))(?:群|此|這|这|聊天|讯|訊|了|一|$)?"
)
_KOREAN = re.compile(
    r"[^\n]{1,100}?님(?:이|을|과|께서|,)[^\n]{0,200}?(?:들어왔|나갔|초대했|초대하였|내보냈|부방장이 되었"
    r"|방장이 되었|해제되었|가렸|추가했|추가되었"
    r"|참여했|참여하였|퇴장했|변경했|변경하였|만들었|삭제했|취소했|고정했)습니다"
)
_KOREAN_NAME = re.compile(
    r"(?:^|(?<=, )|(?<=님과 )|(?<=님이 )|(?<=그리고 ))([^\n,]{1,40}?)님(?=이|을|과|와|께서|에게|의|은|,)"
)
_ARABIC = re.compile(r"(?:قام|أضاف|أزال|أنشأ|غيّر|غادر|انضم|غادرت|انضمت|أضافت|تمت إضافة|تمت إزالة)\b")
_ENCRYPTED = re.compile(
    r"end-to-end|ende-zu-ende|bout en bout|extremo a extremo|ponta a ponta|end-to-end|uçtan uca|end-to-end"
    r"|сквозн|تام بين|التشفير"
    r"|エンドツーエンド|端到端|端對端|종단간|security code|sicherheitsnummer|code de sécurité"
    r"|código de seguran?z?|codice di sicurezza",
    re.IGNORECASE,
)
_OBJECT = re.compile(
    r"(?:added|invited|removed|ajouté|retiré|supprimé|invité|añadió a|agregó a|eliminó a|adicionou(?: a)?"
    r"|removeu(?: a)?|aggiunto|rimosso"
    r"|menambahkan|mengeluarkan|(?:добавил|удалил|пригласил)(?:[аи]|\(а\))?) (?P<whom>[^\n]{1,200}?)"
    r"(?: (?:to|from|al|au|du|del|ao|do|dal|ke|dari|в) [^\n]*)?[.]?$"
    r"|\bhat (?P<whom_de>[^\n]{1,200}?) (?:zur Gruppe )?(?:hinzugefügt|entfernt|eingeladen)"
    r"|, (?P<whom_tr>[^\n]{1,80}?) (?:kişisini|adlı kişiyi)",
    re.IGNORECASE,
)
_CODE_WITH = re.compile(r"security code (?:with|for) (?P<who>[^\n]{1,40}?) (?:has )?changed", re.IGNORECASE)
_BETWEEN = re.compile(r",| and | und | et | y | e | ve | dan | и | و |、|，|和")
_NOBODY = re.compile(
    r"(?:you|your|this|the|a|an|only|all|messages?|someone|admins?|du|sie|dein\w*|vous|votre|tu|tú|se|usted|você|hai|siz|anda|вы|ваш|あなた|你|您"
    r"|당신|회원|group|link|kişi|グループ\w*|群\w*)\b|[\W\d]+$|.*[\"“:]",
    re.IGNORECASE,
)
_MARKS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LONGEST = 300
# What apps call themselves where they speak under a name.
APP_NAMES = frozenset(
    {"시스템", "알림", "system", "카카오톡", "kakaotalk", "오픈채팅봇", "방장봇", "whatsapp", "telegram", "line"}
)
_ENOUGH = 2  # lines of a sender, all of them an app's, that make it one


def says_the_app(text: str) -> bool:
    """Return True if a text is of the kind that apps say: who came, who went, what was changed."""
    text = _MARKS.sub("", text).strip()
    if len(text) > _LONGEST or "\n" in text:
        return False
    return bool(
        _FRAME.match(text)
        or _KOREAN.match(text)
        or _ENCRYPTED.search(text)
        or _ARABIC.search(text)
        or _EAST_ASIAN.match(text)
    )


def app_senders(said: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Return the senders who are the app: by their name, or since all that they say is what apps say."""
    lines: dict[str, int] = {}  # 0 once somebody has said anything else
    for sender, text in said:
        count = lines.get(sender, -1)
        if count:
            lines[sender] = max(count, 0) + 1 if says_the_app(text) else 0
    return frozenset(
        sender for sender, count in lines.items() if count >= (1 if sender.lower() in APP_NAMES else _ENOUGH)
    )


def people_named(text: str) -> list[str]:
    """Return the people whom a line of the app names: who joined, left, was invited, was renamed."""
    text = _MARKS.sub("", text).strip()
    if len(text) > _LONGEST:
        return []
    found = _KOREAN_NAME.findall(text) if _KOREAN.match(text) else []
    for pattern in (_FRAME, _EAST_ASIAN, _OBJECT, _CODE_WITH) if not found else ():
        match = pattern.match(text) if pattern is not _OBJECT and pattern is not _CODE_WITH else pattern.search(text)
        if match is not None:
            found += [name for names in match.groups() if names for name in _BETWEEN.split(names)]
    names = (name.strip(" ~.\"'") for name in found)
    return [name for name in names if 1 < len(name) <= 40 and not _NOBODY.match(name)]


# ---------------------------------------------------------------------- deletions

_MESSAGE = (
    "message|nachricht|mensaje|mensagem|messaggio|mesajı?|pesan|сообщение|(?:هذه )?الرسالة|رسالة"
    "|メッセージ|消息|訊息|讯息|메시지|메세지"
)
_DELETES = (
    "deleted|unsent|removed|gelöscht|zurückgezogen|supprimée?|eliminó|eliminado|eliminaste|borrado|borró|apagada|apagou|eliminato|rimosso|silindi"
    "|sildiniz|sildi|dihapus|menghapus|удалено|удалили|تم حذف|حذفت|حُذفت|削除|取り消|删除|刪除|收回|撤回|삭제"
)
_SMALL = (
    "this|that|the|you|was|has been|by admin|by|an?|admin|diese|dieser|wurde|du hast|hast|ce|a été|vous avez"
    "|avez|tu as|se|este|ese|fue|ha sido|has"
    "|sido|esta|essa|foi|você|questo|è stato|hai|bu|ini|telah|anda|данное|это|вы|было|لقد|この|は|を|の送信"
    "|されました|されています|しました|しています"
    "|済み|此|已被?|您|你|了|一[条則则]|被|이|는|가|을|를|되었습니다|했습니다|하였습니다|된|입니다|님"
)
_NOTICE = re.compile(rf"(?:(?:{_MESSAGE})(?P<m>)|(?:{_DELETES})(?P<d>)|(?:{_SMALL})|[ .,。!]){{2,14}}", re.IGNORECASE)


def is_notice_of_deletion(text: str) -> bool:
    """Return True if a text, of one line, says in any of the languages that a message was deleted, and nothing else."""
    if "가" <= text[:1] <= "힣" and "메" not in text:  # most messages, in Korean, need no more than this
        return False
    found = _NOTICE.fullmatch(text)
    return found is not None and found["m"] is not None and found["d"] is not None
