// The operator `matches`, written from docs/reference/patterns.md: a parser, and positions moved through its tree.
// Nothing backtracks: each part is asked once for all places where it may begin.

import { readFileSync } from "node:fs";

const { families } = JSON.parse(readFileSync(new URL("../patterns.json", import.meta.url), "utf8"));
const MOST = { characters: 1000, count: 1000, size: 2000, groups: 50 };
const CONTROLS = { t: 9, n: 10, v: 11, f: 12, r: 13 };
const SETS = { d: ["09"], w: ["09", "AZ", "__", "az"], s: ["\t\n", "\f\r", "  "] };
const code = (character) => character.codePointAt(0);
const isHalf = (point) => point >= 0xd800 && point <= 0xdfff;
const isPunctuation = (character) => /^[!-/:-@[-`{-~ ]$/.test(character);

const kin = new Map();
for (const [first, last, step, distance] of families.pairs) {
  for (let low = first; low <= last; low += step) {
    kin.set(low, [low, low + distance]);
    kin.set(low + distance, [low, low + distance]);
  }
}
for (const family of families.larger) for (const member of family) kin.set(member, family);

class Refused extends Error {}

function parse(pattern) {
  const signs = [...pattern];
  if (signs.length > MOST.characters) throw new Refused("too long");
  const folds = pattern.startsWith("(?i)");
  let at = folds ? 4 : 0;
  let depth = 0;

  const seen = (text) => signs.slice(at, at + text.length).join("") === text;
  function take(text) {
    if (!seen(text)) return false;
    at += text.length;
    return true;
  }
  function refuse(when, why) {
    if (when) throw new Refused(`${why} at ${at}`);
  }

  // A set is a test of a code point. With case ignored, a range holds whoever has kin in it.
  function range(low, high) {
    const within = (point) => low <= point && point <= high;
    return folds ? (point) => within(point) || (kin.get(point) ?? []).some(within) : within;
  }
  const anyOf = (sets) => (point) => sets.some((set) => set(point));
  const negated = (set) => (point) => !set(point);

  function choice() {
    const chains = [chain()];
    while (take("|")) chains.push(chain());
    const size = chains.reduce((sum, part) => sum + part.size, 0);
    return { kind: "choice", parts: chains, size, product: Math.max(...chains.map((part) => part.product)) };
  }

  function chain() {
    const parts = [];
    while (at < signs.length && !seen("|") && !seen(")")) parts.push(counted());
    const size = Math.max(1, parts.reduce((sum, part) => sum + part.size, 0));
    return { kind: "chain", parts, size, product: Math.max(1, ...parts.map((part) => part.product)) };
  }

  function counted() {
    const body = atom();
    const found = count();
    if (found === null) return body;
    take("?");
    refuse(/^[*+?{]$/.test(signs[at] ?? ""), "a count after a count");
    const [least, most] = found;
    refuse(least > MOST.count || (most !== Infinity && most > MOST.count) || least > most, "a count out of bounds");
    const times = Math.max(1, most === Infinity ? least : most);
    const [size, product] = [body.size * times, body.product * times];
    refuse(product > MOST.count, "too many repetitions");
    return { kind: "count", body, least, most, size, product };
  }

  function count() {
    if (take("*")) return [0, Infinity];
    if (take("+")) return [1, Infinity];
    if (take("?")) return [0, 1];
    if (!take("{")) return null;
    const least = number();
    if (take("}")) return [least, least];
    refuse(!take(","), "no count");
    if (take("}")) return [least, Infinity];
    const most = number();
    refuse(!take("}"), "no count");
    return [least, most];
  }

  function number() {
    let digits = "";
    while (/^[0-9]$/.test(signs[at] ?? "")) digits += signs[at++];
    refuse(!/^(0|[1-9][0-9]*)$/.test(digits), "no number");
    return Number(digits);
  }

  function atom() {
    if (take("^")) return { kind: "start", size: 1, product: 1 };
    if (take("$")) return { kind: "end", size: 1, product: 1 };
    if (take("(")) {
      refuse(seen("?") && !take("?:"), "an unknown group");
      depth += 1;
      refuse(depth > MOST.groups, "too many groups");
      const inner = choice();
      refuse(!take(")"), "an open group");
      depth -= 1;
      return inner;
    }
    let set;
    if (take(".")) set = (point) => point !== 10;
    else if (take("[")) set = classOf();
    else if (seen("\\")) set = escape().set;
    else {
      refuse(/^[|?*+()[{]$/.test(signs[at]) || isHalf(code(signs[at])), "no character");
      set = range(code(signs[at]), code(signs[at]));
      at += 1;
    }
    return { kind: "set", set, size: 1, product: 1 };
  }

  // One character has a `point`, a set of many has none.
  function one(point) {
    return { point, set: range(point, point) };
  }

  function escape() {
    refuse(!take("\\") || at >= signs.length, "no escape");
    const sign = signs[at++];
    const ranges = SETS[sign.toLowerCase()];
    if (ranges !== undefined && /^[dwsDWS]$/.test(sign)) {
      const set = anyOf(ranges.map(([low, high]) => range(code(low), code(high))));
      return { point: null, set: sign === sign.toLowerCase() ? set : negated(set) };
    }
    if (Object.hasOwn(CONTROLS, sign)) return one(CONTROLS[sign]);
    if (sign === "x") {
      const rest = signs.slice(at, at + 8).join("");
      const found = /^\{([0-9A-Fa-f]{1,6})\}|^([0-9A-Fa-f]{2})/.exec(rest);
      refuse(found === null, "no hexadecimal number");
      const point = parseInt(found[1] ?? found[2], 16);
      refuse(point > 0x10ffff || isHalf(point), "no character");
      at += found[0].length;
      return one(point);
    }
    refuse(!isPunctuation(sign), "an unknown escape");
    return one(code(sign));
  }

  function classOf() {
    const isNegated = take("^");
    const sets = [];
    for (let first = true; ; first = false) {
      refuse(at >= signs.length, "an open class");
      if (!first && take("]")) return isNegated ? negated(anyOf(sets)) : anyOf(sets);
      refuse(seen("-") && !first && signs[at + 1] !== "]", "a - that is none");
      const low = member();
      if (!seen("-") || signs[at + 1] === "]") {
        sets.push(low.set);
        continue;
      }
      at += 1;
      refuse(at >= signs.length, "an open class");
      const high = member();
      refuse(low.point === null || high.point === null || low.point > high.point, "no range");
      sets.push(range(low.point, high.point));
    }
  }

  function member() {
    if (seen("\\")) return escape();
    refuse(/^\[[:.=]$/.test(signs.slice(at, at + 2).join("")), "a class by name");
    const point = code(signs[at]);
    refuse(isHalf(point), "no character");
    at += 1;
    return one(point);
  }

  const tree = choice();
  refuse(at < signs.length, "something left over");
  refuse(tree.size > MOST.size, "too large");
  return tree;
}

// Where the part may end, for all places where it may begin.
function ends(part, text, starts) {
  switch (part.kind) {
    case "start":
      return new Set(starts.has(0) ? [0] : []);
    case "end":
      return new Set(starts.has(text.length) ? [text.length] : []);
    case "set":
      return new Set([...starts].filter((at) => at < text.length && part.set(text[at])).map((at) => at + 1));
    case "chain":
      return part.parts.reduce((found, inner) => ends(inner, text, found), starts);
    case "choice":
      return new Set(part.parts.flatMap((inner) => [...ends(inner, text, starts)]));
    default: {
      let last = starts;
      for (let times = 0; times < part.least && last.size > 0; times += 1) last = ends(part.body, text, last);
      const found = new Set(last);
      for (let times = part.least; times < part.most && last.size > 0; times += 1) {
        last = new Set([...ends(part.body, text, last)].filter((at) => !found.has(at)));
        for (const at of last) found.add(at);
      }
      return found;
    }
  }
}

const parsed = new Map();

// The tree, or null for what is no pattern.
export function patternOf(pattern) {
  if (!parsed.has(pattern)) {
    try {
      parsed.set(pattern, parse(pattern));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      parsed.set(pattern, null);
    }
  }
  return parsed.get(pattern);
}

export function matches(values, x) {
  if (typeof x !== "string") return null;
  const text = [...x].map(code);
  const everywhere = new Set(Array.from({ length: text.length + 1 }, (_, at) => at));
  const patterns = values.map((value) => (typeof value === "string" ? patternOf(value) : null));
  if (patterns.some((pattern) => pattern !== null && ends(pattern, text, everywhere).size > 0)) return true;
  return patterns.length === 0 || patterns.includes(null) ? null : false;
}
