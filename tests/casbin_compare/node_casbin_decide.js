// node-casbin's decisions, in the same form as casbin_decide's (README.md). NODE_PATH names the folder in
// which npm has installed the package `casbin`. A decision is null when the engine threw instead of one.
'use strict';

const readline = require('readline');
const { newEnforcer, newModelFromString, StringAdapter } = require('casbin');

async function decide(line) {
  const input = JSON.parse(line);
  let enforcer;
  try {
    // Its adapter refuses the empty text, but not an empty line.
    enforcer = await newEnforcer(newModelFromString(input.model),
                                 new StringAdapter(input.policy || '\n'));
  } catch (error) {
    return { error: String(error.message || error) };
  }
  const decisions = [];
  for (const request of input.requests) {
    try {
      decisions.push(enforcer.enforceSync(...request));
    } catch (error) {
      decisions.push(null);
    }
  }
  return { decisions };
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await decide(line)) + '\n');
  }
}

main();
