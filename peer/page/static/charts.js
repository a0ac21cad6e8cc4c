// The curves, drawn by uPlot: what is on each, in which colour, and what is marked.

import { colour, deviceColours } from "./colours.js";
import { clock, day, number, rate, short, timeOfDay } from "./format.js";
import { perSecond } from "./metrics.js";
import { t } from "./words.js";

const { uPlot } = window;
const HEIGHT = 240;
const NARROW = 480; // pixels, below which a second axis has no room
const DAY = 86400; // seconds
const NO_POINTS = { show: false };

/** Draw loss and held-out bits a byte, with who came and left, and the best state. */
export function drawLearning(parent, metrics, by, best) {
  const { [by]: x, time, tokens, round, loss, valid_bits_per_byte: bits } = metrics.columns;
  const judged = bits.filter((value) => value !== null);
  const curve = {
    label: t("bitsPerByte"),
    scale: "bits",
    stroke: colour("accent"),
    width: 2,
    spanGaps: true,
    points: { show: judged.length < 80, size: 5, fill: colour("accent") },
    value: (_, __, ___, row) =>
      number(row === null ? null : bits.slice(0, row + 1).findLast((value) => value !== null), 3),
  };
  const training = { ...line(t("loss"), colour("second"), (value) => number(value, 3)), scale: "loss", width: 1 };
  return draw(parent, by, {
    title: learningSummary(judged, round),
    data: [x, bits, loss],
    series: [curve, training],
    scales: { bits: {}, loss: {} },
    axes: [
      axis({ scale: "bits", size: 44, values: (_, splits) => splits.map((value) => number(value, 2)) }),
      axis({
        scale: "loss",
        side: 1,
        size: 40,
        show: parent.clientWidth >= NARROW,
        grid: { show: false },
        stroke: colour("second"),
        values: (_, splits) => splits.map((value) => number(value, 1)),
      }),
    ],
    drawn: [
      (plot) => drawMarks(plot, metrics.marks, (mark) => placeOf(mark, by, time, tokens)),
      (plot) => drawBest(plot, best, x[round.findIndex((number) => number >= best?.round)]),
    ],
  });
}

/** Draw the tokens a second of all devices, one upon the other. */
export function drawThroughput(parent, metrics, by) {
  const devices = metrics.devices(t("otherDevices"));
  const x = metrics.columns[by];
  let sum = x.map(() => 0);
  const stacked = devices.map(({ values }) => (sum = sum.map((below, row) => below + (values[row] ?? 0))));
  const series = devices.map(({ name, values }) => ({
    label: name,
    stroke: deviceColours.of(name),
    fill: `${deviceColours.of(name)}66`,
    width: 1,
    points: NO_POINTS,
    value: (_, __, ___, row) => number(row === null ? null : values[row]),
  }));
  return draw(parent, by, {
    title: t("throughputSummary", { devices: devices.map(({ name }) => name).join(", "), total: number(sum.at(-1)) }),
    data: [x, ...stacked.reverse()], // the highest is drawn first, the others upon it
    series: series.reverse(),
    scales: { y: { range: (_, __, most) => [0, Math.max(1, most * 1.08)] } },
    axes: [axis({ size: 48, values: (_, splits) => splits.map(short) })],
    bands: devices.slice(1).map((_, place) => ({ series: [place + 1, place + 2] })),
  });
}

/** Draw the bytes a second that went out and came in. */
export function drawTraffic(parent, metrics, by) {
  const { [by]: x, time, bytes_sent: sent, bytes_received: received } = metrics.columns;
  return draw(parent, by, {
    title: t("traffic"),
    data: [x, perSecond(time, sent), perSecond(time, received)],
    series: [line(t("sent"), colour("device-1"), rate), line(t("received"), colour("device-2"), rate)],
    axes: [axis({ size: 64, values: (_, splits) => splits.map(rate) })],
  });
}

/** Draw the learning rate. */
export function drawLearningRate(parent, metrics, by) {
  const { [by]: x, learning_rate: rates } = metrics.columns;
  const exact = (value) => value?.toExponential(1) ?? "–";
  return draw(parent, by, {
    title: t("learningRate"),
    data: [x, rates],
    series: [line(t("learningRate"), colour("device-3"), exact)],
    axes: [axis({ size: 60, values: (_, splits) => splits.map(exact) })],
  });
}

/** Draw a chart into `parent`, in the place of what was there; its title is what a screen reader says. */
function draw(parent, by, { title, data, series, axes, scales = {}, bands = [], drawn = [] }) {
  const isTime = by === "time";
  parent.replaceChildren();
  const below = { label: t(by), value: (_, at) => (isTime ? clock(at, true) : short(at)) };
  const options = {
    width: Math.max(200, parent.clientWidth),
    height: HEIGHT,
    series: [below, ...series],
    axes: [axis({ space: 64, values: isTime ? timesBelow : (_, splits) => splits.map(short) }), ...axes],
    scales: { x: { time: isTime }, ...scales },
    bands,
    hooks: {
      ready: [(plot) => plot.setLegend({ idx: data[0].length - 1 })], // the newest values, until somebody points at others
      draw: drawn,
    },
    cursor: { drag: { x: true, y: false }, sync: { key: "rounds" } }, // what is pointed at in one, and zoomed into, is in all
  };
  const plot = new uPlot(options, data, parent);
  plot.ctx.canvas.setAttribute("role", "img");
  plot.ctx.canvas.setAttribute("aria-label", title);
  return plot;
}

function axis(more) {
  const line = { stroke: colour("line"), width: 1 };
  return { stroke: colour("quiet"), grid: line, ticks: { ...line, size: 4 }, font: `12px ${colour("font")}`, ...more };
}

function line(label, stroke, written) {
  return { label, stroke, width: 1.5, spanGaps: true, points: NO_POINTS, value: (_, value) => written(value) };
}

/** Return what stands below a time axis: hours, and the day wherever another one begins. */
function timesBelow(_, splits, __, ___, step) {
  let before = null;
  return splits.map((at) => {
    const today = day(at);
    const isNew = before !== null && today !== before;
    before = today;
    if (step >= DAY) return today;
    return isNew ? `${timeOfDay(at)}\n${today}` : timeOfDay(at);
  });
}

function learningSummary(judged, round) {
  if (!judged.length) return t("nothingJudged");
  const [first, last] = [number(judged[0], 2), number(judged.at(-1), 2)];
  return t("learningSummary", { first, last, rounds: number(round.at(-1)) });
}

/** Return where on the axis below a mark is; null if the chart ends before it. */
function placeOf(mark, by, time, tokens) {
  if (by === "time") return mark.time;
  return tokens[time.findIndex((at) => at >= mark.time)] ?? null;
}

/** Draw a line across the chart for each device that came or left, with its name where there is room. */
function drawMarks(plot, marks, placeOf) {
  const { ctx: pen, bbox: box } = plot;
  const ratio = uPlot.pxRatio;
  const right = box.left + box.width;
  let free = 0; // where the last name ends
  pen.save();
  pen.font = `${11 * ratio}px ${colour("font")}`;
  pen.textAlign = "left";
  pen.textBaseline = "alphabetic";
  pen.fillStyle = pen.strokeStyle = colour("quiet");
  pen.lineWidth = ratio;
  pen.setLineDash([3 * ratio, 3 * ratio]);
  for (const mark of marks) {
    const left = plot.valToPos(placeOf(mark) ?? NaN, "x", true);
    if (!(left >= box.left && left <= right)) continue;
    pen.beginPath();
    pen.moveTo(left, box.top);
    pen.lineTo(left, box.top + box.height);
    pen.stroke();
    const name = `${mark.what === "joined" ? "+" : "−"} ${[...mark.name].slice(0, 16).join("")}`;
    const start = left + 4 * ratio;
    const end = start + pen.measureText(name).width;
    if (left < free || end > right) continue;
    pen.fillText(name, start, box.top + 11 * ratio);
    free = end + 6 * ratio;
  }
  pen.restore();
}

/** Draw a ring around the best state, and its figure. */
function drawBest(plot, best, x) {
  if (!best || x === undefined) return;
  const { ctx: pen, bbox: box } = plot;
  const ratio = uPlot.pxRatio;
  const [left, top] = [plot.valToPos(x, "x", true), plot.valToPos(best.bits_per_byte, "bits", true)];
  const right = box.left + box.width;
  if (left < box.left || left > right) return;
  pen.save();
  pen.strokeStyle = pen.fillStyle = colour("accent");
  pen.lineWidth = 2 * ratio;
  pen.beginPath();
  pen.arc(left, top, 6 * ratio, 0, 2 * Math.PI);
  pen.stroke();
  pen.font = `600 ${12 * ratio}px ${colour("font")}`;
  pen.textAlign = left > right - 90 * ratio ? "right" : "left";
  const words = t("bestMark", { value: number(best.bits_per_byte, 3) });
  pen.strokeStyle = colour("card"); // an edge, so that it can be read upon the curves
  pen.lineWidth = 4 * ratio;
  pen.strokeText(words, left, top - 12 * ratio);
  pen.fillText(words, left, top - 12 * ratio);
  pen.restore();
}
