// Reading and comparing values: attributes, units, numbers, moments, versions, addresses, and the operators on them.
// See "The context" and "Conditions" in docs/reference/porting.md. Unknown is null.

import { matches } from "./patterns.mjs";

export const isText = (value) => typeof value === "string";
export const isNumber = (value) => typeof value === "number" || typeof value === "bigint";

export function attributeOf(context, name) {
  if (name === "targetingKey") return context.targetingKey;
  const whole = context.attributes.get(name) ?? null;
  if (whole !== null || !name.includes(".")) return whole;
  let found = context.attributes;
  for (const part of name.split(".")) {
    if (!(found instanceof Map)) return null;
    found = found.get(part) ?? null;
  }
  return found;
}

export function unitOf(context, name) {
  const value = attributeOf(context, name);
  if (isText(value)) return value;
  if (typeof value === "bigint") return value.toString();
  return Number.isInteger(value) ? BigInt(value).toString() : null;
}

export function equal(one, other) {
  if (isNumber(one) && isNumber(other)) return one == other; // exact also between an integer and a double
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((item, index) => equal(item, other[index]));
  }
  if (one instanceof Map && other instanceof Map) {
    return one.size === other.size && [...one].every(([name, value]) => other.has(name) && equal(value, other.get(name)));
  }
  return one === other;
}

const number = (value) => (isNumber(value) ? value : null);

const MOMENT =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,32}))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))$/;

function isLeap(year) {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}

// Nanoseconds since some fixed moment, as a BigInt.
function moment(value) {
  const found = isText(value) ? MOMENT.exec(value) : null;
  if (found === null) return null;
  const [year, month, day, hour, minute, second] = found.slice(1, 7).map(Number);
  const lengths = [31, isLeap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > lengths[month - 1]) return null;
  if (hour > 23 || minute > 59 || second > 60) return null;
  const before = year - 1;
  let days = before * 365 + Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400) + day;
  for (let past = 0; past < month - 1; past += 1) days += lengths[past];
  let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
  if (found[8] !== undefined) {
    const [hours, minutes] = [Number(found[9]), Number(found[10])];
    if (hours > 23 || minutes > 59) return null;
    seconds -= (found[8] === "+" ? 1 : -1) * (hours * 60 + minutes) * 60;
  }
  return BigInt(seconds) * 1_000_000_000n + BigInt((found[7] ?? "").slice(0, 9).padEnd(9, "0"));
}

const VERSION =
  /^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/;
const DIGITS = /^[0-9]+$/;

function version(value) {
  const found = isText(value) && value.length <= 256 ? VERSION.exec(value) : null;
  if (found === null) return null;
  const ids = found[4] === undefined ? null : found[4].split(".");
  if (ids !== null && ids.some((id) => DIGITS.test(id) && id.length > 1 && id.startsWith("0"))) return null;
  return { numbers: found.slice(1, 4).map(BigInt), ids };
}

const sign = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

function compareVersions(one, other) {
  for (let index = 0; index < 3; index += 1) {
    const order = sign(one.numbers[index], other.numbers[index]);
    if (order !== 0) return order;
  }
  if (one.ids === null || other.ids === null) return (one.ids === null) - (other.ids === null);
  for (let index = 0; index < Math.min(one.ids.length, other.ids.length); index += 1) {
    const [left, right] = [one.ids[index], other.ids[index]];
    const [leftDigits, rightDigits] = [DIGITS.test(left), DIGITS.test(right)];
    if (leftDigits !== rightDigits) return leftDigits ? -1 : 1;
    const order = leftDigits ? sign(BigInt(left), BigInt(right)) : sign(left, right);
    if (order !== 0) return order;
  }
  return sign(one.ids.length, other.ids.length);
}

function ipv4(text) {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255)) return null;
  return { family: 4, bits: parts.reduce((sum, part) => sum * 256n + BigInt(part), 0n) };
}

function ipv6(text) {
  const zone = text.indexOf("%");
  if (zone !== -1) {
    if (!/^[^%/]+$/su.test(text.slice(zone + 1))) return null;
    text = text.slice(0, zone);
  }
  const last = text.slice(text.lastIndexOf(":") + 1);
  if (last.includes(".")) {
    const tail = ipv4(last);
    if (tail === null) return null;
    const groups = `${(tail.bits >> 16n).toString(16)}:${(tail.bits & 0xffffn).toString(16)}`;
    text = text.slice(0, text.length - last.length) + groups;
  }
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const [head, tail] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const given = head.length + (tail?.length ?? 0);
  if (tail === undefined ? given !== 8 : given > 7) return null;
  const groups = [...head, ...(tail === undefined ? [] : Array(8 - given).fill("0")), ...(tail ?? [])];
  if (!groups.every((group) => /^[0-9A-Fa-f]{1,4}$/.test(group))) return null;
  return { family: 6, bits: groups.reduce((sum, group) => sum * 65536n + BigInt(`0x${group}`), 0n) };
}

const anyAddress = (text) => ipv4(text) ?? ipv6(text);

function address(value) {
  const found = isText(value) ? anyAddress(value) : null;
  return found?.family === 6 && found.bits >> 32n === 0xffffn ? { family: 4, bits: found.bits & 0xffffffffn } : found;
}

function maskLength(text) {
  const mask = ipv4(text);
  if (mask === null) return null;
  const bits = mask.bits.toString(2).padStart(32, "0");
  if (/^1*0*$/.test(bits)) return bits.replaceAll("0", "").length;
  return /^0*1*$/.test(bits) ? bits.replaceAll("1", "").length : null;
}

function block(value) {
  if (!isText(value)) return null;
  const slash = value.indexOf("/");
  const found = anyAddress(slash === -1 ? value : value.slice(0, slash));
  if (found === null) return null;
  const size = found.family === 4 ? 32 : 128;
  let length = size;
  if (slash !== -1) {
    const prefix = value.slice(slash + 1);
    length = DIGITS.test(prefix) ? Number(prefix) : found.family === 4 ? maskLength(prefix) : null;
    if (length === null || length > size) return null;
  }
  const free = BigInt(size - length);
  return { family: found.family, free, bits: found.bits >> free };
}

function ordering(read, compare, wanted) {
  return (values, x) => {
    if (values.length !== 1) return null;
    const [found, bound] = [read(x), read(values[0])];
    return found === null || bound === null ? null : wanted(compare(found, bound));
  };
}

function texts(test) {
  return (values, x) => (isText(x) ? values.filter(isText).some((value) => test(x, value)) : null);
}

const isIn = (values, x) => values.some((value) => equal(value, x));
const below = (order) => order < 0;
const above = (order) => order > 0;

export const OPERATORS = {
  in: isIn,
  equals: isIn,
  not_in: (values, x) => !isIn(values, x),
  contains: texts((x, value) => x.includes(value)),
  starts_with: texts((x, value) => x.startsWith(value)),
  ends_with: texts((x, value) => x.endsWith(value)),
  matches,
  lt: ordering(number, sign, below),
  le: ordering(number, sign, (order) => order <= 0),
  gt: ordering(number, sign, above),
  ge: ordering(number, sign, (order) => order >= 0),
  before: ordering(moment, sign, below),
  after: ordering(moment, sign, above),
  semver_eq: ordering(version, compareVersions, (order) => order === 0),
  semver_lt: ordering(version, compareVersions, below),
  semver_le: ordering(version, compareVersions, (order) => order <= 0),
  semver_gt: ordering(version, compareVersions, above),
  semver_ge: ordering(version, compareVersions, (order) => order >= 0),
  in_cidr(values, x) {
    const [found, blocks] = [address(x), values.map(block).filter((one) => one !== null)];
    if (found === null || blocks.length === 0) return null;
    return blocks.some((one) => one.family === found.family && found.bits >> one.free === one.bits);
  },
  any_of: (values, x) => (Array.isArray(x) ? x.some((item) => isIn(values, item)) : null),
  all_of: (values, x) => (Array.isArray(x) ? values.every((value) => isIn(x, value)) : null),
};
