// Commands from the test, one JSON object a line on stdin; the answer to each is one line on stdout.
import { createInterface } from 'node:readline';

export async function talk(commands) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { do: name, ...given } = JSON.parse(line);
    let answer;
    try {
      answer = { said: (await commands[name](given)) ?? null };
    } catch (error) {
      answer = { failed: String(error?.stack ?? error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

// The getter of a default's type, as an application in TypeScript would choose it.
export function details(client, key, fallback, ...context) {
  const getters = { boolean: 'Boolean', string: 'String', number: 'Number', object: 'Object' };
  return client[`get${getters[typeof fallback]}Details`](key, fallback, ...context);
}
