// The panel "Ask": a prompt that the model goes on with, or a talk with it; the answer as it is written.

import { Refused, events, get, post } from "./api.js";
import { byId, element, keepInStep, setText, show } from "./dom.js";
import { number } from "./format.js";
import { spoken } from "./lines.js";
import { t } from "./words.js";

/** The box to ask, with the talk so far; one question at a time. */
export class Ask {
  #form = byId("ask-form");
  #talk = []; // messages as the API has them
  #asking = null; // what stops the question under way
  #names = {}; // of the models that have answered, by where they are
  #others = []; // devices that can be asked as well: {value, word}

  constructor() {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
    this.#form.addEventListener("input", () => this.show());
    byId("stop").addEventListener("click", () => this.#asking?.abort());
    byId("clear").addEventListener("click", () => this.#clear());
    byId("chat-mode").addEventListener("change", () => this.#clear());
    byId("prompt").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return; // Hangul is composed
      event.preventDefault();
      this.#form.requestSubmit();
    });
  }

  /** Let the devices that are here answer as well: one that is slow may leave that to another. */
  setPeers(peers) {
    const others = peers.filter((peer) => !peer.is_us && peer.peer && peer.left_at === null);
    this.#others = others.map(({ peer, name }) => ({ value: `/api/of/${peer}`, word: name }));
    this.#showChoices();
  }

  #showChoices() {
    const own = [
      { value: "", word: t("thisDevice") },
      { value: "/newest", word: t("newestState") },
    ];
    keepInStep(
      this.#form.elements.state,
      [...own, ...this.#others],
      ({ value }) => value,
      ({ value }) => element("option", { value }),
      (option, { word }) => setText(option, word),
    );
  }

  show() {
    this.#showChoices();
    const { prompt, temperature, limit } = this.#form.elements;
    setText(byId("prompt-label"), t(this.#isChat ? "message" : "prompt"));
    prompt.placeholder = t("promptHint");
    setText(byId("temperature-value"), number(Number(temperature.value), 1, 1));
    setText(byId("limit-value"), number(Number(limit.value)));
  }

  /** Where the model is asked: the best state, the newest, or another device's. */
  get #state() {
    return this.#form.elements.state.value;
  }

  get #isChat() {
    return byId("chat-mode").checked;
  }

  async #ask() {
    const text = this.#form.elements.prompt.value;
    if (this.#asking || !text.trim()) return;
    this.#asking = new AbortController();
    this.#setBusy(true);
    setText(byId("ask-said"), t("thinking"));
    try {
      const model = await this.#model();
      const talk = this.#talk; // not the one that may begin while this answer is written
      const written = this.#begin(text);
      await this.#stream(text, model, written).catch(unlessStopped);
      setText(byId("ask-said"), "");
      if (this.#isChat) talk.push({ role: "assistant", content: written.textContent });
    } catch (error) {
      this.#names = {}; // it may be another one by now
      const why = error instanceof Refused ? spoken({ text: error.message, ...error.known }) : t("offlineBanner");
      setText(byId("ask-said"), error.name === "AbortError" ? "" : t("noModel", { why }));
    }
    this.#asking = null;
    this.#setBusy(false);
  }

  /** Return the name of the model to ask. Throws Refused where there is none. */
  async #model() {
    if (this.#names[this.#state]) return this.#names[this.#state];
    const { data } = await get(`${this.#state}/v1/models`, this.#asking.signal);
    if (!data.length) throw new Refused(404, t("guessesUnknown"));
    return (this.#names[this.#state] = data[0].id);
  }

  /** Show the question, and return the element that the answer goes into. */
  #begin(text) {
    const written = element("span");
    const answer = byId("answer");
    if (this.#isChat) {
      this.#talk.push({ role: "user", content: text });
      answer.append(
        element("p", { class: "mine", dir: "auto" }, element("span", { class: "unseen" }, `${t("youSay")}: `), text),
        element("p", { dir: "auto" }, element("span", { class: "unseen" }, `${t("itSays")}: `), written),
      );
      this.#form.elements.prompt.value = "";
    } else {
      answer.replaceChildren(element("p", { dir: "auto" }, element("span", { class: "prompt" }, text), written));
    }
    show(answer, true);
    show(byId("clear"), true);
    return written;
  }

  /** Fill in the answer as it comes. */
  async #stream(text, model, written) {
    const { temperature, limit } = this.#form.elements;
    const body = {
      model,
      temperature: Number(temperature.value),
      max_tokens: Number(limit.value),
      stream: true,
      ...(this.#isChat ? { messages: this.#talk } : { prompt: text }),
    };
    const path = this.#isChat ? "chat/completions" : "completions";
    const response = await post(`${this.#state}/v1/${path}`, body, this.#asking.signal);
    setText(byId("ask-said"), "");
    for await (const { data } of events(response)) {
      if (!data || data === "[DONE]") continue;
      const { choices, error } = JSON.parse(data);
      if (error) throw new Refused(500, error.message, error);
      const piece = choices?.[0]?.delta?.content ?? choices?.[0]?.text ?? "";
      written.append(piece);
      byId("answer").scrollTop = byId("answer").scrollHeight;
    }
  }

  #clear() {
    this.#asking?.abort();
    this.#talk = [];
    byId("answer").replaceChildren();
    show(byId("answer"), false);
    show(byId("clear"), false);
    setText(byId("ask-said"), "");
    this.show();
  }

  #setBusy(isBusy) {
    byId("send").disabled = isBusy;
    show(byId("stop"), isBusy);
    byId("answer").setAttribute("aria-busy", isBusy); // read out once it is whole
  }
}

/** Pass over what was stopped by hand; throw all other errors. */
function unlessStopped(error) {
  if (error.name !== "AbortError") throw error;
}
