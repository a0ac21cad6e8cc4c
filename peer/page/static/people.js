// The panel "Who is here": a row a device, with what it gives.

import { deviceColours } from "./colours.js";
import { byId, element, icon, keepInStep, setText, show } from "./dom.js";
import { ago, bytes, clock, number, percent, rate } from "./format.js";
import { reason } from "./lines.js";
import { t } from "./words.js";

/** Show the devices of a snapshot: who is here, then who has left; `share` says what their bars stand for. */
export function showPeople({ peers, device, link }, share = t("share")) {
  show(byId("people-none"), peers.length === 0);
  const key = (peer) => peer.peer || peer.name;
  const update = (row, peer) => fillRow(row, peer, share, peer.is_us ? { device, link } : {});
  keepInStep(byId("people-list"), peers, key, newRow, update);
}

function newRow(peer) {
  return element(
    "li",
    { class: "device" },
    element(
      "div",
      { class: "device-line" },
      icon(peer.kind),
      element("span", { class: "name", dir: "auto" }),
      element("span", { class: "badge" }),
      element("span", { class: "speed" }),
    ),
    element("div", { class: "meter", role: "meter", "aria-valuemin": 0, "aria-valuemax": 100 }, element("span")),
    element("p", { class: "quiet small" }),
    element("p", { class: "small state" }),
  );
}

function fillRow(row, peer, share, { device, link }) {
  const [line, meter, details, state] = row.children;
  const [, name, badge, speed] = line.children;
  const hasLeft = peer.left_at !== null;
  row.classList.toggle("has-left", hasLeft);
  setText(name, peer.name);
  line.title = t(peer.kind);
  setText(badge, t("thisDevice"));
  show(badge, peer.is_us);
  setText(
    speed,
    hasLeft
      ? t("leftAt", { time: clock(peer.left_at) })
      : t("tokensPerSecond", { value: number(peer.tokens_per_second) }),
  );
  show(speed, hasLeft || peer.tokens_per_second > 0);
  fillMeter(meter, peer, share, hasLeft);
  setText(details, described(peer, link).join(" · "));
  show(details, !hasLeft);
  const why = peer.paused || (device?.is_resting && device.why) || "";
  const until = peer.is_us ? device?.until : "";
  setText(state, why ? t(until ? "restsUntil" : "rests", { why: reason(why), until: reason(until) }) : "");
  show(state, Boolean(why) && !hasLeft);
}

function fillMeter(meter, peer, words, hasLeft) {
  const share = peer.share ?? 0;
  show(meter, !hasLeft && peer.share !== null);
  meter.setAttribute("aria-label", `${words}, ${peer.name}`);
  meter.setAttribute("aria-valuenow", Math.round(share * 100));
  meter.title = words;
  meter.style.color = deviceColours.of(peer.name);
  meter.firstChild.style.width = `${Math.min(100, share * 100)}%`;
}

/** Return what is said of a device below its bar. */
function described(peer, link) {
  const parts = [];
  if (peer.share !== null) parts.push(percent(peer.share));
  if (peer.role !== "training") parts.push(roleWord(peer.role));
  if (peer.since) parts.push(t("since", { ago: ago(peer.since) }));
  if (peer.is_direct !== null) parts.push(t(peer.is_direct ? "direct" : "indirect"));
  if (peer.battery !== null) parts.push(t("battery", { value: percent(peer.battery / 100) }));
  if (link) parts.push(t("upDown", { up: rate(link.up), down: rate(link.down) }));
  else if (peer.bytes_up !== null) parts.push(t("upDown", { up: bytes(peer.bytes_up), down: bytes(peer.bytes_down) }));
  return parts;
}

const ROLES = ["asking", "ejected", "looking", "founding", "joining", "relaying", "training", "left"];

/** Return what a device does, in words. */
export const roleWord = (role) => (ROLES.includes(role) ? t(role) : role);
