// The panel of samples: what the model wrote after the fixed prompts, round by round, with a slider.

import { byId, element, keepInStep, setText, show } from "./dom.js";
import { clock, number } from "./format.js";
import { t } from "./words.js";

/** What the model wrote, oldest first, and which round of it is shown: the newest one until somebody slides. */
export class Samples {
  #all = [];
  #chosen = null; // a place in them; null: the newest

  constructor() {
    byId("sample-round").addEventListener("input", (event) => {
      const place = Number(event.target.value);
      this.#chosen = place === this.#all.length - 1 ? null : place;
      this.show();
    });
  }

  get newest() {
    return this.#all.at(-1) ?? null;
  }

  /** Take in samples; those that are here already are passed over. */
  add(samples) {
    const newest = this.newest?.n ?? -1;
    this.#all.push(...samples.filter(({ n }) => n > newest));
  }

  show() {
    show(byId("samples-none"), this.#all.length === 0);
    show(byId("samples-shown"), this.#all.length > 0);
    if (!this.#all.length) return;
    const place = this.#chosen ?? this.#all.length - 1;
    const { round, time, samples } = this.#all[place];
    const words = t("roundOf", { round: number(round), time: clock(time) });
    const slider = byId("sample-round");
    slider.max = this.#all.length - 1;
    slider.value = place;
    slider.setAttribute("aria-valuetext", words);
    setText(byId("sample-words"), words);
    keepInStep(
      byId("sample-list"),
      samples.map((sample, number) => ({ ...sample, number })),
      ({ number }) => number,
      () =>
        element(
          "li",
          {},
          element("blockquote", { dir: "auto" }, element("span", { class: "prompt" }), element("span")),
        ),
      (row, sample) => {
        const [prompt, text] = row.firstChild.children;
        setText(prompt, sample.prompt);
        setText(text, sample.text);
      },
    );
  }
}
