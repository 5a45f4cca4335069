// The engine once more, plain and slow: written from docs/reference/porting.md, and not from the Python.

import { entryOf, isExposed, isHeldBack, placeOf, variantOf } from "./hashing.mjs";
import { OPERATORS, attributeOf, unitOf } from "./values.mjs";

const NEWEST_FORMAT = 1;
const KNOWN_PARTS = ["cells", "baseline"];
const OPEN = Symbol("open");

const present = (map, name, otherwise = null) => map.get(name) ?? otherwise;
const list = (map, name) => present(map, name, []);
const byKey = (items, name) => new Map(items.map((item) => [item.get(name), item]));

export function contextOf(targetingKey, attributes) {
  return { targetingKey: targetingKey === null ? null : String(targetingKey), attributes };
}

// --- conditions -------------------------------------------------------------------------------------------------

function every(truths) {
  if (truths.includes(false)) return false;
  return truths.includes(null) ? null : true;
}

function some(truths) {
  if (truths.includes(true)) return true;
  return truths.includes(null) ? null : false;
}

export function truthOf(condition, context, segments) {
  const judge = (part) => truthOf(part, context, segments);
  const [attribute, operator] = [present(condition, "attribute"), present(condition, "operator")];
  if (attribute !== null && operator !== null) {
    const value = attributeOf(context, attribute);
    if (operator === "exists") return value !== null;
    return value === null ? null : OPERATORS[operator](list(condition, "values"), value);
  }
  if (present(condition, "all") !== null) return every(condition.get("all").map(judge));
  if (present(condition, "any") !== null) return some(condition.get("any").map(judge));
  if (present(condition, "not") !== null) {
    const truth = judge(condition.get("not"));
    return truth === null ? null : !truth;
  }
  return present(condition, "segment") === null ? null : isMember(condition.get("segment"), context, segments);
}

function isMember(key, context, segments) {
  const segment = segments.get(key);
  if (segment === undefined || reaches(key, segments).has(key)) return null;
  const unit = unitOf(context, present(segment, "unit", "targetingKey"));
  if (unit === null) return null;
  if (list(segment, "excluded").includes(unit)) return false;
  if (list(segment, "included").includes(unit)) return true;
  const conditions = list(segment, "conditions");
  return conditions.length > 0 && every(conditions.map((part) => truthOf(part, context, segments)));
}

function named(condition) {
  const not = present(condition, "not");
  const parts = [...list(condition, "all"), ...list(condition, "any"), ...(not === null ? [] : [not])];
  const own = present(condition, "segment");
  return [...(own === null ? [] : [own]), ...parts.flatMap(named)];
}

function reaches(key, segments) {
  const found = new Set();
  const waiting = [key];
  while (waiting.length > 0) {
    const segment = segments.get(waiting.pop());
    for (const name of segment === undefined ? [] : list(segment, "conditions").flatMap(named)) {
      if (!found.has(name)) waiting.push(name);
      found.add(name);
    }
  }
  return found;
}

// --- flags ------------------------------------------------------------------------------------------------------

export class Engine {
  constructor(snapshot, killsBeside = []) {
    this.flags = byKey(list(snapshot, "flags"), "key");
    this.segments = byKey(list(snapshot, "segments"), "key");
    this.ramps = list(snapshot, "ramps");
    const kills = list(snapshot, "kills");
    const ids = new Set(kills.map((kill) => kill.get("kill_id")));
    const here = (kill) => ["project", "environment"].every((name) => kill.get(name) === snapshot.get(name));
    const beside = killsBeside.filter((kill) => here(kill) && !ids.has(kill.get("kill_id")));
    this.kills = [...kills, ...beside].filter((kill) => !present(kill, "revived", false));
  }

  evaluate(key, context, age = null, now = null) {
    return this.#evaluate(key, { context, age, now, met: new Map() });
  }

  #evaluate(key, pass) {
    const flag = this.flags.get(key);
    if (flag === undefined) return { variant: null, reason: "ERROR", error_code: "FLAG_NOT_FOUND" };
    const off = present(flag, "off_variant");
    const ended = this.#constant(flag);
    if (ended !== null) return ended;

    const limit = present(flag, "max_staleness_ms");
    const stale = limit !== null && pass.age !== null && pass.age > limit;
    const aged = (reason) => (stale ? "STALE" : reason);
    const prerequisites = list(flag, "prerequisites");
    if (prerequisites.length > 0) pass.met.set(key, OPEN);
    if (prerequisites.some((needed) => !this.#holds(needed, pass))) return give(flag, off, aged("DEFAULT"));

    const targets = present(flag, "targets", new Map());
    for (const [variant, units] of targets) {
      if (pass.context.targetingKey !== null && units.includes(pass.context.targetingKey)) {
        return give(flag, variant, aged("TARGETING_MATCH"));
      }
    }
    const rules = list(flag, "rules");
    for (const rule of rules) {
      if (isOpen(present(rule, "active"), pass.now) && truthOf(rule.get("when"), pass.context, this.segments) === true) {
        const [answer, name] = [rule.get("answer"), rule.get("name")];
        return { ...this.#answer(flag, answer, name, pass, stale, aged("TARGETING_MATCH")), rule: name };
      }
    }
    const bare = rules.length === 0 && targets.size === 0 && prerequisites.length === 0;
    const answer = present(flag, "default", new Map());
    return this.#answer(flag, answer, "default", pass, stale, aged(bare ? "STATIC" : "DEFAULT"));
  }

  // What a flag that is killed, disabled or unreadable gives everyone; null for any other flag.
  #constant(flag) {
    const [variants, off] = [flag.get("variants"), present(flag, "off_variant")];
    const killed = this.kills.some((kill) => kill.get("flag") === flag.get("key") && kill.get("scope") === "flag");
    const offIsThere = off === null || variants.has(off);
    if ((killed || !present(flag, "enabled", false)) && offIsThere) return give(flag, off, "DISABLED");
    const tooNew = present(flag, "needs", 0) > NEWEST_FORMAT;
    if (!tooNew && offIsThere && variantsNamed(flag).every((name) => variants.has(name))) return null;
    return { ...give(flag, offIsThere ? off : null, "ERROR"), error_code: "PARSE_ERROR" };
  }

  #holds(needed, pass) {
    const key = needed.get("flag");
    const other = this.flags.get(key);
    if (other === undefined || this.#constant(other) !== null) return false;
    let answer = pass.met.get(key);
    if (answer === undefined) {
      answer = this.#evaluate(key, pass);
      pass.met.set(key, answer);
    }
    return answer !== OPEN && answer.variant !== null && needed.get("variants").includes(answer.variant);
  }

  #answer(flag, answer, name, pass, stale, reason) {
    const [rollout, off] = [present(answer, "rollout"), present(flag, "off_variant")];
    if (rollout === null) return give(flag, present(answer, "serve", off), reason);
    const fallback = present(rollout, "fallback", off);
    const ramp = this.#rampOver(flag.get("key"), name);
    const killed = this.#isKilled(flag.get("key"), name);
    const live = ramp !== null && isLive(ramp) && !killed;
    if (live && stale) return give(flag, fallback, "STALE");

    const by = present(rollout, "bucket_by", "targetingKey");
    const unit = unitOf(pass.context, by);
    if (unit === null && by === "targetingKey") {
      return { variant: null, reason: "ERROR", error_code: "TARGETING_KEY_MISSING" };
    }
    if (unit === null) return give(flag, fallback, stale ? "STALE" : "DEFAULT");

    const [salt, low, high] = [rollout.get("salt"), present(rollout, "low", 0), present(rollout, "high", 1_000_000)];
    const place = placeOf(salt, unit);
    const holdback = ramp === null ? 0 : present(ramp, "holdback_ppm", 0);
    const stage = ramp === null || killed ? null : stageOf(ramp, pass.context);
    const exposure = killed ? 0 : stage === null ? rollout.get("exposure_ppm") : stage.exposure;
    const held = isHeldBack(place, holdback, low, high);
    let variant = null;
    if (isExposed(place, exposure, low, high) && !held) variant = variantOf(rollout.get("split"), salt, unit);
    const found = give(flag, variant ?? fallback, stale ? "STALE" : "SPLIT");
    if (!live || place < low || place >= high) return found;
    const known = { ...found, unit, place, ramp: ramp.get("ramp") };
    const drawn = isExposed(place, stage.arming, low, high);
    const baseline = present(ramp, "baseline");
    if (baseline !== null) {
      if (held || !drawn) return known;
      const control = variantOf(rollout.get("split"), salt, unit) === baseline;
      const entry = control ? -2 : entryOf(place, ramp.get("levels"), holdback, low, high);
      return { ...known, arm: control ? "control" : "treatment", entry };
    }
    if (!stage.compared) return known;
    const arm = held ? "holdback" : drawn ? "treatment" : "control";
    return { ...known, arm, entry: entryOf(place, ramp.get("levels"), holdback, low, high) };
  }

  #rampOver(key, name) {
    const own = this.ramps.filter(
      (ramp) => ramp.get("flag") === key && present(ramp, "rollout", "default") === name,
    );
    return own.findLast(isLive) ?? own.at(-1) ?? null;
  }

  #isKilled(key, name) {
    return this.kills.some(
      (kill) =>
        kill.get("flag") === key && kill.get("scope") === "rollout" && (present(kill, "rollout") || "default") === name,
    );
  }
}

function isLive(ramp) {
  const parts = list(ramp, "live_with");
  return present(ramp, "live", true) || (parts.length > 0 && parts.every((part) => KNOWN_PARTS.includes(part)));
}

// The exposure of a context, the one at which its arm is drawn, and whether the ramp is at it: else it has no arm.
function stageOf(ramp, context) {
  const own = ramp.get("exposure_ppm");
  const cells = present(ramp, "cells");
  if (cells === null) return { exposure: own, arming: present(ramp, "arming_ppm", own), compared: true };
  const value = attributeOf(context, cells.get("attribute"));
  const among = (name) => value !== null && OPERATORS.in(list(cells, name), value) === true;
  if (among("done")) return { exposure: present(cells, "done_ppm", 0), arming: 0, compared: false };
  if (!present(cells, "rest", false) && !among("now")) return { exposure: own, arming: 0, compared: false };
  const exposure = present(cells, "exposure_ppm", 0);
  return { exposure, arming: present(cells, "arming_ppm", exposure), compared: true };
}

function isOpen(window, now) {
  if (window === null) return true;
  const [from, until] = [present(window, "from_ms", -Infinity), present(window, "until_ms", Infinity)];
  return now !== null && from <= now && now < until;
}

function variantsNamed(flag) {
  const names = [...present(flag, "targets", new Map()).keys()];
  for (const answer of [...list(flag, "rules").map((rule) => rule.get("answer")), present(flag, "default", new Map())]) {
    const [serve, rollout] = [present(answer, "serve"), present(answer, "rollout")];
    if (serve !== null) names.push(serve);
    if (rollout === null) continue;
    names.push(...rollout.get("split").keys());
    if (present(rollout, "fallback") !== null) names.push(rollout.get("fallback"));
  }
  return names;
}

function give(flag, variant, reason) {
  return variant === null ? { variant, reason } : { variant, value: flag.get("variants").get(variant), reason };
}
