// The panel "Now": the run and its round, how well the model does, what it writes by now.

import { byId, element, fillFacts, setText, show } from "./dom.js";
import { clock, number, percent, short } from "./format.js";
import { reason } from "./lines.js";
import { t } from "./words.js";

/** Show a snapshot, and the newest sample, or null where there is none. */
export function showNow({ run, learning, peers, door }, sample) {
  const knows = learning.right_share !== null;
  setText(byId("figure"), door.number || (knows ? percent(learning.right_share) : ""));
  show(byId("figure"), Boolean(door.number || knows));
  const asks = door.number ? "asksByNumber" : "asksUnheard";
  const values = { ...door, problem: reason(door.problem) };
  setText(byId("sentence"), t(door.asks ? asks : knows ? "guessesRight" : "guessesUnknown", values));
  setText(byId("judgement"), learning.judgement ? t(learning.judgement) : "");
  showRound(run);
  fillFacts(byId("now-facts"), facts(run, learning, peers));
  showSample(sample);
}

function showRound(run) {
  const isUnderWay = run.samples_per_round > 0;
  show(byId("round-progress"), isUnderWay);
  show(byId("round-words"), isUnderWay);
  if (!isUnderWay) return;
  byId("round-progress").value = Math.min(1, run.round_sequences / run.samples_per_round);
  const values = { done: number(run.round_sequences), all: number(run.samples_per_round) };
  setText(byId("round-words"), t("roundProgress", values));
}

function facts(run, learning, peers) {
  const speed = peers.filter((peer) => peer.left_at === null).reduce((sum, peer) => sum + peer.tokens_per_second, 0);
  const heldOut = learning.valid_loss !== null && {
    loss: number(learning.valid_loss, 2, 2),
    bits: number(learning.valid_bits_per_byte, 3, 3),
  };
  const best = learning.best && {
    bits: number(learning.best.bits_per_byte, 3, 3),
    round: number(learning.best.round),
  };
  return [
    [t("run"), run.name],
    [t("round"), number(run.round)],
    [t("heldOut"), heldOut && t("heldOutValue", heldOut)],
    [t("best"), best && t("bestValue", best)],
    [t("speed"), speed && t("tokensPerSecond", { value: number(speed) })],
    [t("seen"), run.tokens && t("seenValue", { tokens: short(run.tokens) })],
    [t("size"), run.parameters && t("sizeValue", { parameters: short(run.parameters), size: run.size })],
  ].map(([term, value]) => [term, value || null]);
}

function showSample(sample) {
  const newest = sample?.samples[0];
  show(byId("newest"), Boolean(newest));
  if (!newest) return;
  setText(byId("newest-title"), t("newestSample", { round: number(sample.round), time: clock(sample.time) }));
  const there = byId("newest-text");
  if (there.textContent === newest.prompt + newest.text) return;
  there.replaceChildren(element("span", { class: "prompt" }, newest.prompt), newest.text);
}
