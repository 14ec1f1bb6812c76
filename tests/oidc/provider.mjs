import { Provider } from 'oidc-provider';
import { createServer } from 'node:https';
import { readFileSync } from 'node:fs';
const [host, portText, redirect, people, certificate, key] = process.argv.slice(2);
const port = Number(portText);
const issuer = `${certificate ? 'https' : 'http'}://${host}:${port}`;
const groups = JSON.parse(people ?? '{}');
const provider = new Provider(issuer, {
  clients: [
    { client_id: 'headrace', client_secret: 'a-secret', redirect_uris: [redirect], grant_types: ['authorization_code'], response_types: ['code'] },
    { client_id: 'robot', client_secret: 'robot-secret', redirect_uris: [], grant_types: ['client_credentials'], response_types: [] },
    { client_id: 'terminal', token_endpoint_auth_method: 'none', redirect_uris: [], grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'], response_types: [] },
  ],
  scopes: ['openid', 'offline_access', 'email', 'groups'],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  features: {
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (_ctx, client) => (client.clientId === 'terminal' ? undefined : 'urn:headrace'),
      getResourceServerInfo: () => ({ scope: 'call', audience: 'urn:headrace', accessTokenFormat: 'jwt', accessTokenTTL: 300 }),
    },
  },
  findAccount: (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id, email: id, email_verified: true, groups: groups[id] ?? [] }) }),
});
if (certificate) {
  createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, provider.callback()).listen(port, host);
} else {
  provider.listen(port, host);
}
