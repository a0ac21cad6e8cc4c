// Numbers, sizes and times as people of the page's language write them.

import { language } from "./words.js";

const NOTHING = "–";
const made = new Map();

/** Return the formatter of this kind and these options in the page's language; each is made once. */
function formatter(kind, options) {
  const key = `${language()} ${kind} ${JSON.stringify(options)}`;
  if (!made.has(key)) made.set(key, new Intl[kind](language(), options));
  return made.get(key);
}

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** Return a number with so many digits behind the point at most. */
export function number(value, digits = 0, least = 0) {
  if (!isNumber(value)) return NOTHING;
  return formatter("NumberFormat", { maximumFractionDigits: digits, minimumFractionDigits: least }).format(value);
}

/** Return a large number in short: 4.9M, 490만. */
export function short(value) {
  if (!isNumber(value)) return NOTHING;
  return formatter("NumberFormat", { notation: "compact", maximumSignificantDigits: 3 }).format(value);
}

/** Return a share between 0 and 1 in per cent. */
export function percent(value) {
  return isNumber(value) ? formatter("NumberFormat", { style: "percent" }).format(value) : NOTHING;
}

/** Return bytes in B, kB, MB or GB. */
export function bytes(value) {
  if (!isNumber(value)) return NOTHING;
  const power = value < 1000 ? 0 : Math.min(3, Math.floor(Math.log10(value) / 3));
  const [unit] = ["byte", "kilobyte", "megabyte", "gigabyte"].slice(power);
  const options = { style: "unit", unit, unitDisplay: power ? "short" : "narrow", maximumSignificantDigits: 3 };
  return formatter("NumberFormat", options).format(value / 1000 ** power);
}

/** Return bytes a second. */
export const rate = (value) => (isNumber(value) ? `${bytes(value)}/s` : NOTHING);

const date = (time) => new Date(time * 1000);

/** Return the hour and minute of a time in seconds since 1970. */
export const timeOfDay = (time) =>
  formatter("DateTimeFormat", { hour: "numeric", minute: "2-digit", hourCycle: "h23" }).format(date(time));

/** Return the day of a time. */
export const day = (time) => formatter("DateTimeFormat", { month: "short", day: "numeric" }).format(date(time));

/** Return a time of day, with the day where it is another one than today. */
export function clock(time, withSeconds = false) {
  if (!isNumber(time)) return NOTHING;
  const options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (withSeconds) options.second = "2-digit";
  if (date(time).toDateString() !== new Date().toDateString())
    Object.assign(options, { month: "short", day: "numeric" });
  return formatter("DateTimeFormat", options).format(date(time));
}

/** Return how long ago a time was, in words. */
export function ago(time) {
  if (!isNumber(time)) return NOTHING;
  const seconds = Math.max(0, Date.now() / 1000 - time);
  const units = Object.entries({ day: 86400, hour: 3600, minute: 60, second: 1 });
  const [unit, length] = units.find(([, length]) => seconds >= length) ?? units[3];
  return formatter("RelativeTimeFormat", { numeric: "auto" }).format(-Math.floor(seconds / length), unit);
}
