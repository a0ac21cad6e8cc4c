"""The people of a chat masked in what they write: names of senders, and of others that the user lists.

A whole name is found anywhere. A given name is found as a word of its own, with or without what Korean glues to it,
which is kept (`철수야` -> `<NAME>야`, `민준이한테` -> `<NAME>이한테`: the 이 belongs to what is glued), and as it is
written in Latin letters (`cheolsu`). Of a Latin name every part counts as a word of its own, in any case, also at the
beginning of a handle (`seoha_m`). One that is also a word of the language, and one of a single syllable, is found where
a person must be meant (data/masking/doubtful.py). `@` and whatever name follows is one <NAME>.

    data/aliases.txt      more names to mask, one a line
    data/not-names.txt    words that are never masked as a name, one a line
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from data.errors import DataError
from data.masking import doubtful
from data.masking.characters import normalize, replace_emoji
from data.masking.doubtful import AFTER_ONE_SYLLABLE, WORD_END, WORD_START, Doubtful, first_letters
from data.masking.korean_words import (
    CLOSED_PARTICLES,
    COMMON_WORDS,
    EVERYDAY,
    FIRST_SYLLABLES,
    GLUED,
    KEPT,
    LONG_SURNAMES,
    NOT_NAMES,
    OPEN_PARTICLES,
    PARTICLES,
    PLACES,
    SECOND_SYLLABLES,
    SURNAMES,
    VERB_ENDINGS,
    VERB_STEMS,
)
from data.masking.latin_words import (
    ENGLISH_NAMES,
    ENGLISH_WORDS,
    IN_HANGUL,
    JAPANESE_SURNAMES,
    JAPANESE_WORDS,
    SHORT_WORDS,
    romanised,
    romanised_person,
)
from data.masking.tags import mark

_NAME, _PHONE, _EMOJI = mark("<NAME>"), mark("<PHONE>"), mark("<EMOJI>")

# What people add to a display name: `김철수 팀장님`, `김철수(3반)`, `민준맘`.
_TITLE = re.compile(
    r"\s*(?:사장|부장|차장|과장|대리|팀장|실장|원장|회장|총무|반장|방장|교수|박사|선생|코치|감독|선배|후배|대표|주임|사원|이사|간사)님?$"
    r"|\s*(?:쌤|님|씨|맘|엄마|아빠|어머니|아버지|누나|언니|오빠|이모|삼촌|고모)$"
    r"|\s*[(\[].*$"
)
_ALPHABETS = "A-Za-z0-9À-\u058f\u1e00-\u1fff"  # Latin, Greek, Cyrillic, Armenian
_HAN, _KANA = "\u3400-\u9fff", "\u3041-\u30ff"
_LATIN_TAIL = r"(?:_[a-z0-9_.]*+|\d[a-z0-9_]*+)?(?:#\d{4}(?!\d))?"  # seoha_m, nayul90, nora_f#0001
_ID_MENTION = re.compile(r"<@[!&]?[A-Z0-9]{5,24}>", re.IGNORECASE)
_BOUNDED_MENTION = re.compile(r"@\u2068([^\u2069\n]{1,100})\u2069")


@dataclass(frozen=True)
class NamePattern:
    """The expressions by which people are found; Latin ones are looked for only where there are such letters.

    Those with a group "kept" match words that are no names, so that nothing is found in them.
    """

    mentions: re.Pattern[str]
    maybe_hangul: re.Pattern[str] | None  # quick: most messages have no name in Hangul, or in them no name at all
    hangul: re.Pattern[str] | None
    latin: re.Pattern[str] | None
    doubtful: doubtful.Patterns

    def means(self, form: str) -> bool:
        """Return True if a form, as `forms` gives it, can mean one of these people."""
        bare = form.removeprefix("@")
        by_word = (self.doubtful.hangul, self.doubtful.other)
        others = filter(None, (self.latin, self.hangul, *by_word))
        return any(pattern.search(f"{bare}이") or pattern.search(bare) for pattern in others)


def mask_names(text: str, names: NamePattern, note: doubtful.Note | None = None) -> str:
    """Return the text with a mark in the place of every name that `name_pattern` finds.

    `note` is told of words that are names as well, and whether each was taken for a person.
    """
    if "@" in text:
        text = names.mentions.sub(_NAME, text)
    has_latin = _NOT_HANGUL.search(text) is not None
    if has_latin and names.latin is not None:
        text = names.latin.sub(_NAME, text)
    has_hangul = names.maybe_hangul is not None and names.maybe_hangul.search(text) is not None
    if has_hangul and names.hangul is not None:
        text = names.hangul.sub(lambda found: found[0] if found.lastgroup == "kept" else _NAME, text)
    return doubtful.mask(text, names.doubtful, has_hangul, has_latin, note)


def forms(text: str, names: NamePattern) -> list[str]:
    """Return what `mask_names` takes for names in a text, as it is written there."""
    found: list[str] = []

    def taken(match: re.Match[str]) -> str:
        if match.lastgroup == "kept":
            return match[0]
        found.append(match[0])
        return _NAME

    for pattern in filter(None, (names.mentions, names.latin, names.hangul)):
        text = pattern.sub(taken, text)
    doubtful.mask(text, names.doubtful, note=lambda word, person: found.append(word) if person else None)
    return found


_NOT_HANGUL = re.compile("[A-Za-z\u00c0-\u1fff\u3041-\u30ff\u3400-\u9fff]")


def mask_bounded_mentions(text: str) -> str:
    """Return the text with a mark for mentions whose bounds the app gives: `@\u2068Nora\u2069`, `<@U01AB2CD3>`."""
    if "\u2068" in text or "<@" in text:
        return _BOUNDED_MENTION.sub(_NAME, _ID_MENTION.sub(_NAME, text))
    return text


def mentioned(text: str) -> list[str]:
    """Return the names that an app has put between marks, as it does for mentions."""
    return _BOUNDED_MENTION.findall(text) if "@\u2068" in text else []


def name_pattern(senders: Iterable[str], aliases: Iterable[str] = (), kept: Iterable[str] = ()) -> NamePattern:
    """Return the expressions for all names of the senders, the aliases and mentions, for `mask_names`.

    They match the name alone, so that a particle after it is kept. Words in `kept` are matched as their group "kept".
    """
    roster = _Roster()
    for sender in senders:
        roster.add(sender)
    for alias in aliases:
        roster.add_alias(alias)
    return roster.pattern({*map(_plain, kept), *KEPT})


@dataclass
class _Roster:
    """The names to look for, by where: anywhere, at a word's start, as a word, in Latin, and the doubtful ones."""

    anywhere: set[str] = field(default_factory=set)
    starts: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    latin: set[str] = field(default_factory=set)
    romanised: set[str] = field(default_factory=set)  # patterns
    any_surname: set[str] = field(default_factory=set)  # given names of which no surname is known
    displays: set[str] = field(default_factory=set)  # whole, as they stand after an @, emoji as marks
    doubtful: Doubtful = field(default_factory=Doubtful)

    def add(self, sender: str) -> None:
        """Look for a display name: whole, without its title, and the names in it."""
        display = _plain(sender)
        written = " ".join(normalize(replace_emoji(sender, _EMOJI)).lower().split()).lstrip("~ ")
        if any(map(str.isalnum, display)) and display not in NOT_NAMES:
            self.displays |= {display, written}
        for name in {display, display.strip("~^.,!?♥♡★☆ "), _without_titles(display)}:
            if _is_name(name):
                self._add_whole(name)
        parts = re.findall("[가-힣]+", display)
        for part in parts:  # `3반_김철수/총무`
            self._add_full_name(part)
            if part != _without_titles(part):
                self._add_full_name(_without_titles(part))
        likely = [name for name in map(_without_titles, parts) if _is_likely_given_name(name)]
        if len(likely) == 1 and " " not in _without_titles(display).strip(" "):  # `분당/철수/85`, but no `고운 마음`
            self._add_given(likely[0], surname_known=False)
        self._add_short_name(parts, likely)
        for part in re.findall(r"[^\W\d_가-힣ㄱ-ㅣ]+", display):
            self._add_latin(part)

    def _add_short_name(self, parts: list[str], likely: list[str]) -> None:
        """Look for a surname and one syllable among other things in a display name: `최준/98/대전`."""
        bare = list(map(_without_titles, parts))
        found = list(filter(_is_short_name, bare))
        if len(found) == 1 and likely in ([], found) and not any(map(_is_full_name, bare)):
            self.words.add(found[0])
            if likely and _ends_in_vowel(found[0]):  # 유나 is a given name
                return
            self.doubtful.one_syllable.add(found[0][1])

    def _add_latin(self, part: str) -> None:
        """Look for one word of a name that is not written in Hangul."""
        if part in IN_HANGUL:
            self.words.add(IN_HANGUL[part])
        if re.fullmatch(f"[{_HAN}{_KANA}]+", part):
            self._add_east_asian(part)
        elif part in ENGLISH_NAMES:
            self.doubtful.names.add(part)
        elif part in ENGLISH_WORDS:
            self.doubtful.words.add(part)
        elif len(part) >= 3 and part not in NOT_NAMES:
            self.latin.add(part)

    def _add_east_asian(self, part: str) -> None:
        """Look for a name in Han or Kana: 田中太郎 is also 田中さん and 太郎くん, 王小明 also 小明."""
        if mixed := re.fullmatch(f"([{_HAN}]{{1,3}})([{_KANA}]{{2,5}})", part):  # 橋本ひかり
            self.doubtful.kana |= {mixed[1], mixed[2]}
        if re.fullmatch(f"[{_HAN}]{{4}}", part):
            self.doubtful.kana |= {part[:2], part[2:]}
            if part[:2] in JAPANESE_SURNAMES:  # 渡辺翔太 is also 翔太, without さん
                self.latin |= {part[2:]} - JAPANESE_WORDS
        elif re.fullmatch(f"[{_HAN}]{{2}}", part):
            self.doubtful.kana |= {part[:1], part[1:]}  # 森蓮: 蓮くん
        elif re.fullmatch(f"[{_HAN}]{{3}}", part):
            self.doubtful.kana |= {part[:2], part[:1], part[2:]}
            self.latin.add(part[1:])
        elif len(part) < 5:
            self.doubtful.kana.add(part)
        if len(part) > 4 or re.fullmatch(f"[{_HAN}]{{2,4}}", part):
            self.latin.add(part)

    def add_alias(self, alias: str) -> None:
        """Look for a name that the user wants masked, whatever else it may mean."""
        name = _plain(alias)
        if re.fullmatch("[가-힣]{1,2}", name):
            self.words.add(name)
        elif re.search("[가-힣]", name):
            self.starts.add(name)
            self._add_full_name(name)
        else:
            self.latin.add(name)

    def _add_whole(self, name: str) -> None:
        if name in EVERYDAY - COMMON_WORDS:
            self.doubtful.everyday.add(name)
        elif re.fullmatch("[가-힣]{2}", name):
            # Two syllables stand inside too many words (민수 in 국민수당) to be looked for anywhere.
            self._add_given(name, surname_known=False)
            if name[0] in SURNAMES and not (_is_likely_given_name(name) and _ends_in_vowel(name)):
                self.doubtful.one_syllable.add(name[1])  # 최준: 준아
        elif re.fullmatch("[^가-힣]+", name):
            if re.fullmatch(f"[{_HAN}{_KANA}]+", name):
                self._add_east_asian(name)
            elif name not in ENGLISH_NAMES | ENGLISH_WORDS:
                self.latin.add(name)
        elif _is_full_name(name) and name[-2:] in COMMON_WORDS:
            self.starts.add(name)  # 이사랑, and not 아이사랑
        else:
            self.anywhere.add(name)
        if re.fullmatch("[가-힣]{3}", name) and name[2] in "이형" and _is_likely_given_name(name[:2]):  # 민준이, 정우형
            self._add_given(name[:2], surname_known=False)

    def _add_full_name(self, name: str) -> None:
        if _is_full_name(name) and name not in NOT_NAMES | EVERYDAY and not _is_place(name):
            (self.starts if name[-2:] in COMMON_WORDS else self.anywhere).add(name)
            self._add_given(name[-2:], surname=name[:-2])

    def _add_given(self, name: str, surname_known: bool = True, surname: str = "") -> None:
        if name in COMMON_WORDS:
            self.doubtful.korean.add(name)
            return
        self.words.add(name)
        if not surname_known:
            self.any_surname.add(name)
        by_the_rules = romanised(name, shortest=True)
        anyhow = re.compile(romanised(name))
        if len(by_the_rules) > 2 and not any(map(anyhow.fullmatch, ENGLISH_WORDS | ENGLISH_NAMES | SHORT_WORDS)):
            self.romanised.add(romanised_person(surname, name) if surname else romanised(name))

    def _mentioned(self) -> set[str]:
        """Return what stands after an @ in one piece."""
        korean = {name for name in self.doubtful.korean if name in PLACES}  # 진주, of which @진주 is no place here
        return self.displays | self.doubtful.kana | korean

    def _maybe_hangul(self) -> re.Pattern[str] | None:
        """Return how names in Hangul begin: two letters of each, or its only one and what must follow; None if none."""
        names = self.anywhere | self.starts | self.words | self.doubtful.korean | self.doubtful.everyday
        begins = {re.escape(name.split()[0][:2]) for name in names}
        begins |= {re.escape(name) + AFTER_ONE_SYLLABLE for name in self.doubtful.one_syllable}
        return re.compile("|".join(sorted(begins))) if begins else None

    def pattern(self, kept: set[str]) -> NamePattern:
        """Return the expressions for all these names; see `name_pattern`."""
        words = self.words - kept
        verbs = words & VERB_STEMS
        vowel = {name for name in words - verbs if _ends_in_vowel(name)}
        surname = f"(?:{'|'.join(LONG_SURNAMES)}|[{SURNAMES}])"
        at_a_words_start = [
            rf"(?P<kept>(?i:{_as_word(map(_bounded, kept), CLOSED_PARTICLES)}))",
            _any_of(map(_bounded, self.starts - kept)),
            _as_word(vowel, OPEN_PARTICLES),
            _as_word(words - verbs - vowel, CLOSED_PARTICLES),
            _as_word(verbs, OPEN_PARTICLES, f"(?!{'|'.join(VERB_ENDINGS)})"),
            _as_word(self.any_surname - kept, CLOSED_PARTICLES, before=surname),
        ]
        anywhere = self.anywhere - kept
        mixed = set(filter(_NOT_HANGUL.search, anywhere))  # 민준tv
        hangul = anywhere - mixed
        of_hangul = [
            _any_of(map(_bounded, hangul)),
            f"{WORD_START}(?:{'|'.join(filter(None, at_a_words_start))})",
        ]
        romanised = f"(?=[a-z]){_any_of(self.romanised)}" if self.romanised else ""
        latin = "|".join(filter(None, [_any_by_letter(self.latin - kept), romanised]))
        begins = "|".join(["[a-z0-9]", *([first_letters(self.latin)] if self.latin else [])])
        of_latin = [
            _any_by_letter(mixed),
            rf"(?={begins})(?<![a-z0-9])(?:[a-z0-9]++_)?(?:{latin})(?![a-z]){_LATIN_TAIL}" if latin else "",
        ]
        return NamePattern(
            mentions=re.compile(_mention(self._mentioned() - kept, self.doubtful.one_syllable - kept)),
            maybe_hangul=self._maybe_hangul(),
            hangul=re.compile("|".join(filter(None, of_hangul))) if hangul or words or self.starts else None,
            latin=re.compile(f"(?i:{'|'.join(filter(None, of_latin))})") if latin or mixed else None,
            doubtful=self.doubtful.patterns(kept),
        )


def _plain(name: str) -> str:
    return " ".join(normalize(replace_emoji(name, "")).lower().split()).lstrip("~ ")


def _without_titles(name: str) -> str:
    """Return 김철수 for `김철수 팀장님`, 민준 for `민준맘`; a name of three syllables may end like a title."""
    shorter = _TITLE.sub("", name)
    return name if re.fullmatch("[가-힣]", shorter) else shorter


def _is_name(name: str) -> bool:
    """Return True if a display name can be looked for: two letters or more, no role or number, no ㅋㅋ."""
    letters = [character for character in name if character.isalpha() and not "ㄱ" <= character <= "ㅣ"]
    return sum(map(str.isalnum, name)) >= 2 and bool(letters) and name not in NOT_NAMES


def _is_full_name(name: str) -> bool:
    """Return True for a surname and two more syllables (`남궁민` is taken for 남 and 궁민, which harms nobody)."""
    return bool(re.fullmatch("[가-힣]{3,4}", name)) and (
        (len(name) == 3 and name[0] in SURNAMES) or (len(name) == 4 and name.startswith(LONG_SURNAMES))
    )


def _is_short_name(name: str) -> bool:
    """Return True for a surname and one syllable that is no word: 최준, and not 여행."""
    return (
        bool(re.fullmatch("[가-힣]{2}", name))
        and name[0] in SURNAMES
        and not _is_place(name)
        and name not in NOT_NAMES | EVERYDAY | COMMON_WORDS
    )


def _is_likely_given_name(name: str) -> bool:
    return (
        len(name) == 2
        and name[0] in FIRST_SYLLABLES
        and name[1] in SECOND_SYLLABLES
        and name not in NOT_NAMES
        and not _is_place(name)
    )


def _is_place(name: str) -> bool:
    """Return True for one of PLACES, as in 강남 or 강남구."""
    return name in PLACES or (name[-1] in "시군구동역" and name[:-1] in PLACES)


def _ends_in_vowel(name: str) -> bool:
    return "가" <= name[-1] <= "힣" and (ord(name[-1]) - ord("가")) % 28 == 0


def _mention(displays: set[str], syllables: set[str]) -> str:
    """Return a pattern of `@홍길동`, its honorific kept, of `@minji_k` and `@<PHONE>`, but not of @all and @강남역.

    Whole display names come first, of however many words: `@박도담/96/수원매탄`.
    """
    korean = rf"[가-힣]{{2,4}}?{_glue(OPEN_PARTICLES + CLOSED_PARTICLES)}(?!@)|[가-힣]{{2,}}(?![@가-힣])"
    places = rf"{_any_of(PLACES)}(?:[시군구동역에]|에서)?{WORD_END}"
    whole = f"(?i:{_any_of(map(_bounded, displays))})|" if displays else ""
    if syllables:  # @준, @준님
        whole += rf"{_any_of(syllables)}(?=(?:님|씨|아|야|이|형|누나|오빠|언니|은|는|도)?{WORD_END})|"
    handle = "[A-Za-z_][A-Za-z0-9_.À-ɏ]*[A-Za-z0-9_À-ɏ]"
    return (
        rf"(?<![\w.@])@(?:{whole}(?!(?i:all|everyone|here|channel)\b|모두|전체|{places})(?:{_PHONE}|{korean}|{handle}))"
        rf"|(?<=[가-힣ㄱ-ㅣ])@(?=[a-z0-9_.]*[a-z_]){handle}"
    )


def _as_word(names: Iterable[str], particles: list[str], not_before: str = "", before: str = "") -> str:
    found = _any_of(names)
    return f"{before}{found}{not_before}{_glue(particles)}" if found else ""


def _glue(particles: list[str]) -> str:
    """Return a pattern of what follows a given name: three particles at most and no more Korean, or one of GLUED."""
    chain = f"(?:{'|'.join(particles + PARTICLES)}){{0,3}}{WORD_END}(?! 중(?:$|[ 이에]))"  # 철수 중: they withdraw
    call = "야|" if particles is OPEN_PARTICLES else "아|이가|이랑|이는|"
    call += "[가는도](?:왔|갔|했|안|못|없|있|그[랬러]|뭐|왜|말했|먹|온|간|어디|아니)|"  # 민재가아니라
    return f"(?=이?(?:{chain}|{call}{'|'.join(GLUED)}))"


def _any_of(patterns: Iterable[str]) -> str:
    ordered = sorted(patterns, key=lambda pattern: (-len(pattern), pattern))
    return f"(?:{'|'.join(ordered)})" if ordered else ""


def _any_by_letter(names: set[str]) -> str:
    """Return a pattern of any of these names, bounded: where a letter begins none of them, none is tried."""
    letters = sorted({name[0] for name in names})
    of_each = (_any_of(map(_bounded, (name for name in names if name[0] == letter))) for letter in letters)
    groups = [f"(?={re.escape(letter)}){of_letter}" for letter, of_letter in zip(letters, of_each, strict=True)]
    return f"(?={first_letters(names)})(?:{'|'.join(groups)})" if groups else ""


def _bounded(name: str) -> str:
    """Return a pattern of a name with or without its spaces; in letters with spaces between words only at their bounds.

    Only Latin ones also at the end, al in also: after Иван may come an ending, Ивана, but nothing before it, Диван.
    """
    body = r"\s?".join(map(re.escape, name.split()))
    before = rf"(?<![{_ALPHABETS}])" if re.match(f"[{_ALPHABETS}]", name) else ""
    after = r"(?![A-Za-z])" if name[-1].isascii() and name[-1].isalnum() else ""
    return before + body + after


def read_names(path: Path) -> list[str]:
    """Return the names in a file of the user's, one a line; `#` begins a comment. No file is no names.

    Raises DataError, its message starting with the path and the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        bad = path.read_bytes().count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {bad}: is not UTF-8 text; save it as UTF-8") from None
    names = []
    for number, line in enumerate(lines, 1):
        name = _plain(line.partition("#")[0])
        if not name:
            continue
        if len(name) > 40 or "," in name or not any(map(str.isalpha, name)):
            raise DataError(f"{path}, line {number}: {name[:40]!r} is no name; write one name a line")
        names.append(name)
    return names
