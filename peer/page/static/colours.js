// The colours of the page, light or dark, and which device has which.

/** Return a colour of page.css by its name. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const COLOURS = 8; // of devices; with more of them, two look alike

/** Which device has which colour: the next one for each name that is new, the same in rows and curves. */
class DeviceColours {
  #places = new Map();

  /** Return the colour of the device of this name. */
  of(name) {
    if (!this.#places.has(name)) this.#places.set(name, this.#places.size);
    return colour(`device-${(this.#places.get(name) % COLOURS) + 1}`);
  }
}

export const deviceColours = new DeviceColours();

/** Call back when light becomes dark or dark light. */
export function whenThemeChanges(changed) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}
