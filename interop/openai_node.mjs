// OpenAI's package for Node: transcriptions and Realtime.
import { createReadStream } from "node:fs";
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import { HINTS, MUTE, URL, check, pcm, pieces, silence, step, versions, wait, wav } from "./report.mjs";

const FILES = "transcriptions";
const LIVE = "Realtime";
const COMPLETED = "conversation.item.input_audio_transcription.completed";
const client = new OpenAI({ baseURL: `${URL}/v1`, apiKey: "unused" });
const create = (language, fields) =>
  client.audio.transcriptions.create({ file: createReadStream(wav(language)), model: "whisper-1", ...fields });

async function transcriptions() {
  await step(FILES, "speak", async () => {
    check((await create("en")).text);
    check((await create("en", { model: "gpt-4o-transcribe" })).text);
    check((await create("en", { response_format: "verbose_json" })).text);
    let last;
    for await (const event of await create("en", { model: "gpt-4o-transcribe", stream: true })) last = event;
    check(last.text);
  });
  await step(FILES, "language", async () => check((await create("de", { language: "de" })).text, "de"));
  await step(FILES, "hints", async () =>
    check((await create("en", { language: "en", prompt: `A talk about ${HINTS.join(", ")}.` })).text),
  );
  await step(FILES, "leave", async () => {
    const stream = await create("en", { model: "gpt-4o-transcribe", stream: true });
    stream.controller.abort();
    check((await create("en")).text);
  });
}

// Open a session. `next` waits for an event of a type; an `error` event rejects it.
async function connect() {
  const socket = await OpenAIRealtimeWS.create(client, { model: "gpt-realtime" });
  const events = [];
  let wake = () => {};
  socket.on("event", (event) => (events.push(event), wake()));
  socket.on("error", (error) => (events.push({ type: "error", error }), wake()));
  socket.socket.on("close", (code) => (events.push({ type: "error", error: `closed with ${code}` }), wake()));
  const next = async (type, within = 60_000) => {
    const end = Date.now() + within;
    while (Date.now() < end) {
      const found = events.shift();
      if (found?.type === "error") throw new Error(`${found.error?.message ?? found.error}`);
      if (found?.type === type) return found;
      if (!found) await Promise.race([new Promise((resolve) => (wake = resolve)), wait(end - Date.now())]);
    }
    return undefined;
  };
  await next("session.created");
  const configure = async (transcription, fields = {}) => {
    const input = { transcription: { model: "gpt-4o-transcribe", ...transcription }, ...fields };
    socket.send({ type: "session.update", session: { type: "transcription", audio: { input } } });
    await next("session.updated");
  };
  const send = (data) => {
    for (const piece of pieces(data, 24000)) {
      socket.send({ type: "input_audio_buffer.append", audio: piece.toString("base64") });
    }
  };
  const text = async () => {
    const texts = [(await next(COMPLETED)).transcript];
    for (let event; (event = await next(COMPLETED, 3000)); ) texts.push(event.transcript);
    return texts.join(" ");
  };
  return { socket, configure, send, text };
}

async function realtime() {
  const spoken = Buffer.concat([pcm("en", 24000), silence(1.5, 24000)]);
  const within = async (action, transcription = { language: "en" }, fields) => {
    const session = await connect();
    try {
      await session.configure(transcription, fields);
      await action(session);
    } finally {
      session.socket.close();
    }
  };
  const speak = async (session) => {
    session.send(spoken);
    check(await session.text());
  };
  await step(LIVE, "speak", () => within(speak));
  await step(LIVE, "mute", () =>
    within(async (session) => {
      for (let turn = 0; turn < 2; turn++) {
        await wait(MUTE);
        await speak(session);
      }
    }),
  );
  await step(LIVE, "language", () =>
    within(async (session) => {
      await speak(session);
      await session.configure({ language: "de" });
      session.send(Buffer.concat([pcm("de", 24000), silence(1.5, 24000)]));
      check(await session.text(), "de");
    }),
  );
  await step(LIVE, "hints", () => within(speak, { language: "en", prompt: `A talk about ${HINTS.join(", ")}.` }));
  await step(LIVE, "finalize", () =>
    within(
      async (session) => {
        session.send(pcm("en", 24000));
        session.socket.send({ type: "input_audio_buffer.commit" });
        check(await session.text());
      },
      { language: "en" },
      { turn_detection: null },
    ),
  );
  await step(LIVE, "leave", async () => {
    await within(async (session) => {
      session.send(pcm("en", 24000).subarray(0, 60000));
      session.socket.socket.terminate();
    });
    await within(speak);
  });
}

versions("openai");
await transcriptions();
await realtime();
process.exit(0);
