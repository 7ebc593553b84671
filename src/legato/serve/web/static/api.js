// How the page speaks to its server. All addresses are relative, so that it may stand under a path of another server.

const KEY = "legato-api-key";

/** Something that a person is told; `code` is for programs. */
export class Problem extends Error {
  constructor(message, code = "") {
    super(message);
    this.code = code;
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
};

/** Headers that a request needs. */
export function headers() {
  return key.get() ? { Authorization: `Bearer ${key.get()}` } : {};
}

/** Subprotocols for a WebSocket: a browser can send a key in no other way, and there only as letters and digits. */
export function subprotocols() {
  if (!key.get()) return [];
  const bytes = new TextEncoder().encode(key.get());
  const encoded = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return ["legato", `legato-api-key.${encoded}`];
}

/** Give the problem that the body of an error response tells. */
export function problemOf(body, status) {
  try {
    const { message, code } = JSON.parse(body).error;
    return new Problem(message, code);
  } catch {
    return new Problem(`The server answered with an error (${status}).`);
  }
}

export const unreachable = () => new Problem("The server cannot be reached. Is it running?", "unreachable");

/** Fetch something from the server; throws a Problem when that does not work. */
export async function ask(path, { body, ...options } = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, body, headers: { ...headers(), ...options.headers } });
  } catch {
    throw unreachable();
  }
  if (!response.ok) throw problemOf(await response.text(), response.status);
  return response;
}
