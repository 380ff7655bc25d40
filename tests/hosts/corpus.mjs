// The corpus in Node. What it is made of is written at the top of corpus.py.

import { readFile } from 'node:fs/promises';
import { env, stdout } from 'node:process';

/** Puts in variables and everything that stands for something else. */
function expand(value, known, shared) {
  if (typeof value === 'string') return value.replace(/\$\{(\w+)\}/g, (_, name) => known[name]);
  if (Array.isArray(value)) return value.map((item) => expand(item, known, shared));
  if (value === null || typeof value !== 'object') return value;
  if ('$shared' in value) return expand(shared[value.$shared], known, shared);
  if ('$json' in value) return JSON.stringify(expand(value.$json, known, shared));
  if ('$u64' in value) return BigInt(value.$u64);
  if ('$bytes' in value) return new TextEncoder().encode(expand(value.$bytes, known, shared));
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, expand(item, known, shared)]));
}

/** Why the actual value is not as expected, or null. */
function mismatch(expected, actual, known, path = '') {
  if (typeof expected === 'string') expected = expand(expected, known, {});
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual)) return `${path}: ${JSON.stringify(actual)} is no list`;
    for (const [index, item] of expected.entries()) {
      if (actual.every((other) => mismatch(item, other, known))) {
        return `${path}/${index}: nothing like ${JSON.stringify(item)} in ${JSON.stringify(actual)}`;
      }
    }
    return expected.length || !actual.length ? null : `${path}: ${JSON.stringify(actual)} is not empty`;
  }
  if (expected !== null && typeof expected === 'object') {
    if ('$json' in expected) {
      try {
        return mismatch(expected.$json, JSON.parse(actual), known, path);
      } catch {
        return `${path}: not JSON text: ${actual}`;
      }
    }
    if ('$contains' in expected) {
      const text = expand(expected.$contains, known, {});
      return typeof actual === 'string' && actual.includes(text) ? null : `${path}: ${JSON.stringify(actual)} lacks ${text}`;
    }
    if ('$present' in expected) return actual == null ? `${path}: absent` : null;
    if (actual === null || typeof actual !== 'object') return `${path}: ${JSON.stringify(actual)} is no object`;
    for (const [name, item] of Object.entries(expected)) {
      const why = mismatch(item, actual[name] ?? null, known, `${path}/${name}`);
      if (why) return why;
    }
    return null;
  }
  return expected === actual ? null : `${path}: ${JSON.stringify(actual)} is not ${JSON.stringify(expected)}`;
}

/** The value at a JSON Pointer that goes on into strings that hold JSON text. */
function pick(value, pointer) {
  return pointer
    .split('/')
    .slice(1)
    .reduce((found, name) => (typeof found === 'string' ? JSON.parse(found) : found)[name], value);
}

/** Runs the corpus through `call(interface, function, arguments)`; prints a line per case. */
export async function run(host, call) {
  const corpus = JSON.parse(await readFile(env.CORPUS, 'utf8'));
  const { BASE_URL, EMAIL, TOKEN } = env;
  const AUTHORIZATION = 'Basic ' + Buffer.from(`${EMAIL}:${TOKEN}`).toString('base64');
  const known = { BASE_URL, EMAIL, TOKEN, AUTHORIZATION };
  let failures = 0;
  for (const { name, interface: face, function: callee, arguments: given, expect, save = {} } of corpus.cases) {
    let detail;
    try {
      const result = await call(face, callee, expand(given, known, corpus.shared));
      detail = mismatch(expect, result, known);
      if (!detail) for (const [variable, pointer] of Object.entries(save)) known[variable] = pick(result, pointer);
    } catch (error) {
      detail = String(error?.stack ?? error);
    }
    failures += detail ? 1 : 0;
    stdout.write(JSON.stringify({ host, case: name, passed: !detail, detail: detail ?? '' }) + '\n');
  }
  return failures ? 1 : 0;
}
