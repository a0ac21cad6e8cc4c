"""Word lists for finding names in Latin letters, and Korean names in them. They are to be read, and edited, as text."""

# ruff: noqa: SIM905

# First names and surnames that are English words as well: masked where only a person can be meant.
ENGLISH_NAMES = frozenset(
    """
    ace amber angel april archer art aspen august autumn baker basil bell bill bishop blaze brook brown buck buddy
    bush butcher carol carpenter castle chance charity chase cherry chip christian church clay cliff cloud colt cook
    coral crane crystal daisy dale dawn dean dick don drew duke earl faith fern field fields fisher ford forest
    frank frost gardener gene ginger grace grant gray green guy harmony haven hawk hazel heath heather hill holly
    honey honor hope hunter iris ivy jack jade jan jean jet journey joy july jun june junior justice king kit kitty
    knight lake lamb lance lane lark liberty lily little long lucky major mark marsh mason max may meadow melody
    mercy miles min mint misty moon nick noble norm olive page park pat patience pearl peg penny pepper pierce pike
    poppy porter potter price prince prudence queen ray reed rich river rob robin rocky rod rose ruby rusty sage
    sandy shepherd skip sky small song sparrow star stone storm stormy strong sue summer sunny swift temple victor
    violet wade walker ward waters white will willow winter wise wood woods young
    """.split()
)
# Words that somebody can be called, and that hardly ever mean them: masked after an @, and before 님 and the like.
ENGLISH_WORDS = frozenset(
    """
    apr aug ball bay black day dec feb heaven jul mar mon nov oct red rice sat sea sep sun trip van the and
    you for love baby happy smile life dream hello bye good bad big little new old best super real mother father sister
    brother teacher doctor boss manager leader member friend friends company office home school seoul busan korea phone
    galaxy iphone samsung google apple kakao naver twitter cat dog bear rabbit fox wolf tiger lion dragon bird fish girl
    boy man woman lady sir miss coffee food music movie game gamer player pro master blue pink gold silver night
    light dark magic lover fan club team group study house world city korean english one two three with from not
    are was has have all only who what this that here there hey yes cool hot ice snow rain wind fire water earth
    army student sweet lovely cute pretty daily official work busy coder dev tester admin help info news main test
    """.split()
)

# What is said beside an app and is nobody's handle (`my insta is private`).
APP_WORDS = frozenset(
    """
    story stories reels private public premium official business account server channel profile message messages
    messenger filter filters follower followers following please thanks update mobile desktop broken hacked banned
    already really always password number photos pictures videos chatbot stickers android windows version nitro
    status notification notifications called deleted blocked crashed crashing manager working posted tonight tomorrow
    about because before better instead either closed locked paused frozen boring online offline active awesome
    bought logged signed linked synced invite invites emojis groups friend getting having trying nothing something
    whatever finally totally literally chatting calling screenshot screenshots gmail hotmail lately though there where
    """.split()
)
# Short English words that a Korean name in Latin letters would be taken for.
SHORT_WORDS = frozenset(
    """
    aha are aye bah bee boo bye can car day die doh don due duh eek eye gee gin goo had hah hay her hey him
    his hoe hue ill
    jaw job june kin koi lee lie low mean men mine moo moon more nah nay new none noon now oar oil one out own pain poo
    rain raw ray roe run say see she shoo show shy soon soul soy sue sun sure tea ten tie too toy un use view
    war was way
    who why win woo won yes yet you young your yeah nope jean jin gun goes kia mia hi ho ha yo so do no go me we he be
    seen seem june juno sony soo son sin sign song sung sang bean been bin bun pin pun pen pan man many mini mun han hen
    """.split()
)
# Surnames and words of two characters each in Japanese names: 渡辺翔太 gives 翔太, but 田中希望 no 希望.
JAPANESE_SURNAMES = frozenset(
    """
    佐藤 鈴木 高橋 田中 伊藤 渡辺 渡邊 渡邉 山本 中村 小林 加藤 吉田 山田 山口 松本 井上 木村 清水 山崎 池田
    阿部 橋本 山下 石川
    中島 前田 藤田 小川 後藤 岡田 村上 石井 長谷 近藤 坂本 遠藤 青木 藤井 西村 福田 太田 三浦 藤原 岡本 松田
    中川 中野 原田 小野
    田村 竹内 金子 和田 中山 石田 上田 森田 柴田 酒井 横山 宮崎 工藤 宮本 内田 高木 安藤 谷口 大野 丸山 今井
    高田 藤本 武田 村田
    上野 杉山 増田 平野 大塚 千葉 久保 松井 小島 岩崎 野口 菊地 菊池 松尾 桜井 櫻井 木下 斎藤 斉藤 齋藤 齊藤
    古川 新井 小山 北村
    渡部 浜田 西田 水野 吉川 山内 松下 市川 永井 川口 服部 荒木 川上 大西 吉村 島田 飯田 本田 矢野 辻本 秋山
    関根 星野 片山 大島
    """.split()
)
JAPANESE_WORDS = frozenset(
    """
    希望 未来 大和 日向 千秋 千里 真理 正義 勇気 幸福 平和 自由 自然 三月 四月 五月 美人 先生 社長 部長 店長
    今日 明日
    日和 本気 元気 大地 大空
    """.split()
)

# English first names as Korean writes them, where that is no word itself.
IN_HANGUL = dict(
    pair.split()
    for pair in """
    tom 톰|john 존|david 데이비드|michael 마이클|mike 마이크|james 제임스|
    robert 로버트|william 윌리엄|daniel 다니엘|chris 크리스|
    kevin 케빈|brian 브라이언|eric 에릭|andrew 앤드류|peter 피터|paul 폴|jack 잭|
    ryan 라이언|alex 알렉스|jason 제이슨|steve 스티브|
    tony 토니|nick 닉|anna 안나|emma 엠마|emily 에밀리|jane 제인|kate 케이트|
    grace 그레이스|alice 앨리스|amy 에이미|jessica 제시카|
    laura 로라|julia 줄리아|olivia 올리비아|sophia 소피아|nora 노라|rose 로즈|mark 마크
    """.replace("|\n", "|").split("|")
)

# How each letter of a syllable is written in names, as a pattern: by the rules, or as families do.
_INITIALS = "g|k kk n d|t tt r|l m b|p pp s|sh ss  j|ch jj ch k t p h".split(" ")
_VOWELS = (
    "a|ah ae|e ya yae eo|u|o e yeo|you|yu|yo ye o|oh wa wae oe yo u|oo|woo wo we wi yu|yoo|you eu|u ui|ee i|ee".split()
)
_FINALS = " k|g k|g k|g n n n t l l l l l l l l m p|b p|b t|s t|s ng t t k t p h".split(" ")
_SURNAMES = {
    "김": "kim|gim",
    "이": "lee|yi|rhee",
    "박": "park|pak|bak",
    "임": "lim|im",
    "노": "roh|noh",
    "안": "ahn|an",
}


def romanised(name: str, *, shortest: bool = False) -> str:
    """Return a pattern of a name in Hangul syllables as people write it in Latin letters (나율: nayul, na-yool).

    `shortest` gives instead how it is written by the rules, to judge it by.
    """
    syllables = []
    for place, syllable in enumerate(name):
        number = ord(syllable) - ord("가")
        written = (_INITIALS[number // 588], _VOWELS[number // 28 % 21], _FINALS[number % 28])
        if place == 0:
            written = (written[0].removesuffix("|l"), *written[1:])
        letters = [part.split("|")[0] if shortest else f"(?:{part})" if "|" in part else part for part in written]
        syllables.append("".join(letters))
    return ("" if shortest else "[- ]?").join(syllables)


def romanised_person(surname: str, given: str) -> str:
    """Return a pattern of a Korean's name in Latin letters, with or without the surname, before or after it."""
    family = f"(?:{_SURNAMES.get(surname, romanised(surname))})"
    return rf"(?:(?:{family}[ _.]?)?{romanised(given)}(?:[ _.]?{family}(?![a-z]))?)"
