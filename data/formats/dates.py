"""Times as exports write them: clocks with 오전/오후, AM/PM or 24 hours, and dates whose order a file has to tell."""

import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta

SPACE = "[ \u202f\u00a0]"  # newer phones write AM and PM after a narrow space
_HALF = r"오전|오후|午前|午後|上午|下午|[AaPp]\.?[ \u202f\u00a0]?[Mm]\.?"
_AFTERNOON = re.compile("오후|午後|下午|[Pp]")

# A time of day. Its groups are read by `hour_of`.
CLOCK = (
    rf"(?:(?P<before>{_HALF}){SPACE}?)?(?P<hour>\d{{1,2}})[:.](?P<minute>\d{{2}})(?:[:.](?P<second>\d{{2}}))?"
    rf"(?:{SPACE}?(?P<after>{_HALF})(?![A-Za-z]))?"
)
# A date in numbers, in an order that `date_order` finds.
NUMBERS = r"(?P<first>\d{1,4})(?:[-./] ?|년 ?)(?P<middle>\d{1,2})(?:[-./] ?|월 ?)(?P<last>\d{1,4})(?:일|\.(?!\d))?"

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()  # noqa: SIM905
_WEEKDAYS = {
    name: number
    for names in ("mon tue wed thu fri sat sun", "월 화 수 목 금 토 일", "月 火 水 木 金 土 日", "一 二 三 四 五 六 日")
    for number, name in enumerate(names.split())
}
ORDERS = ("dmy", "mdy", "ymd")
_FIRST_YEAR, _LAST_YEAR = 1990, 2100  # of a chat; a clock that is not set shows 1970
Triple = tuple[int, int, int]


def hour_of(match: re.Match[str]) -> int:
    """Return the hour of a CLOCK, from 0 to 23; 12 at night is 0 and 12 at noon 12."""
    hour = int(match["hour"])
    half = match["before"] or match["after"]
    if half:
        hour = hour % 12 + (12 if _AFTERNOON.match(half) else 0)
    return hour


def month_of(name: str) -> int:
    """Return the number of an English month, in full or short. Raises ValueError if it is none."""
    return _MONTHS.index(name[:3].lower()) + 1


def weekday_of(name: str | None) -> int | None:
    """Return the number of a day's name (Monday is 0) in English, Korean, Japanese or Chinese; None if it is none."""
    if not name:
        return None
    return _WEEKDAYS.get(name[:3].lower(), _WEEKDAYS.get(name[:1]))


def in_order(numbers: Triple, order: str) -> date | None:
    """Return the date of three numbers, read as `order` ("dmy") says; None if there is no such day."""
    found = dict(zip(order, numbers, strict=True))
    year = found["y"] + (2000 if found["y"] < 100 else 0)
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    try:
        return date(year, found["m"], found["d"])
    except ValueError:
        return None


def date_order(dates: Iterable[tuple[Triple, int | None]], usual: str) -> str:
    """Return the order in which a file writes its dates, "dmy", "mdy" or "ymd", decided by all of them.

    The order that makes the fewest days impossible (or fall on another weekday than is written beside them) is taken;
    then the one in which time runs back the least; then the one that spans the shortest time; `usual` if all are equal.
    """
    impossible = dict.fromkeys(ORDERS, 0)
    backward = dict.fromkeys(ORDERS, 0)
    days = dict.fromkeys(ORDERS, 0)
    before: dict[str, date] = {}
    last: Triple | None = None
    for numbers, weekday in dates:
        if numbers == last:
            continue
        last = numbers
        for order in ORDERS:
            day = in_order(numbers, order)
            if day is None or (weekday is not None and day.weekday() != weekday):
                impossible[order] += 1
                continue
            moved = (day - before.get(order, day)).days
            backward[order] += moved < 0
            days[order] += abs(moved)
            before[order] = day
    return min(ORDERS, key=lambda order: (impossible[order], backward[order], days[order], order != usual))


def epoch_time(seconds: object) -> datetime | None:
    """Return the time of so many seconds since 1970, as this device shows it; None if no chat is of that time."""
    try:
        time = datetime.fromtimestamp(float(seconds))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return time if _FIRST_YEAR <= time.year <= _LAST_YEAR else None


def iso_time(text: object) -> datetime | None:
    """Return an ISO time without its zone; one of UTC as this device shows it. None if it is none, or of no chat."""
    try:
        time = datetime.fromisoformat(str(text))
        if time.tzinfo is not None and str(text).endswith("Z"):
            time = time.astimezone()
    except (ValueError, OverflowError, OSError):
        return None
    return time.replace(tzinfo=None) if _FIRST_YEAR <= time.year <= _LAST_YEAR else None


_EXCEL_EPOCH = datetime(1899, 12, 30)
_EXCEL_NUMBER = re.compile(r"[34]\d{4}(?:[.,]\d+)?|50\d{3}(?:[.,]\d+)?")
_EPOCH = re.compile(r"[12]\d{9}(?:\d{3})?")  # seconds or milliseconds since 1970
_CELL = re.compile(rf"{NUMBERS}(?:(?:T|,? ){CLOCK})?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?")
_NAMED_CELL = re.compile(
    r"(?:(?P<month>[A-Za-z]{3,9})\.? (?P<day>\d{1,2}),? |(?P<day_first>\d{1,2})[ -](?P<month_last>[A-Za-z]{3,9})[ -])"
    rf"(?P<year>\d{{2,4}})(?:,? (?:at )?{CLOCK})?"
)


def cell_numbers(cell: str) -> Triple | None:
    """Return the three numbers of a cell's date; None if it is not written in numbers."""
    match = _CELL.fullmatch(cell)
    return (int(match["first"]), int(match["middle"]), int(match["last"])) if match else None


def cell_time(cell: str, order: str) -> datetime | None:
    """Return the time in a table's cell, also as a spreadsheet rewrote it, without its zone; None if there is none."""
    if len(cell) >= 16 and cell[4] == "-" and cell[7] == "-" and (time := iso_time(cell)) is not None:
        return time
    if match := _CELL.fullmatch(cell):
        day = in_order((int(match["first"]), int(match["middle"]), int(match["last"])), order)
    elif match := _NAMED_CELL.fullmatch(cell):
        day = _named_day(match)
    elif _EPOCH.fullmatch(cell):
        return epoch_time(int(cell[:10]))
    elif _EXCEL_NUMBER.fullmatch(cell):  # days since 1899, as a sheet keeps them
        return _EXCEL_EPOCH + timedelta(seconds=round(float(cell.replace(",", ".")) * 86400))
    else:
        return None
    return on_day(day, match) if day else None


def _named_day(match: re.Match[str]) -> date | None:
    try:
        month = month_of(match["month"] or match["month_last"])
    except ValueError:
        return None
    return in_order((int(match["year"]), month, int(match["day"] or match["day_first"])), "ymd")


def on_day(day: date, match: re.Match[str]) -> datetime | None:
    """Return the time of a CLOCK on that day, without a clock the day's beginning; None if there is no such time."""
    if match["hour"] is None:
        return datetime(day.year, day.month, day.day)
    try:
        return datetime(day.year, day.month, day.day, hour_of(match), int(match["minute"]), int(match["second"] or 0))
    except ValueError:
        return None
