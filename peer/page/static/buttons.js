// The panel of buttons. What changes something asks once; what the device answers is shown below.

import { act } from "./api.js";
import { byId, element, keepInStep, setText, show } from "./dom.js";
import { percent } from "./format.js";
import { spoken } from "./lines.js";
import { t } from "./words.js";

/** Ask whether to go on; resolves to true or false. */
function confirmed(words) {
  const dialog = byId("confirm");
  setText(byId("confirm-words"), words);
  dialog.returnValue = "no"; // as Escape means it
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** The buttons, which are as the newest snapshot has it. */
export class Buttons {
  #snapshot = null;

  constructor() {
    const { elements: share } = byId("share-form");
    share.share.addEventListener("input", () => this.#showShare());
    byId("share-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const value = Number(share.share.value);
      this.#do("share_of_time", { share: value }, t("askShare", this.#named({ share: percent(value) })));
    });
    byId("quiet-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const { begins, ends } = Object.fromEntries(new FormData(event.target));
      this.#do("quiet_hours", { begins, ends }, t("askQuietHours", this.#named({ begins, ends })));
    });
    byId("no-quiet-hours").addEventListener("click", () =>
      this.#do("quiet_hours", { begins: "", ends: "" }, t("askNoQuietHours", this.#named())),
    );
    byId("lock").addEventListener("click", () => this.#lock());
    byId("eject-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const { name } = Object.fromEntries(new FormData(event.target));
      this.#do("eject", { name }, t("askEject", { name: event.target.name.selectedOptions[0].text }));
    });
  }

  /** Show what can be pressed now. */
  show(snapshot) {
    const before = this.#snapshot;
    this.#snapshot = snapshot;
    this.#showDeeds(snapshot);
    this.#showDoor(snapshot);
    this.#showSettings(snapshot.device, before?.device);
  }

  #named(more = {}) {
    return { name: this.#snapshot?.device.name ?? "", ...more };
  }

  #showDeeds({ device, page }) {
    const named = this.#named();
    const pause = device.is_paused
      ? { what: "go_on", word: "goOn", asks: t("askGoOn", named) }
      : { what: "pause", word: "pause", asks: t("askPause", named) };
    this.#showRow("deeds", [
      pause,
      { what: "sync", word: "sync", asks: t("askSync", named) },
      { what: "checkpoint", word: "checkpoint", asks: t("askCheckpoint", named) },
      { what: "invite", word: "invite" },
      { what: "doctor", word: "doctor" },
    ]);
    show(byId("page-buttons"), page.is_local);
    const open = { what: "page", word: "pageLan", more: { lan: true }, asks: t("askLan") };
    const renew = { what: "page", word: "pageRenew", asks: t("askRenew") };
    const close = { what: "page", word: "pageLocal", more: { lan: false }, asks: t("askLocal") };
    this.#showRow("page-deeds", page.is_lan ? [renew, close] : [open]);
  }

  /** Show a row of buttons: {what, word, more: what else to send, asks: what to ask before, if anything}. */
  #showRow(id, deeds) {
    keepInStep(
      byId(id),
      deeds,
      ({ word }) => word,
      () => element("button", { type: "button" }),
      (button, { what, word, more, asks }) => {
        setText(button, t(word));
        button.onclick = () => this.#do(what, more, asks);
      },
    );
  }

  #showDoor({ run, door, knocks, peers }) {
    const isInside = !door.asks && !door.is_ejected;
    setText(byId("door-words"), t(!isInside ? "isOutside" : run.is_locked ? "isLocked" : "isOpen"));
    setText(byId("lock"), t(run.is_locked ? "unlock" : "lock"));
    show(byId("lock"), isInside);
    keepInStep(
      byId("knocks"),
      knocks,
      ({ peer }) => peer,
      () => element("li", { class: "row" }, element("span"), element("button", { type: "button" })),
      (row, knock) => {
        setText(row.firstChild, t("knocks", knock));
        setText(row.lastChild, t("admit"));
        row.lastChild.onclick = () => this.#do("admit", { number: knock.number }, t("askAdmit", knock));
      },
    );
    const here = peers.filter((peer) => peer.is_member && peer.left_at === null);
    const away = run.away.map((name) => ({ name, peer: name }));
    const others = run.is_locked && isInside ? [...here, ...away] : [];
    const choice = byId("eject-form").elements.name;
    keepInStep(
      choice,
      others,
      ({ peer }) => peer,
      ({ name, peer }) => element("option", { value: peer }, name),
      () => {},
    );
    for (const part of [choice.parentElement, choice.parentElement.nextElementSibling]) show(part, others.length > 0);
  }

  /** Show the device's settings where they have changed, so that nobody's own choice is taken away while he makes it. */
  #showSettings(device, before) {
    const { share } = byId("share-form").elements;
    if (device.share_of_time !== before?.share_of_time) share.value = device.share_of_time;
    this.#showShare();
    const { begins, ends } = byId("quiet-form").elements;
    const hours = device.quiet_hours;
    if (hours && JSON.stringify(hours) !== JSON.stringify(before?.quiet_hours)) {
      begins.value = hours.begins;
      ends.value = hours.ends;
    }
    show(byId("no-quiet-hours"), Boolean(hours));
  }

  #showShare() {
    setText(byId("share-value"), percent(Number(byId("share-form").elements.share.value)));
  }

  /** Lock the run, once the owner has seen who gets the key; or open it again. */
  async #lock() {
    if (this.#snapshot?.run.is_locked) return this.#do("unlock", {}, t("askUnlock"));
    try {
      const { said: names, peers } = await act("who_gets_the_key");
      await this.#do("lock", { peers }, t("askLock", { names: names || t("noOtherDevice") }));
    } catch (error) {
      this.#sayRefused(error);
    }
  }

  /** Do what a button says, once the owner has said yes where it asks, and show the answer. */
  async #do(what, more = {}, asks = null) {
    if (asks && !(await confirmed(asks))) return;
    this.#say([t("working")]);
    try {
      const { said, kind, values, link, qr } = await act(what, more);
      const parts = [element("pre", {}, spoken({ text: said, kind, values }))];
      if (link) parts.push(element("p", {}, element("code", {}, link)));
      if (qr.startsWith("data:image/svg+xml")) parts.push(element("img", { src: qr, alt: t("qr") }));
      this.#say(parts);
    } catch (error) {
      this.#sayRefused(error);
    }
  }

  #sayRefused(error) {
    this.#say([error.status ? spoken({ text: error.message, ...error.known }) : t("offlineBanner")], true);
  }

  #say(parts, isRefused = false) {
    byId("said").replaceChildren(...parts);
    byId("said").classList.toggle("is-refused", isRefused);
    show(byId("said"), true);
    byId("said").scrollIntoView({ block: "nearest" });
  }
}
