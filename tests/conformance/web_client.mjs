// The published provider for browsers: all flags at once, kept, and asked for again by ETag.
import { ClientProviderEvents, OpenFeature } from '@openfeature/web-sdk';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { details, talk } from './talk.mjs';

const client = OpenFeature.getClient();
const exchanges = [];
const changes = [];
client.addHandler(ClientProviderEvents.ConfigurationChanged, (event) => changes.push(event?.flagsChanged ?? []));

async function recordingFetch(request, options) {
  const asked = { if_none_match: request.headers.get('if-none-match'), body: await request.clone().json() };
  const response = await fetch(request, options);
  const streams = response.status === 200 ? (await response.clone().json()).eventStreams ?? null : null;
  exchanges.push({ ...asked, status: response.status, etag: response.headers.get('etag'), streams });
  return response;
}

await talk({
  async connect({ url, headers, context, poll }) {
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
