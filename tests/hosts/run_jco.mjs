// Runs the corpus in Node, with `@bytecodealliance/jco` and its shim of WASI.
//
// Environment: COMPONENT (the .wasm), CORPUS, BASE_URL, EMAIL, TOKEN. What jco writes goes into a folder
// beside this script. Prints one JSON line per case; exit code 0 if all passed.

import { transpile } from '@bytecodealliance/jco';
import { WASIShim } from '@bytecodealliance/preview2-shim/instantiation';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { env, exit } from 'node:process';
import { pathToFileURL } from 'node:url';
import { run } from './corpus.mjs';

const { files } = await transpile(await readFile(env.COMPONENT), {
  name: 'connector',
  instantiation: { tag: 'async' },
  noTypescript: true,
});
const modules = join(import.meta.dirname, 'transpiled');
for (const [name, bytes] of Object.entries(files)) {
  await mkdir(dirname(join(modules, name)), { recursive: true });
  await writeFile(join(modules, name), bytes);
}
const { instantiate } = await import(pathToFileURL(join(modules, 'connector.js')));
const compiled = new Map();
async function coreModule(name) {
  if (!compiled.has(name)) compiled.set(name, await WebAssembly.compile(await readFile(join(modules, name))));
  return compiled.get(name);
}

/** One call of the contract in a fresh instance, from JSON to JSON. */
async function call(face, callee, given) {
  const instance = await instantiate(coreModule, new WASIShim().getImportObject());
  try {
    return { ok: lift(instance[face][camel(callee)](...given.map(lower))) };
  } catch (error) {
    if (!Object.hasOwn(error ?? {}, 'payload')) throw error;
    return { error: lift(error.payload) };
  }
}

const camel = (name) => name.replace(/-(\w)/g, (_, letter) => letter.toUpperCase());
const kebab = (name) => name.replace(/[A-Z]/g, (letter) => '-' + letter.toLowerCase());

/** JSON to what jco takes. */
function lower(value) {
  if (value === null) return undefined;
  if (typeof value !== 'object' || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(lower);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [camel(name), lower(item)]));
}

/** What jco gives, as JSON. */
function lift(value) {
  if (value === undefined) return null;
  if (typeof value === 'bigint') return Number(value);
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof Uint8Array) return new TextDecoder().decode(value);
  if (Array.isArray(value)) return value.map(lift);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [kebab(name), lift(item)]));
}

exit(await run('node-jco', call));
