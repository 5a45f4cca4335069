// JSON that keeps integers whole and the order of members: objects are Maps, integers beyond 2^53 are BigInts.
// Node's own JSON.parse rounds the ones and reorders the others.

const NUMBER = /-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const STRING = /"(?:[^"\\]|\\.)*"/y;
const SPACE = /[ \t\r\n]*/y;

export function parse(text) {
  let at = 0;

  function take(pattern) {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found === null) throw new SyntaxError(`no JSON at ${at}`);
    at += found[0].length;
    return found[0];
  }

  function next() {
    take(SPACE);
    return text[at];
  }

  function expect(character) {
    if (next() !== character) throw new SyntaxError(`no ${character} at ${at}`);
    at += 1;
  }

  function word(letters, value) {
    if (!text.startsWith(letters, at)) throw new SyntaxError(`no JSON at ${at}`);
    at += letters.length;
    return value;
  }

  function number() {
    const digits = take(NUMBER);
    if (/[.eE]/.test(digits)) return Number(digits);
    const whole = BigInt(digits);
    return BigInt.asIntN(53, whole) === whole ? Number(whole) : whole;
  }

  function members(close, member) {
    at += 1;
    if (next() === close) {
      at += 1;
      return;
    }
    for (;;) {
      member();
      if (next() === close) {
        at += 1;
        return;
      }
      expect(",");
    }
  }

  function value() {
    switch (next()) {
      case "{": {
        const found = new Map();
        members("}", () => {
          next();
          const name = JSON.parse(take(STRING));
          expect(":");
          found.set(name, value());
        });
        return found;
      }
      case "[": {
        const found = [];
        members("]", () => found.push(value()));
        return found;
      }
      case '"':
        return JSON.parse(take(STRING));
      case "t":
        return word("true", true);
      case "f":
        return word("false", false);
      case "n":
        return word("null", null);
      default:
        return number();
    }
  }

  return value();
}

export function write(value) {
  if (typeof value === "bigint") return value.toString();
  if (Array.isArray(value)) return `[${value.map(write).join(",")}]`;
  if (value instanceof Map) {
    return `{${[...value].map(([name, member]) => `${JSON.stringify(name)}:${write(member)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}
