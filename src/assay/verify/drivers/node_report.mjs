// A reporter of Node's test runner that signs what it says. It lives in the process that starts the test files and
// never loads them.
import { createHmac } from 'node:crypto';
import { relative } from 'node:path';

const slot = Symbol.for('check.key');
const key = globalThis[slot];
delete globalThis[slot];
let count = 0;

function line(row) {
  const text = JSON.stringify({ ...row, n: count++ });
  return `${text}\t${createHmac('sha256', key).update(text).digest('hex')}\n`;
}

function words(error) {
  const cause = error?.cause ?? error;
  return String(cause?.message ?? cause ?? '').slice(0, 1500);
}

export default async function* report(source) {
  if (!key) return;
  yield line({ id: '', result: 'begin' });
  const names = new Map();
  for await (const { type, data } of source) {
    if (type === 'test:start') {
      const path = names.get(data.file) ?? [];
      path.length = data.nesting;
      path[data.nesting] = data.name;
      names.set(data.file, path);
    } else if (type === 'test:pass' || type === 'test:fail') {
      const above = (names.get(data.file) ?? []).slice(0, data.nesting);
      const skipped = data.skip !== undefined || data.todo !== undefined;
      const name = data.name.startsWith(process.cwd()) ? relative(process.cwd(), data.name) : data.name;
      const id = [...above, name].join(' > ');
      const result = skipped ? 'skip' : type === 'test:pass' ? 'pass' : 'fail';
      yield line({ id, result, reason: type === 'test:fail' ? words(data.details?.error) : '' });
    }
  }
  yield line({ id: '', result: 'end' });
}
