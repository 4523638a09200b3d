// What the clients' tests share: where things are, who answers, what is asked and expected.

import assert from "node:assert/strict";

const WHERE = JSON.parse(process.env.CLIENT_ZOO);
const TAILS = { 4: "·ü", 9: "·日本🙂" };

export const URL = WHERE.url;
export const KEY = "callers-own-key";
export const MODELS = ["alpha-model", "beta-model"];
export const BROKEN = ["alpha-broken", "beta-broken"];
export const TOOL_PLEASE = "please use a tool";
export const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk" +
  "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
// What a simulated provider counts for a picture that it understood as one.
export const IMAGE_TOKENS_MIN = 765;
// The three attempts of one call, and one for each of the two times that a client comes back when
// it is told to wait; a client that retried on top of the sidecar would come to nine.
export const ATTEMPTS_MAX = 5;
export const FORECAST = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};

/** What the provider behind `model` says, "alpha:0 alpha:1 …". */
export function said(model) {
  const name = model.split("-")[0];
  return Array.from({ length: 12 }, (_, i) => `${name}:${i}${TAILS[i % 10] ?? ""}`).join(" ");
}

/** A reason to skip where the sidecar does not speak `wire` to its callers yet. */
export function unlessSpoken(wire, callers) {
  return WHERE.formats.includes(wire) ? false : callers;
}

/** What both providers are asked for from now on, probes left out. */
export async function watch() {
  const names = ["alpha", "beta"];
  const seen = Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, (await log(name)).length])),
  );
  const since = async (name) =>
    (await log(name)).slice(seen[name]).filter((entry) => entry.model && !entry.is_probe);
  return {
    of: (model) => since(model.split("-")[0]),
    count: async () => (await Promise.all(names.map(since))).flat().length,
  };
}

/** Check arguments of the tool, or a structured answer, of FORECAST's form. */
export function assertForecast(value) {
  assert.deepEqual(Object.keys(value).sort(), ["city", "days"]);
  assert.equal(typeof value.city, "string");
  assert.ok(Number.isInteger(value.days));
}

async function log(name) {
  return (await (await fetch(`${WHERE[name]}/_sim/log`)).json()).entries;
}
