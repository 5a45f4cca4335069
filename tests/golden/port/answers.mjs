// Reads requests, one JSON object a line, and writes the answer to each, one JSON value a line.

import { createInterface } from "node:readline";

import { Engine, contextOf, truthOf } from "./evaluate.mjs";
import { entryOf, isExposed, isHeldBack, murmur3, placeOf, unitHash, utf8, variantOf } from "./hashing.mjs";
import { parse, write } from "./json.mjs";
import { patternOf } from "./patterns.mjs";
import { OPERATORS } from "./values.mjs";

function context(given) {
  const attributes = new Map(given);
  attributes.delete("targetingKey");
  return contextOf(given.get("targetingKey") ?? null, attributes);
}

const ANSWERS = {
  hashes: (pairs) => pairs.map(([text, seed]) => murmur3(utf8(text), seed)),
  places: (pairs) => pairs.map(([salt, unit]) => placeOf(salt, unit)),
  unit_hashes: (pairs) => pairs.map(([key, unit]) => unitHash(Buffer.from(key, "hex"), unit)),
  splits: (cases) => cases.map(([split, salt, units]) => units.map((unit) => variantOf(split, salt, unit))),
  levels: (cases) =>
    cases.map(([place, levels, holdback, low, high]) => [
      levels.map((level) => isExposed(place, level, low, high)),
      isHeldBack(place, holdback, low, high),
      entryOf(place, levels, holdback, low, high),
    ]),
  refused: (patterns) => patterns.map((pattern) => patternOf(pattern) === null),
  operators: (cases) => cases.map(([operator, values, x]) => OPERATORS[operator](values, x)),
  conditions({ segments, contexts, conditions }) {
    const known = new Map(segments.map((segment) => [segment.get("key"), segment]));
    return conditions.map((condition) => contexts.map((given) => truthOf(condition, context(given), known)));
  },
  evaluations: (world) =>
    ANSWERS.staged(world).map((answer) => new Map([...answer].filter(([name]) => name !== "entry"))),
  // As evaluations, and of a unit with an arm its entry.
  staged({ snapshot, kills, cases }) {
    const engine = new Engine(snapshot, kills);
    return cases.map((one) => {
      const answer = engine.evaluate(one.get("flag"), context(one.get("context")), one.get("age_ms"), one.get("now_ms"));
      return new Map(Object.entries(answer));
    });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [[name, asked]] = parse(line);
  const given = asked instanceof Map ? Object.fromEntries(asked) : asked;
  process.stdout.write(`${write(ANSWERS[name](given))}\n`);
}
