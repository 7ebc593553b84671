// Vercel's AI SDK: `experimental_transcribe` with the providers of OpenAI and of Deepgram.
import { readFileSync } from "node:fs";
import { createDeepgram } from "@ai-sdk/deepgram";
import { createOpenAI } from "@ai-sdk/openai";
import { experimental_transcribe as transcribe } from "ai";
import { HINTS, URL, check, step, versions, wav } from "./report.mjs";

const openai = createOpenAI({ baseURL: `${URL}/v1`, apiKey: "unused" });
// This provider has no option for an address.
const redirect = (address, options) => fetch(address.replace("https://api.deepgram.com", URL), options);
const deepgram = createDeepgram({ apiKey: "unused", fetch: redirect });

async function run(face, provider, models, hints) {
  const text = async (model, language, options = {}, more = {}) => {
    const audio = readFileSync(wav(language));
    const providerOptions = { [face]: options };
    return (await transcribe({ model: provider.transcription(model), audio, providerOptions, ...more })).text;
  };
  await step(face, "speak", async () => {
    for (const model of models) check(await text(model, "en"));
  });
  await step(face, "language", async () => check(await text(models[0], "de", { language: "de" }), "de"));
  await step(face, "hints", async () => check(await text(models[0], "en", { language: "en", ...hints })));
  await step(face, "leave", async () => {
    const left = text(models[0], "en", {}, { abortSignal: AbortSignal.timeout(30), maxRetries: 0 });
    await left.then(() => {}, () => {});
    check(await text(models[0], "en"));
  });
}

versions("ai", "@ai-sdk/openai", "@ai-sdk/deepgram");
await run("openai", openai, ["whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"], {
  prompt: `A talk about ${HINTS.join(", ")}.`,
  timestampGranularities: ["word"],
});
await run("deepgram", deepgram, ["nova-3"], { keyterm: HINTS[0], smartFormat: true, diarize: true, utterances: true });
