import { Provider } from 'oidc-provider';
const port = Number(process.argv[2]);
const redirect = process.argv[3];
const issuer = `http://127.0.0.1:${port}`;
const groups = JSON.parse(process.argv[4] ?? '{}');
const provider = new Provider(issuer, {
  clients: [
    { client_id: 'headrace', client_secret: 'a-secret', redirect_uris: [redirect], grant_types: ['authorization_code'], response_types: ['code'] },
    { client_id: 'robot', client_secret: 'robot-secret', redirect_uris: [], grant_types: ['client_credentials'], response_types: [] },
  ],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  features: {
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:headrace',
      getResourceServerInfo: () => ({ scope: 'call', audience: 'urn:headrace', accessTokenFormat: 'jwt', accessTokenTTL: 300 }),
    },
  },
  findAccount: (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id, email: id, email_verified: true, groups: groups[id] ?? [] }) }),
});
provider.listen(port, '127.0.0.1', () => console.log(`ready ${issuer}`));
