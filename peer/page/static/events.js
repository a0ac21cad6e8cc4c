// The panel of events: the terminal's lines with their times, the newest first.

import { byId, element, keepInStep, setText, show } from "./dom.js";
import { clock } from "./format.js";
import { spoken } from "./lines.js";
import { t } from "./words.js";

const MOST = 2000; // lines that are kept
const SHOWN = 200; // lines in the list at a time

export class Events {
  #lines = []; // the oldest first
  #filter = "";

  constructor() {
    byId("filter").addEventListener("input", (event) => {
      this.#filter = event.target.value.trim().toLowerCase();
      this.show();
    });
  }

  /** Take in lines; those that are here already are passed over. */
  add(lines) {
    const newest = this.#lines.at(-1)?.n ?? 0;
    this.#lines.push(...lines.filter(({ n }) => n > newest));
    this.#lines.splice(0, this.#lines.length - MOST);
  }

  show() {
    const matching = this.#lines.filter((line) => spoken(line).toLowerCase().includes(this.#filter));
    show(byId("events-none"), matching.length === 0);
    setText(byId("events-none"), t(this.#filter ? "noMatch" : "noEvents"));
    keepInStep(
      byId("event-list"),
      matching.slice(-SHOWN).reverse(),
      ({ n }) => n,
      () => element("li", {}, element("time"), element("span", { dir: "auto" })),
      (row, line) => {
        row.firstChild.dateTime = new Date(line.time * 1000).toISOString();
        setText(row.firstChild, clock(line.time, true));
        setText(row.lastChild, spoken(line));
      },
    );
    show(byId("event-list"), matching.length > 0);
  }
}
