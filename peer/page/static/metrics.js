// The run's measurements as columns, a row a round: kept, thinned, and cut to what a chart shows.

const MOST_ROWS = 4000; // a chart is no more than a thousand pixels wide
const COLUMNS = [
  ...["time", "round", "tokens", "loss", "valid_bits_per_byte"],
  ...["right_share", "learning_rate", "bytes_sent", "bytes_received"],
];
const MOST_DEVICES = 7; // that a chart tells apart; all others are one more

export class Metrics {
  constructor() {
    this.clear();
  }

  clear() {
    this.next = 0; // rounds so far, as the device counts them
    this.columns = Object.fromEntries(COLUMNS.map((name) => [name, []]));
    this.speeds = {}; // device -> tokens/s of each row, null where it took no part
    this.marks = []; // {time, what: "joined" | "left", name}
  }

  get rows() {
    return this.columns.time.length;
  }

  /** Take in what the device tells: the newest of its rows, those that are not here yet, or all anew. */
  add(given) {
    if (given.reset) this.clear();
    const end = given.time.length;
    this.#append(given, Math.max(0, end - (given.reset ? end : given.next - this.next)), end);
    this.next = given.next;
    const known = new Set(this.marks.map((mark) => JSON.stringify(mark)));
    this.marks.push(...given.marks.filter((mark) => !known.has(JSON.stringify(mark))));
    if (this.rows > MOST_ROWS) this.#thin();
  }

  /** Return the rows of the last so many seconds, or all, as another Metrics. */
  since(seconds) {
    const cut = new Metrics();
    const from = seconds === null ? -Infinity : (this.columns.time.at(-1) ?? 0) - seconds;
    const first = this.columns.time.findIndex((time) => time >= from);
    if (first >= 0) cut.#append({ ...this.columns, tokens_per_second: this.speeds }, first, this.rows);
    for (const name of ["time", "tokens"]) cut.columns[name] = rising(cut.columns[name]);
    cut.marks = this.marks.filter((mark) => mark.time >= from);
    return cut;
  }

  /** Return the devices' speeds, the busiest first, those beyond the first few as one: [{name, values}]. */
  devices(others) {
    const total = (values) => values.reduce((sum, value) => sum + (value ?? 0), 0);
    const found = Object.entries(this.speeds).map(([name, values]) => ({ name, values }));
    found.sort((one, other) => total(other.values) - total(one.values));
    if (found.length <= MOST_DEVICES + 1) return found;
    const rest = found.splice(MOST_DEVICES);
    const sum = rest[0].values.map((_, row) => rest.reduce((sum, { values }) => sum + (values[row] ?? 0), 0));
    return [...found, { name: others, values: sum }];
  }

  #append(given, first, end) {
    const before = this.rows;
    for (const name of COLUMNS) {
      for (let row = first; row < end; row++) this.columns[name].push(given[name]?.[row] ?? null);
    }
    for (const [name, values] of Object.entries(given.tokens_per_second ?? {})) {
      this.speeds[name] ??= Array(before).fill(null);
      for (let row = first; row < end; row++) this.speeds[name].push(values[row] ?? null);
    }
    for (const values of Object.values(this.speeds)) while (values.length < this.rows) values.push(null);
  }

  /** Leave out every other row of the older half, but for those that were judged. */
  #thin() {
    const judged = this.columns.valid_bits_per_byte;
    const keep = (_, row) => row > MOST_ROWS / 2 || row % 2 === 0 || judged[row] !== null;
    const kept = judged.map(keep);
    for (const name of COLUMNS) this.columns[name] = this.columns[name].filter((_, row) => kept[row]);
    for (const name of Object.keys(this.speeds)) this.speeds[name] = this.speeds[name].filter((_, row) => kept[row]);
  }
}

/** Return values that never fall, for an axis: where a clock or a run was set back, what is newer is believed. */
function rising(values) {
  let least = Infinity;
  return values.map((_, row) => (least = Math.min(least, values.at(-1 - row) ?? least))).reverse();
}

/** Return how much each row is above the one before, a second: bytes so far become bytes/s. */
export function perSecond(times, totals) {
  return totals.map((total, row) => {
    if (row === 0 || total === null || totals[row - 1] === null) return null;
    return Math.max(0, total - totals[row - 1]) / Math.max(1e-3, times[row] - times[row - 1]);
  });
}
