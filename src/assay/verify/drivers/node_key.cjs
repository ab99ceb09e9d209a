// Loaded first in every node process of a check. The one that runs the tests takes the key and removes it, before any
// of its children, where the project's code is, has started.
'use strict';
const folder = process.env.ASSAY_CHECK;
const runs = process.execArgv.includes('--test') && !process.env.NODE_TEST_CONTEXT;
if (folder && runs) {
  const fs = require('node:fs');
  try {
    globalThis[Symbol.for('check.key')] = fs.readFileSync(`${folder}/key`, 'utf8').trim();
    fs.unlinkSync(`${folder}/key`);
  } catch {
    // Another process has it.
  }
}
