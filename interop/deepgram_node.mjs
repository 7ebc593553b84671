// Deepgram's package for JavaScript: files, live streams (v1) and turns (v2).
import { createReadStream } from "node:fs";
import { DeepgramClient } from "@deepgram/sdk";
import { HINTS, MUTE, SOCKET_URL, URL, check, pcm, pieces, silence, step, versions, wait, wav } from "./report.mjs";

const environment = { base: URL, production: SOCKET_URL, agent: SOCKET_URL, agentRest: URL };
const client = new DeepgramClient({ apiKey: "unused", environment });

async function files() {
  const text = async (language, options) => {
    const answer = await client.listen.v1.media.transcribeFile(createReadStream(wav(language)), {
      model: "nova-3",
      ...options,
    });
    return answer.results.channels[0].alternatives[0].transcript;
  };
  await step("files", "speak", async () =>
    check(await text("en", { smart_format: true, punctuate: true, diarize: true, utterances: true, paragraphs: true })),
  );
  await step("files", "language", async () => check(await text("de", { language: "de" }), "de"));
  await step("files", "hints", async () => check(await text("en", { language: "en", keyterm: HINTS })));
}

// Run `action` on an open connection; `rest` closes the stream in good order and returns all text.
async function within(version, options, action) {
  const connection = await client.listen[version].connect({ encoding: "linear16", sample_rate: 16000, ...options });
  const messages = [];
  let failure;
  connection.on("message", (message) => messages.push(message));
  connection.on("error", (error) => (failure = error));
  let closed = false;
  connection.on("close", () => (closed = true));
  connection.connect();
  await connection.waitForOpen();
  const text = () =>
    messages
      .filter((each) => (each.type === "Results" && each.is_final) || each.event === "EndOfTurn")
      .map((each) => each.transcript ?? each.channel.alternatives[0].transcript)
      .filter(Boolean)
      .join(" ");
  const until = async (condition) => {
    while (!condition()) {
      if (failure) throw failure;
      await wait(50);
    }
    const error = messages.find((each) => each.type === "Error");
    if (error) throw new Error(JSON.stringify(error));
    return text();
  };
  const send = (data) => {
    for (const piece of pieces(data)) connection.sendMedia(piece);
  };
  const rest = () => {
    connection.sendCloseStream({ type: "CloseStream" });
    return until(() => closed || messages.some((each) => each.type === "Metadata"));
  };
  try {
    return await action({ connection, messages, send, rest, until });
  } finally {
    connection.close();
  }
}

async function live(version, english, german) {
  const face = `listen ${version}`;
  const end = version === "v2" ? silence(2) : Buffer.alloc(0);
  const speak = async ({ send, rest }, language = "en") => {
    send(Buffer.concat([pcm(language), end]));
    check(await rest(), language);
  };
  await step(face, "speak", () => within(version, english, speak));
  await step(face, "mute", () =>
    within(version, english, async (session) => {
      await wait(MUTE);
      session.send(pcm("en"));
      await wait(MUTE);
      check(await session.rest());
    }),
  );
  await step(face, "language", () => within(version, german, (session) => speak(session, "de")));
  await step(face, "hints", () => within(version, { ...english, keyterm: HINTS }, speak));
  await step(face, "finalize", () =>
    within(version, english, async ({ connection, messages, send, until }) => {
      send(pcm("en"));
      if (version === "v1") connection.sendFinalize({ type: "Finalize" });
      else connection.sendForceEndTurn({ type: "ForceEndTurn" });
      check(await until(() => messages.some((each) => each.from_finalize || each.event === "EndOfTurn")));
    }),
  );
  await step(face, "leave", async () => {
    await within(version, english, async ({ send }) => send(pcm("en").subarray(0, 40000)));
    await within(version, english, speak);
  });
}

versions("@deepgram/sdk");
await files();
await live("v1", { model: "nova-3", language: "en" }, { model: "nova-3", language: "de" });
const flux = "flux-general-multi";
await live("v2", { model: flux, language_hint: "en" }, { model: flux, language_hint: "de" });
process.exit(0);
