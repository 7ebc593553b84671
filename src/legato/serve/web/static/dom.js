// Short helpers for the page's elements, texts and stored choices.

/** Return the element with an id. */
export const at = (id) => document.getElementById(id);

/** Return a new element with properties and children. Text stays text: nothing is read as HTML. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Return seconds as 1:02 or 1:01:02. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "code" });

const shown = new Map();

/** Learn which languages there are: a region is named only where a language has several. */
export function nameLanguages(codes) {
  const base = (code) => code.split("-")[0];
  for (const code of codes) {
    const alone = codes.filter((each) => base(each) === base(code)).length === 1;
    shown.set(code, fullName(alone ? base(code) : code));
  }
}

/** Return the English name of a language. */
export function languageName(code) {
  return shown.get(code) ?? fullName(code);
}

function fullName(code) {
  try {
    return names.of(code);
  } catch {
    return code; // not a code that the browser knows
  }
}

/** The user's choices, which stay in this browser. */
export const stored = {
  get: (name) => localStorage.getItem(`legato-${name}`),
  set: (name, value) => localStorage.setItem(`legato-${name}`, value),
};

/** Put text on the clipboard. */
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Pages without HTTPS have no clipboard but this.
  const area = make("textarea", { value: text, readOnly: true, className: "unseen" });
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (!copied) throw new Error("The browser refused to copy.");
}

/** Let a button say for two seconds that it has done its work. */
export function flash(button, text) {
  button.dataset.label ??= button.textContent;
  button.textContent = text;
  clearTimeout(button.timer);
  button.timer = setTimeout(() => (button.textContent = button.dataset.label), 2000);
}

/** Offer a file to save. */
export function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Return a message of the server with a capital and a full stop, and without the name of the form field. */
export function sentence(message) {
  const text = message.replace(/^file: /, "").trim();
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");
}
