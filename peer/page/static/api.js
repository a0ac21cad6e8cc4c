// What is said between this page and the device: requests with the token, and streams of events.

const SILENCE = 40_000; // ms without a word, after which a stream counts as broken: the device says something every 10 s
const KEY = "cellmind-token";

/** An answer that is none: its status, and what the device says of it, with its kind and values where these are known. */
export class Refused extends Error {
  constructor(status, message, known = {}) {
    super(message);
    this.status = status;
    this.known = known;
  }
}

/** Take the token out of the link (#token=…), and keep it as long as this tab is open. */
export function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  setToken(token);
  history.replaceState(null, "", location.pathname + location.search); // so that nobody reads it over a shoulder
}

export function setToken(token) {
  sessionStorage.setItem(KEY, token);
}

function headers(more = {}) {
  const token = sessionStorage.getItem(KEY);
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

/** Return what was answered. Throws Refused, or TypeError where nobody answers. */
async function request(path, options = {}) {
  const response = await fetch(path, { cache: "no-store", ...options, headers: headers(options.headers) });
  if (response.ok) return response;
  const text = await response.text();
  let message = text || response.statusText;
  let known = {};
  try {
    const { error, kind, values } = JSON.parse(text);
    message = error?.message ?? error ?? message;
    known = { kind, values };
  } catch {
    // no JSON: the text is what it says
  }
  throw new Refused(response.status, String(message), known);
}

/** Return the JSON at a path. */
export const get = async (path, signal) => (await request(path, { signal })).json();

/** Return the answer to a JSON body. The header tells our own page from a form on somebody else's. */
export function post(path, body, signal) {
  const options = { "Content-Type": "application/json", "X-CellMind": "1" };
  return request(path, { method: "POST", headers: options, body: JSON.stringify(body), signal });
}

/** Ask the device to do something, and return what it says. */
export const act = async (what, more = {}) => (await post("/api/do", { what, ...more })).json();

/** Yield the events of a stream as they come: {event, id, data}, the data as text. */
export async function* events(response) {
  const decoder = new TextDecoder();
  let text = "";
  for (const reader = response.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += decoder.decode(value, { stream: true }).replaceAll("\r", "");
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const found = { event: "message", id: null, data: "" };
      for (const line of text.slice(0, end).split("\n")) {
        const [, field, content] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
        if (field === "data") found.data += (found.data && "\n") + content;
        else if (field === "event" || field === "id") found[field] = content;
      }
      yield found;
    }
  }
}

/**
 * Listen to the device for as long as the page is open, again and again where the stream breaks.
 *
 * @param load fetches all that there is so far, and returns from where on to listen
 * @param heard (event, data) gets each event, its data read
 * @param connection (isThere, error) gets each change
 */
export async function listen(load, heard, connection) {
  let place = null;
  for (let wait = 500; ; wait = Math.min(wait * 2, 4000)) {
    const broken = new AbortController();
    let timer = setTimeout(() => broken.abort(), SILENCE);
    try {
      place ??= await load();
      const response = await request(`/api/stream?since=${encodeURIComponent(place)}`, { signal: broken.signal });
      connection(true, null);
      wait = 500;
      for await (const { event, id, data } of events(response)) {
        clearTimeout(timer);
        timer = setTimeout(() => broken.abort(), SILENCE);
        place = id || place;
        if (data) heard(event, JSON.parse(data));
      }
      connection(false, null);
    } catch (error) {
      connection(false, error);
    }
    clearTimeout(timer);
    await new Promise((again) => setTimeout(again, wait));
  }
}
