// Calls functions of the project as tests do, outside every test runner; one line of JSON a call.
import { pathToFileURL } from 'node:url';
import { writeSync } from 'node:fs';

const calls = JSON.parse(process.env.ASSAY_CALLS);
const mark = process.env.ASSAY_MARK;
delete process.env.ASSAY_CALLS;
delete process.env.ASSAY_MARK;
const { stringify } = JSON;
for (const [number, call] of calls.entries()) {
  const row = { number };
  try {
    const found = await import(pathToFileURL(call.module).href);
    const fn = call.name === '' ? found.default : found[call.name] ?? found.default?.[call.name];
    const result = await fn(...call.args);
    const simple = result === null || typeof result !== 'object';
    const plain = simple || [Object.prototype, Array.prototype, null].includes(Object.getPrototypeOf(result));
    const told = simple ? [] : Reflect.ownKeys(result).map(String);
    row.kind = result === null ? 'null' : Array.isArray(result) ? 'array' : typeof result;
    row.own = !plain || told.some((key) => key === 'valueOf' || key.startsWith('Symbol(Symbol.'));
    row.value = result === undefined ? null : JSON.parse(stringify(result) ?? 'null');
    row.opaque = typeof result === 'function' || typeof result === 'symbol';
  } catch (error) {
    row.error = error?.name ?? 'Error';
  }
  writeSync(1, `${mark}${stringify(row)}\n`);
}
process.exit(0);
