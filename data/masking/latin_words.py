"""Word lists for finding names in Latin letters, and Korean names in them. They are to be read, and edited, as text."""

# ruff: noqa: SIM905

# First names and surnames that are English words as well: masked where only a person can be meant.
ENGLISH_NAMES = frozenset(
    """
    ace amber angel april art august autumn baker bell bill brown buddy bush carol chance charity chase chip
    christian cliff cook crystal daisy dale dawn dean dick don drew duke earl faith fisher forest frank gene grace
    grant gray green guy harmony hazel heath hill holly honey hope hunter iris ivy jack jan jean jet joy july jun
    june junior king kitty lane lily long lucky major mark mason max may melody mercy miles min moon nick norm
    olive page park pat patience pearl peg penny price prince queen ray reed rich river rob robin rocky rose ruby
    rusty sandy sky song star stone sue summer sunny victor violet wade ward white will winter wood woods young
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
