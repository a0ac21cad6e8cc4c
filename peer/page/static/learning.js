// The panel "Learning": the curves, along time or tokens, of all or of the last hours.

import * as charts from "./charts.js";
import { whenThemeChanges } from "./colours.js";
import { byId, show } from "./dom.js";

const REDRAW = 300; // ms at least between two drawings of new rows

/** The curves of a run; draws them anew where rows, size, theme, language or the choice of what to see change. */
export class Learning {
  #metrics;
  #best = null;
  #plots = [];
  #timer = null;
  #drawn = -REDRAW; // when that was, in ms since the page was opened
  #width = 0;

  constructor(metrics) {
    this.#metrics = metrics;
    byId("chart-choices").addEventListener("change", () => this.draw());
    byId("chart-choices").addEventListener("submit", (event) => event.preventDefault());
    byId("more-charts").addEventListener("toggle", () => this.draw());
    whenThemeChanges(() => this.draw());
    new ResizeObserver(() => {
      if (byId("charts").clientWidth !== this.#width) this.drawSoon();
    }).observe(byId("learning"));
  }

  /** Show where the best state is: {round, bits_per_byte}, or null. */
  setBest(best) {
    const isNew = JSON.stringify(best) !== JSON.stringify(this.#best);
    this.#best = best;
    if (isNew) this.drawSoon();
  }

  /** Draw in a moment, but for somebody who looks at a part that he has zoomed into. */
  drawSoon() {
    this.#timer ??= setTimeout(
      () => {
        if (this.#isZoomed()) this.#timer = null;
        else this.draw();
      },
      Math.max(0, this.#drawn + REDRAW - performance.now()),
    );
  }

  draw() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#drawn = performance.now();
    const { rows } = this.#metrics;
    show(byId("charts-none"), rows === 0);
    show(byId("charts"), rows > 0);
    if (rows === 0) return;
    this.#width = byId("charts").clientWidth;
    const { by, range } = Object.fromEntries(new FormData(byId("chart-choices")));
    const shown = this.#metrics.since(range ? Number(range) : null);
    this.#plots.forEach((plot) => plot.destroy());
    this.#plots = [
      charts.drawLearning(byId("learning-chart"), shown, by, this.#best),
      charts.drawThroughput(byId("throughput-chart"), shown, by),
    ];
    if (!byId("more-charts").open) return;
    this.#plots.push(
      charts.drawTraffic(byId("traffic-chart"), shown, by),
      charts.drawLearningRate(byId("lr-chart"), shown, by),
    );
  }

  #isZoomed() {
    return this.#plots.some((plot) => {
      const [x, { min, max }] = [plot.data[0], plot.scales.x];
      return x.length > 1 && (min > x[0] || max < x.at(-1));
    });
  }
}
