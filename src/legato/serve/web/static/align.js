// The words of a corrected text, with the times of the words that it had before.

// Scripts without spaces between words, where each character is a word; the server has the same in legato.text.scripts.
const SCRIPTS = ["Han", "Hiragana", "Katakana", "Bopomofo", "Thai", "Lao", "Khmer", "Myanmar"];
const UNSPACED = `${SCRIPTS.map((script) => `\\p{Script=${script}}`).join("")}ー々`;
const OPENING = "\\p{Ps}\\p{Pi}"; // belongs to the word after it
const CLOSING = "\\p{M}\\p{Pe}\\p{Pf}\\p{Po}\\p{Pd}"; // belongs to the word before it
const WORDS = new RegExp(`[${OPENING}]*(?:[${UNSPACED}]|[^\\s${UNSPACED}${OPENING}]+)[${CLOSING}]*|\\S`, "gu");

/** Return the words of a text. */
export function split(text) {
  return text.match(WORDS) ?? [];
}

/**
 * Return a segment with another text. Words that did not change keep their times and confidence. Changed ones get the
 * times of those that they replace, and a confidence of 1.
 * @param {object} segment as it was recognized
 */
export function corrected(segment, text) {
  const before = segment.words;
  const texts = split(text);
  const words = [];
  let [from, next] = [0, 0]; // the first words that are not yet placed
  for (const [old, fresh] of [...common(before.map((word) => word.text), texts), [before.length, texts.length]]) {
    const gap = [before[from - 1]?.end ?? segment.start, before[old]?.start ?? segment.end];
    words.push(...timed(texts.slice(next, fresh), before.slice(from, old), gap), ...before.slice(old, old + 1));
    [from, next] = [old + 1, fresh + 1];
  }
  return { ...segment, text, words };
}

/** Return the indices of the longest common subsequence of two lists, in pairs. */
function common(one, other) {
  const lengths = Array.from({ length: one.length + 1 }, () => new Uint16Array(other.length + 1));
  for (let i = one.length - 1; i >= 0; i -= 1) {
    for (let j = other.length - 1; j >= 0; j -= 1) {
      const same = one[i] === other[j];
      lengths[i][j] = same ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const pairs = [];
  for (let i = 0, j = 0; i < one.length && j < other.length; ) {
    if (one[i] === other[j]) pairs.push([i++, j++]);
    else if (lengths[i + 1][j] >= lengths[i][j + 1]) i += 1;
    else j += 1;
  }
  return pairs;
}

function timed(texts, old, gap) {
  if (texts.length === old.length) return texts.map((text, index) => ({ ...old[index], text, confidence: 1 }));
  const [start, end] = old.length ? [old[0].start, old.at(-1).end] : gap;
  return spread(texts, start, Math.max(start, end)).map((word) => ({ ...word, confidence: 1 }));
}

/** Return words whose times are unknown, spread over a span by their length. Their confidence is unknown: null. */
export function spread(texts, start, end) {
  const letters = texts.reduce((sum, text) => sum + text.length, 0);
  let passed = 0;
  return texts.map((text) => {
    const from = start + ((end - start) * passed) / letters;
    passed += text.length;
    return { text, start: from, end: start + ((end - start) * passed) / letters, confidence: null };
  });
}
