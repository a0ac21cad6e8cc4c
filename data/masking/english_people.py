"""English words that are names as well (Grace, Will, Rose): where grammar says that a person is meant.

`data/masking/doubtful.py` asks. What is said of people alone counts (`grace hasn't answered`, `hey will,`), and a
capital within a sentence; a month or a season (`summer is here`) needs more than a name that is hardly said otherwise.
"""

# ruff: noqa: SIM905 (the word lists are to be read, and edited, as text)

import re

from data.masking.korean_words import HONORIFICS
from data.masking.tags import mark

_NAME = mark("<NAME>")
WORD_END = r"(?![가-힣ㅏ-ㅖㅣ])"
_HONORIFICS = "|".join(sorted(HONORIFICS, key=len, reverse=True))
_PARTICLE = re.compile(
    rf"(?:이?(?:야|가|는|를|랑|도|네|의|한테|에게|하고|라고|예요|에요)|이었?|[아은을와과]|이?입니다|께서|{_HONORIFICS}){WORD_END}"
    r"|이?(?:한테|왔|갔|어딨|생일)"
    rf"|\s(?:{_HONORIFICS}){WORD_END}|\s(?:어디(?:야|래|있)|어딨|뭐(?:해|하|래)|왔[어다네니]|온대|간대|자[냐니]|그랬|생일)"
)

_AND_BEFORE = re.compile(rf"{_NAME}(?:,? and | or | ?[&+/] ?|이?랑 |하고 )$", re.IGNORECASE)
_AND_AFTER = re.compile(rf"(?:,? and | or | ?[&+/] ?|이?랑 |하고 |, ){_NAME}(?!'?\w)", re.IGNORECASE)

# English that is said of people alone, to them, or of what they did.
_GREETED = re.compile(
    r"(?:^|[\s,.!?~])(?:hi|hey|hello|yo|thanks|thank you|thx|sorry|dear|bye|goodbye|morning|night|birthday|congrats|"
    r"congratulations|welcome|welcome back|love you|miss you|poor|mrs?\.?|ms\.?|uncle|aunt|auntie|cousin)[,!]? $",
    re.IGNORECASE,
)
_ASKED = re.compile(
    r"(?:^|\s)(?:ask|asked|tell|told|called|texted|met|invited|thank|messaged|remind|where is|where's|how is|how's"
    r"|who is|who's)(?: (?:him|her|them|you|me))? $",
    re.IGNORECASE,
)
_MAYBE_ASKED = re.compile(r"(?:^|\s)(?:call|text|meet|invite|message|ping|dm|miss|saw|visit) $", re.IGNORECASE)
_SAYS = re.compile(
    r" (?:also |just |never |always |already )?(?:said|says|asked|asks|told|tells|thinks|thought|wants|wanted"
    r"|wrote|texted"
    r"|called|replied|answered|knows|knew|agreed|sent|met|ate|lives|works|likes|loves|hates|needs|forgot|promised"
    r"|invited|laughed|cried)\b",
    re.IGNORECASE,
)
_IS = re.compile(
    r"(?:'s| is| was| isn't| wasn't| has| had| did| does| came| went| left| got| gave| will| won't| can| could| should"
    r"| and i)\b",
    re.IGNORECASE,
)
_SPOKEN_TO = re.compile(
    r", (?:you|your|can|could|do|did|does|are|were|what|where|when|how|why|who|please|let|don't|have|i|we|it's|will|"
    r"would|come|call|look|wait|stop|is|the|thanks|sorry|hurry)\b",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r" (?:in|at|to|if|about|for|when|what|that|and|or|why|where|how|i|we|he|she|it|not|please)\b", re.I
)
# After these verbs and before these words hardly anything but somebody stands, in small letters as well.
_NOT_YET = "answered|replied|called|eaten|arrived|texted|paid|slept|woken|been here|come|shown up|decided"
_NO_WISH = "answer|reply|want|know|like|come|think|eat|care|drink|remember|live|work|text|call"
_NO_PERSON_HERE = re.compile(r"\b(?:the|a|an|of|this|every) $", re.IGNORECASE)
_DOES = re.compile(
    rf" (?:(?:hasn't|hasnt|has not) (?:{_NOT_YET})|(?:doesn't|didn't|doesnt|didnt|won't|wont) "
    rf"(?:{_NO_WISH})|and i (?:are|were|will|went"
    r"|have|had|want|just|can|both)|thinks so|lives (?:in|near|at|with)|gets (?:here|there|home"
    r"|back)|told (?:me|us|you))\b"
    r"|'s (?:number|phone|mom|mum|dad|brother|sister|girlfriend|boyfriend|wife|husband|car|house|room|flat)\b",
    re.IGNORECASE,
)
_YOU = re.compile(r" (?:can|could|would|did|do|are|have|were) (?:you|u)\b", re.IGNORECASE)  # at a beginning
_SPEAKS = re.compile(r": ?(?=[a-z]|\d{1,2}(?::\d\d)? ?[ap]m)", re.IGNORECASE)
_IS_HERE = re.compile(
    r" (?:is|was|isn't|wasn't) (?:here|there|coming|late|asleep|home|back|busy|sick|awake|with us|on "
    r"(?:his|her|the) way)\b",
    re.I,
)
_IS_BEFORE = re.compile(r"(?:^|[\s.,?!])(?:is|isn't|was) $", re.IGNORECASE)
_IS_AFTER = re.compile(
    r" (?:coming|here|there|ok|okay|awake|home|back|joining|asleep|sick|in town|around|late)\b", re.I
)
_WHEN = re.compile(r"(?:^|\s)(?:when|until|till|if|unless|because|before|after|once|as soon as) $", re.IGNORECASE)
_COMES = re.compile(r" (?:calls|arrives|wakes|texts|leaves|answers|replies|comes (?:home|back|over|in))\b", re.I)
_LOOKED_FOR = re.compile(
    r"(?:any(?:one|body)|some(?:one|body)) (?:seen|know|knows|heard from|asked|called|met|tell) $", re.I
)
_TALKED_TO = re.compile(r"(?:^|\s)(?:call|text|meet|invite|message|ping|dm) $", re.IGNORECASE)
_LATER = re.compile(r" (?:later|back|tomorrow|tonight|now|again|first|when|if|about|and tell|and ask)\b", re.IGNORECASE)
_SEEN_AT = re.compile(r" (?:at|with) (?:the|my|her|his|our|a)\b| (?:yesterday|last night|today)\b", re.IGNORECASE)
_LET = re.compile(r"(?:^|\s)(?:let|lets) $", re.IGNORECASE)
_KNOW = re.compile(r" (?:know|sleep|decide|speak|talk|finish|pick|choose|drive|pay)\b", re.IGNORECASE)
_EXCLAIMED = re.compile(
    r"(?:^|[\s.!?~,])(?:lol|lmao|rofl|omg|ok|okay|haha(?:ha)*|bruh|bro|aww|yay|nice one|well done"
    r"|good job|shut up|same) $",
    re.IGNORECASE,
)
_CHEERED = re.compile(r"(?:^|[.!?~,] )(?:go|come on) $", re.IGNORECASE)
_REFUSED = re.compile(r"(?:^|[.!?~,] )(?:no|nah|yes|yeah|wait|ok|okay|sorry|please|stop) $", re.IGNORECASE)
_ANSWERED = re.compile(
    r" (?:that's|thats|it's|its|i'm|im|i|you|we|don't|dont|this|what|he|she|they|can you|please|not) ", re.I
)
_US_BEFORE = re.compile(r"(?:^|\s)(?:me|you|him|her|us|them|myself), ?$|(?:^|\s)(?:me|you|him|her|us|them) and $", re.I)
_US_AFTER = re.compile(r",? (?:and|&) |\s*(?:$|[.,!?~])", re.IGNORECASE)
_FROM = re.compile(r"(?:^|\s)from $", re.IGNORECASE)
_BESIDE = re.compile(r"(?:^|\s)with $", re.IGNORECASE)
_PLACE = re.compile(
    r" at (?:the )?(?:station|park|gym|mall|office|bar|airport|school|cafe|party|beach|pub|library|door)\b", re.I
)
_ENDS = re.compile(r"\s*(?:[,.!?~\n]|$)")
_LAST = re.compile(r"[\s.!?~♥❤]*$")
_SENTENCE_GOES_ON = re.compile(r"(?:(?:^|[^A-Za-z0-9'])(?:I|[a-z'’]+)|[,;가-힣]) $")
_NO_PERSON_BEFORE = re.compile(
    r"\b(?:the|a|an|of|in|on|by|until|till|since|last|next|this|every|early|late|mid|my) $", re.I
)
# Months and seasons are here, late and over as well.
_TIMES = frozenset("summer winter autumn may april june july august jul jun jan".split())
_NEVER_REFUSED = frozenset("chance hope faith mercy patience joy price pat king harmony star will".split())
_MODALS = frozenset("will may mark hope".split())
# More words than names: alone beside a verb they are no person.
_PEOPLE_TOO = frozenset("miles sky river hunter rich min guy star art".split())
_WEAK = frozenset(
    """
    price page long white green gray brown rich lucky major junior young star stone wood woods song park river hill
    forest lane king queen prince moon sky min art chance chip guy honey miles summer winter autumn may april june july
    august jul jan baker hunter cook ball bush buddy
    """.split()
)


def is_english_person(word: str, before: str, after: str) -> bool:
    """Return True if a name that is an English word means a person between these words of its message."""
    name = word.lower()
    if _PARTICLE.match(after) or _AND_BEFORE.search(before) or _AND_AFTER.match(after) or _SAYS.match(after):
        return True
    ends = _ENDS.match(after) is not None
    starts = not before.strip() or before.rstrip()[-1:] in ".!?\n"
    if _is_named_plainly(name, before, after, starts):
        return True
    if _GREETED.search(before) and (ends or name not in _MODALS):
        return True
    if (starts and _SPOKEN_TO.match(after)) or (
        before.endswith(", ") and _LAST.match(after) and name not in ("will", "may")
    ):
        return True
    capital = word[0].isupper() and not word[1:].isupper()
    if capital and _SENTENCE_GOES_ON.search(before) and not _NO_PERSON_BEFORE.search(before):
        return re.match(r" [A-Z][a-z]", after) is None
    if _ASKED.search(before) and (name not in _MODALS | _WEAK or ends or _GOES_ON.match(after)):
        return True
    if name in _WEAK:
        return False
    if after.startswith("'s ") or (_MAYBE_ASKED.search(before) and (ends or _SEEN_AT.match(after))):
        return True
    return (starts and capital and _IS.match(after) is not None) or _is_spoken_of(name, before, after, ends)


def _is_named_plainly(name: str, before: str, after: str, starts: bool) -> bool:
    """Return True where even a word that is hardly a name can only be one (`hunter hasn't answered`)."""
    if _NO_PERSON_HERE.search(before):
        return False
    if _DOES.match(after) or _LOOKED_FOR.search(before) or (_LET.search(before) and _KNOW.match(after)):
        return True
    if (starts and _YOU.match(after)) or (_US_BEFORE.search(before) and _US_AFTER.match(after)):
        return True
    if (starts or _FROM.search(before)) and _SPEAKS.match(after):
        return name not in _WEAK - _PEOPLE_TOO and name not in ("bill", "may", "mark")
    if _TALKED_TO.search(before) and _LATER.match(after):
        return True
    if name in _TIMES:
        return False
    beside = _BESIDE.search(before) and _PLACE.match(after)
    return bool(_IS_HERE.match(after) or beside or (_IS_BEFORE.search(before) and _IS_AFTER.match(after)))


def _is_spoken_of(name: str, before: str, after: str, ends: bool) -> bool:
    """Return True where a name that is not said of much else is spoken to, or of (`lol grace`, `when joy calls`)."""
    if _WHEN.search(before) and _COMES.match(after):
        return True
    if ends and name not in _MODALS and _EXCLAIMED.search(before):
        return True
    if _CHEERED.search(before) and after.startswith("!"):
        return True
    return name not in _NEVER_REFUSED | _MODALS and bool(_REFUSED.search(before) and _ANSWERED.match(after))
