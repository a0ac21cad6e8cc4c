// The page of a device: listens to it, and has each panel show what is new.

import { Refused, get, listen, setToken, takeToken } from "./api.js";
import { Ask } from "./ask.js";
import { Buttons } from "./buttons.js";
import { byId, setText, show } from "./dom.js";
import { Events } from "./events.js";
import { Learning } from "./learning.js";
import { Metrics } from "./metrics.js";
import { showNow } from "./now.js";
import { roleWord, showPeople } from "./people.js";
import { Samples } from "./samples.js";
import { showText } from "./text.js";
import { fillWords, switchLanguage, t } from "./words.js";

const POINTS = 1200; // of the curves, however long the run was: no screen shows more of them
const OFFLINE_SECONDS = 3; // without the device before the page says so: a Wi-Fi hiccup is none
const STATES = ["connecting", "offline", "paused", "resting", "stopped"]; // beside the roles

const metrics = new Metrics();
const learning = new Learning(metrics);
const samples = new Samples();
const events = new Events();
const ask = new Ask();
const buttons = new Buttons();

let snapshot = null;
let text = null;
let isOffline = false;
let offlineTimer = null;

/** Fetch all that there is so far, show each part as it comes, and return from where on to listen. */
async function load() {
  const [, rounds, lines, written] = await Promise.all([
    fetched("/api/snapshot", (newest) => {
      show(byId("token-form"), false);
      HEARD.snapshot(newest);
    }),
    fetched(`/api/metrics?points=${POINTS}`, (rounds) => {
      metrics.add({ ...rounds, reset: true });
      learning.draw();
    }),
    fetched("/api/lines", ({ lines }) => {
      events.add(lines);
      events.show();
    }),
    fetched("/api/samples", (written) => {
      samples.add(written.samples);
      samples.show();
      showSnapshot(); // with the newest of them
    }),
  ]);
  return `${rounds.run_id}:${rounds.next}:${lines.next}:${written.next}`;
}

async function fetched(path, take) {
  const found = await get(path);
  take(found);
  return found;
}

async function loadText() {
  text = await get("/api/text").catch(() => null); // it comes with the next snapshot that tells of other texts
  if (text) showText(text);
}

const HEARD = {
  snapshot(newest) {
    const hasOtherTexts = JSON.stringify(newest.texts) !== JSON.stringify(snapshot?.texts);
    snapshot = newest;
    showSnapshot();
    if (hasOtherTexts) loadText();
  },
  metrics(rounds) {
    metrics.add(rounds);
    learning.drawSoon();
  },
  sample(sample) {
    samples.add([sample]);
    samples.show();
    showSnapshot();
  },
  line(line) {
    events.add([line]);
    events.show();
  },
};

function showSnapshot() {
  if (!snapshot) return;
  const { run, learning: now } = snapshot;
  setText(byId("run-name"), run.name);
  document.title = run.name ? `${run.name} · CellMind` : "CellMind";
  showNow(snapshot, samples.newest);
  showPeople(snapshot);
  buttons.show(snapshot);
  ask.setPeers(snapshot.peers);
  learning.setBest(now.best);
  showStatus();
}

function showStatus() {
  const state = currentState();
  setText(byId("status"), STATES.includes(state) ? t(state) : roleWord(state));
  byId("status").dataset.state = state;
  document.body.classList.toggle("is-stale", state === "offline" || state === "stopped");
  const banners = { stopped: t("stoppedBanner"), offline: t("offlineBanner") };
  const knocks = (snapshot?.knocks ?? []).map((knock) => t("knocks", knock)).join(" ");
  const known = snapshot?.problem ? t("problemBanner", snapshot) : knocks;
  const banner = banners[state] ?? (snapshot?.door.is_ejected ? t("ejectedBanner") : known);
  setText(byId("banner"), banner);
  show(byId("banner"), Boolean(banner) && byId("token-form").hidden);
}

function currentState() {
  if (snapshot?.stopped) return "stopped";
  if (isOffline) return "offline";
  if (!snapshot) return "connecting";
  const { is_paused: isPaused, is_resting: isResting, role } = snapshot.device;
  return isPaused ? "paused" : isResting ? "resting" : role;
}

/** Tell of the connection; the device is called silent only after a while without it. */
function showConnection(isThere, error) {
  if (error instanceof Refused && error.status === 401) show(byId("token-form"), true);
  if (isThere) {
    clearTimeout(offlineTimer);
    offlineTimer = null;
    isOffline = false;
  } else {
    offlineTimer ??= setTimeout(() => {
      isOffline = true;
      showStatus();
    }, OFFLINE_SECONDS * 1000);
  }
  showStatus();
}

function showAll() {
  fillWords();
  showSnapshot();
  showStatus();
  samples.show();
  events.show();
  ask.show();
  learning.draw();
  if (text) showText(text);
}

byId("language").addEventListener("click", () => {
  switchLanguage();
  showAll();
});
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = new FormData(event.target).get("token").trim();
  setToken(new URLSearchParams(given.split("#")[1]).get("token") ?? given);
  location.reload();
});

takeToken();
showAll();
listen(load, (event, data) => HEARD[event]?.(data), showConnection);
