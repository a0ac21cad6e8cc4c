// A report of a run to keep: the page's panels that look back, filled once with what stands in the file itself.

import { byId, element, fillFacts, setText, show } from "./dom.js";
import { clock } from "./format.js";
import { Learning } from "./learning.js";
import { Metrics } from "./metrics.js";
import { showNow } from "./now.js";
import { showPeople } from "./people.js";
import { Samples } from "./samples.js";
import { addWords, fillWords, switchLanguage, t } from "./words.js";

addWords({
  reportOf: ["{run}: {from} to {to}", "{run}: {from} ~ {to}"],
  reached: ["How far it came", "여기까지 왔습니다"],
  tookPart: ["Who took part", "함께한 기기"],
  shareOfAll: ["Share of all that was trained", "전체 학습에서 맡은 몫"],
  settings: ["Settings", "설정"],
});

// Of a device that can be asked for something; nobody is behind a report.
const LIVE = [
  "status",
  "banner",
  "token-form",
  "ask",
  "buttons",
  "text",
  "events",
  "confirm",
  "round-progress",
  "round-words",
];

const { snapshot, metrics: rounds, samples: written, settings } = JSON.parse(byId("data").textContent);
const metrics = new Metrics();
metrics.add({ ...rounds, reset: true });

const facts = element("dl", { class: "facts" });
const title = element("h2", { id: "settings-title", "data-words": "settings" });
byId("main").append(element("section", { id: "settings", "aria-labelledby": title.id }, title, facts));
byId("run-name").className = "quiet";
byId("now-title").dataset.words = "reached";
byId("people-title").dataset.words = "tookPart";

const learning = new Learning(metrics);
const samples = new Samples();
samples.add(written);

function showAll() {
  fillWords();
  const [from, to] = [metrics.columns.time[0], metrics.columns.time.at(-1)].map((time) => clock(time));
  setText(byId("run-name"), t("reportOf", { run: snapshot.run.name, from, to }));
  document.title = byId("run-name").textContent;
  showNow(snapshot, samples.newest);
  showPeople(snapshot, t("shareOfAll"));
  learning.setBest(snapshot.learning.best);
  learning.draw();
  samples.show();
  show(byId("settings"), Object.keys(settings).length > 0);
  fillFacts(
    facts,
    Object.entries(settings).map(([key, value]) => [key, String(value)]),
  );
}

byId("language").addEventListener("click", () => {
  switchLanguage();
  showAll();
});
showAll();
for (const id of LIVE) byId(id).remove();
