// The published provider for servers: one request for each evaluation.
import { OpenFeature } from '@openfeature/server-sdk';
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { details, talk } from './talk.mjs';

const client = OpenFeature.getClient();

await talk({
  async connect({ url, headers }) {
    await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: url, headers: Object.entries(headers) }));
  },
  evaluate({ key, fallback, context }) {
    return details(client, key, fallback, context);
  },
});
await OpenFeature.close();
