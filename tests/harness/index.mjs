// Everything a test needs from the harness.
export { CliError, ROOT, Stack, run, startStack } from './stack.mjs';
export { Payer, resultState } from './payer.mjs';
export { Redis, RedisError } from './redis.mjs';
export { Replica } from './replica.mjs';
export { Viewer } from './events.mjs';
export { Mailbox } from './mailbox.mjs';
export { Sandbox } from './sandbox.mjs';
export {
  attributes, decodeHtml, formBody, freePort, get, parseForm, parseForms, plainText, postForm, rawRequest, request, visibleText,
} from './http.mjs';
export { atBest, tally, together, waitFor } from './wait.mjs';
