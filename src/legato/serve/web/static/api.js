// Requests to the server. All addresses are relative, so that the page also works under a path of a reverse proxy.

const KEY = "legato-api-key";

/** An error for the user; `code` is for programs. */
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

/** Return the headers of a request. */
export function headers() {
  return key.get() ? { Authorization: `Bearer ${key.get()}` } : {};
}

/** Return the subprotocols of a WebSocket. A browser cannot send a key in another way, and only letters and digits here. */
export function subprotocols() {
  if (!key.get()) return [];
  const bytes = new TextEncoder().encode(key.get());
  const encoded = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return ["legato", `legato-api-key.${encoded}`];
}

/** Return the problem that the body of an error response describes. */
export function problemOf(body, status) {
  try {
    const { message, code } = JSON.parse(body).error;
    return new Problem(message, code);
  } catch {
    return new Problem(`The server answered with an error (${status}).`);
  }
}

export const unreachable = () => new Problem("Is it running? Start it with 'legato serve', then try again.", "unreachable");

/** Fetch something from the server; throws a Problem if that fails. */
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
