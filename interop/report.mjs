// What the scripts of Node clients share: the server's address, speech, and the report of each step as a JSON line.
import { readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";

export const URL = process.env.LEGATO_URL;
export const SOCKET_URL = URL.replace("http", "ws");
// Milliseconds to be mute: longer than the server's idle limit.
export const MUTE = 1000 * Number(process.env.LEGATO_MUTE_SECONDS);
// Hints that the vocabulary cannot spell as they are, and one that it can.
export const HINTS = ["GPT-4", "Node.js", "Room 42", "\u2603", "fretting"];
const CLIPS = process.env.LEGATO_CLIPS;
const TEXTS = JSON.parse(readFileSync(`${CLIPS}/texts.json`, "utf8"));
const TIMEOUT = 60_000;

export { wait };
export const wav = (language) => `${CLIPS}/${language}.wav`;
export const pcm = (language, rate = 16000) => readFileSync(`${CLIPS}/${language}-${rate}.pcm`);
export const silence = (seconds, rate = 16000) => Buffer.alloc(2 * Math.round(seconds * rate));

export function* pieces(data, rate = 16000, seconds = 0.1) {
  const size = 2 * Math.round(rate * seconds);
  for (let start = 0; start < data.length; start += size) yield data.subarray(start, start + size);
}

// Check that a transcript is that of a clip, apart from a few characters.
export function check(text, language = "en") {
  const expected = TEXTS[language];
  const got = (text ?? "").toLowerCase().split(/\s+/).filter(Boolean).join(" ");
  if (distance(got, expected) > expected.length / 4) {
    throw new Error(`got ${JSON.stringify(text)} instead of ${JSON.stringify(expected)}`);
  }
}

function distance(one, two) {
  let row = Array.from({ length: two.length + 1 }, (_, index) => index);
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= two.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (one[i - 1] !== two[j - 1]));
    }
    row = next;
  }
  return row[two.length];
}

const write = (fields) => process.stdout.write(JSON.stringify(fields) + "\n");

// Report whether `action` succeeds. A failure does not end the script.
export async function step(face, name, action) {
  write({ interface: face, step: name });
  const began = Date.now();
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("no answer")), TIMEOUT);
  });
  try {
    await Promise.race([action(), late]);
    write({ interface: face, step: name, ok: true, seconds: (Date.now() - began) / 1000 });
  } catch (error) {
    const message = `${error.name}: ${error.message ?? error}`.split(/\s+/).join(" ").slice(0, 300);
    write({ interface: face, step: name, ok: false, message });
  } finally {
    clearTimeout(timer);
  }
}

// Report the versions of the client's packages, which lie below the folder of this copy of the file.
export function versions(...packages) {
  const folder = import.meta.dirname;
  const read = (name) => JSON.parse(readFileSync(`${folder}/node_modules/${name}/package.json`, "utf8")).version;
  write({ versions: Object.fromEntries(packages.map((name) => [name, read(name)])) });
}
