// The published provider for browsers: all flags at once, kept, and asked for again by ETag.
import { ClientProviderEvents, OpenFeature } from '@openfeature/web-sdk';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { details, talk } from './talk.mjs';

const client = OpenFeature.getClient();
const exchanges = [];
const changes = [];
client.addHandler(ClientProviderEvents.ConfigurationChanged, (event) => changes.push(event?.flagsChanged ?? []));

// Node has none. Enough of one for the provider: it opens, hears messages, and closes.
class NodeEventSource {
  #listeners = { open: [], message: [], error: [] };
  #stop = new AbortController();
  readyState = 0;

  constructor(url) {
    this.#read(url).catch(() => {}).finally(() => this.#tell('error', {}, 2));
  }

  addEventListener(name, listener) {
    this.#listeners[name].push(listener);
  }

  close() {
    this.readyState = 2;
    this.#stop.abort();
  }

  #tell(name, event, state) {
    if (this.readyState === 2) return;
    this.readyState = state;
    for (const listener of this.#listeners[name]) listener(event);
  }

  async #read(url) {
    const response = await fetch(url, { signal: this.#stop.signal });
    if (response.status !== 200) return;
    this.#tell('open', {}, 1);
    let text = '';
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const events = text.split('\n\n');
      text = events.pop();
      for (const event of events) {
        const data = event.split('\n').find((line) => line.startsWith('data: '));
        if (data) this.#tell('message', { data: data.slice(6) }, 1);
      }
    }
  }
}

async function recordingFetch(request, options) {
  const asked = { if_none_match: request.headers.get('if-none-match'), body: await request.clone().json() };
  const response = await fetch(request, options);
  const streams = response.status === 200 ? (await response.clone().json()).eventStreams ?? null : null;
  exchanges.push({ ...asked, status: response.status, etag: response.headers.get('etag'), streams });
  return response;
}

await talk({
  async connect({ url, headers, context, poll, listen }) {
    if (listen) globalThis.EventSource = NodeEventSource;
    await OpenFeature.setContext(context);
    const provider = new OFREPWebProvider({
      baseUrl: url,
      headers: Object.entries(headers),
      pollInterval: poll,
      cacheMode: 'disabled',
      fetchImplementation: recordingFetch,
    });
    await OpenFeature.setProviderAndWait(provider);
  },
  evaluate({ key, fallback }) {
    return details(client, key, fallback);
  },
  async context({ context }) {
    await OpenFeature.setContext(context);
  },
  exchanges() {
    return exchanges;
  },
  changes() {
    return changes;
  },
});
await OpenFeature.close();
