// Elements, made and filled. Whatever is shown goes in as text: nothing on this page is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** Return the element with this id. */
export const byId = (id) => document.getElementById(id);

/** Return a new element. An attribute that is a function listens to the event of its name; null leaves one out. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value !== null && value !== undefined && value !== false)
      made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Return one of the drawings that index.html holds; screen readers pass it over. */
export function icon(name) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("class", "icon");
  drawing.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#${name}`);
  drawing.append(use);
  return drawing;
}

/** Show a text, and touch nothing where it is there already: selections stay, screen readers are not woken. */
export function setText(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}

/** Show or hide a node. */
export function show(node, visible) {
  node.hidden = !visible;
}

/**
 * Make the children of `parent` those of `items`, in their order; what was there stays the same element.
 *
 * @param key gives an item's key, which is no other item's
 * @param create makes its element
 * @param update (element, item) fills it
 */
export function keepInStep(parent, items, key, create, update) {
  const there = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, place) => {
    const itsKey = String(key(item));
    let child = there.get(itsKey);
    there.delete(itsKey);
    if (!child) {
      child = create(item);
      child.dataset.key = itsKey;
    }
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null);
    update(child, item);
  });
  while (parent.children.length > items.length) parent.lastElementChild.remove();
}

/** Fill a definition list with pairs of a term and what holds; what is null is left out. */
export function fillFacts(list, pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  keepInStep(
    list,
    known,
    ([term]) => term,
    () => element("div", {}, element("dt"), element("dd")),
    (row, [term, value]) => {
      setText(row.children[0], term);
      setText(row.children[1], value);
    },
  );
}
