// The panel "Your text": what was read, what was masked, and that it stays here.

import { byId, element, fillFacts, keepInStep, setText, show } from "./dom.js";
import { number } from "./format.js";
import { t } from "./words.js";

/** Show the answer to GET /api/text. */
export function showText({ texts, masked, stays_here: staysHere, samples, problem }) {
  setText(byId("text-stays"), problem || t(staysHere ? "stays" : "shared"));
  show(byId("text-stays"), Boolean(problem) || texts.length > 0);
  show(byId("text-none"), texts.length === 0);
  keepInStep(
    byId("text-list"),
    texts,
    ({ file }) => file,
    newRow,
    (row, { file, messages }) => {
      setText(row.firstChild, file);
      setText(row.lastChild, t("messages", { count: number(messages) }));
    },
  );
  const tags = Object.entries(masked).sort(([, one], [, other]) => other - one);
  show(byId("masked-title"), tags.length > 0);
  fillFacts(
    byId("masked-tags"),
    tags.map(([tag, count]) => [tag, number(count)]),
  );
  const examples = samples ?? [];
  show(byId("masked"), examples.length > 0);
  byId("masked-rows").replaceChildren(
    ...examples.map((example) =>
      element("tr", {}, ...["tag", "before", "after"].map((part) => element("td", { dir: "auto" }, example[part]))),
    ),
  );
}

function newRow() {
  return element(
    "li",
    { class: "device-line" },
    element("span", { class: "name", dir: "auto" }),
    element("span", { class: "speed" }),
  );
}
