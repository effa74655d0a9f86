// An OpenID provider for tests: any password is right; the groups of a person are those of the PEOPLE variable.
// Environment: PORT, CLIENT_ID, CLIENT_SECRET, REDIRECT, ALG (RS256 or ES256), PEOPLE (JSON: {"ada": ["soc"]}).
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import Provider from 'oidc-provider'

const { PORT, CLIENT_ID, CLIENT_SECRET, REDIRECT, ALG } = process.env
const groups = JSON.parse(process.env.PEOPLE)
const pair = ALG === 'ES256'
  ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
  : generateKeyPairSync('rsa', { modulusLength: 2048 })
const key = { ...pair.privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: ALG }

const provider = new Provider(`http://127.0.0.1:${PORT}`, {
  clients: [{
    client_id: CLIENT_ID,
    client_secret: CLIENT_SECRET,
    redirect_uris: [REDIRECT],
    response_types: ['code'],
    grant_types: ['authorization_code'],
    id_token_signed_response_alg: ALG,
    token_endpoint_auth_method: 'client_secret_basic',
  }],
  jwks: { keys: [key] },
  claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
  conformIdTokenClaims: false,
  cookies: { keys: [randomUUID()] },
  pkce: { required: () => true },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: `subject-of-${id}`, preferred_username: id, groups: groups[id] ?? [] }),
  }),
})
provider.listen(Number(PORT), '127.0.0.1', () => console.log('ready'))
