// Google's client for JavaScript.

import assert from "node:assert/strict";
import { test } from "node:test";
import { GoogleGenAI } from "@google/genai";
import * as zoo from "./zoo.mjs";

const skip = zoo.unlessSpoken("gemini", "Gemini callers");
const client = new GoogleGenAI({ apiKey: zoo.KEY, httpOptions: { baseUrl: zoo.URL } });
const WEATHER = { name: "weather", description: "?", parametersJsonSchema: zoo.FORECAST };
const TOOLS = { tools: [{ functionDeclarations: [WEATHER] }] };

/** What comes of `ask` by a stream: its parts and the last chunk's usage. */
async function streamed(ask) {
  const parts = [];
  let usage;
  for await (const chunk of await client.models.generateContentStream(ask)) {
    parts.push(...(chunk.candidates?.[0]?.content?.parts ?? []));
    usage = chunk.usageMetadata ?? usage;
  }
  return { parts, usage };
}

for (const model of zoo.MODELS) {
  test(`google ${model}: text and usage`, { skip }, async () => {
    const asked = await zoo.watch();
    const answer = await client.models.generateContent({ model, contents: "hello" });
    assert.equal(answer.text, zoo.said(model));
    assert.equal(answer.candidates[0].finishReason, "STOP");
    const [entry] = await asked.of(model);
    assert.equal(answer.usageMetadata.promptTokenCount, entry.prompt_tokens);
    assert.equal(answer.usageMetadata.candidatesTokenCount, entry.output_tokens);
  });

  test(`google ${model}: stream`, { skip }, async () => {
    const { parts, usage } = await streamed({ model, contents: "hello" });
    assert.equal(parts.map((part) => part.text ?? "").join(""), zoo.said(model));
    assert.ok(parts.length > 6);
    assert.equal(usage.candidatesTokenCount, 12);
  });

  for (const isStream of [false, true]) {
    test(`google ${model}: tool loop, ${isStream ? "streamed" : "whole"}`, { skip }, async () => {
      const contents = [{ role: "user", parts: [{ text: zoo.TOOL_PLEASE }] }];
      const ask = { model, contents, config: TOOLS };
      const parts = isStream
        ? (await streamed(ask)).parts
        : (await client.models.generateContent(ask)).candidates[0].content.parts;
      const { functionCall } = parts.find((part) => part.functionCall);
      zoo.assertForecast(functionCall.args);
      const { id, name } = functionCall;
      const functionResponse = { id, name, response: { output: "rain" } };
      contents.push({ role: "model", parts }, { role: "user", parts: [{ functionResponse }] });
      const end = await client.models.generateContent(ask);
      assert.equal(end.text, zoo.said(model));
    });
  }

  test(`google ${model}: structured`, { skip }, async () => {
    const config = { responseMimeType: "application/json", responseJsonSchema: zoo.FORECAST };
    const answer = await client.models.generateContent({ model, contents: "hello", config });
    zoo.assertForecast(JSON.parse(answer.text));
  });

  test(`google ${model}: image`, { skip }, async () => {
    const asked = await zoo.watch();
    const inlineData = { mimeType: "image/png", data: zoo.PIXEL };
    const contents = [{ role: "user", parts: [{ text: "what?" }, { inlineData }] }];
    await client.models.generateContent({ model, contents });
    const [entry] = await asked.of(model);
    assert.ok(entry.prompt_tokens > zoo.IMAGE_TOKENS_MIN);
  });
}

test("google: unknown model", { skip }, async () => {
  const asked = await zoo.watch();
  const ask = { model: "no-such-model", contents: "hello" };
  const caught = await client.models.generateContent(ask).catch((error) => error);
  assert.equal(caught.status, 404);
  assert.match(caught.message, /no-such-model/);
  assert.equal(await asked.count(), 0);
});

for (const model of zoo.BROKEN) {
  test(`google: ${model} is not stormed`, { skip }, async () => {
    const asked = await zoo.watch();
    const ask = { model, contents: "hello" };
    const caught = await client.models.generateContent(ask).catch((error) => error);
    assert.equal(caught.status, 503);
    assert.match(caught.message, new RegExp(model));
    assert.ok((await asked.count()) <= zoo.ATTEMPTS_MAX);
  });
}
