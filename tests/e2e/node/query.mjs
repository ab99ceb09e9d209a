// What the TypeScript client sees of a session: one line of JSON about it. Arguments: the command, the directory.
import { createSdkMcpServer, query, tool } from "@anthropic-ai/claude-agent-sdk";
import { z } from "zod";

const [command, directory] = process.argv.slice(2);
const seen = { tools: [], asked: [], called: [], results: [], texts: [], interrupted: false };
const add = tool("add", "Add two numbers", { a: z.number(), b: z.number() }, async ({ a, b }) => {
  seen.called.push([a, b]);
  return { content: [{ type: "text", text: `the sum is ${a + b}` }] };
});

let release;
const second = new Promise((resolve) => (release = resolve));
async function* prompts() {
  const say = (content) => ({ type: "user", message: { role: "user", content }, parent_tool_use_id: null, session_id: "" });
  yield say("Add 2 and 3, then write a file");
  await second;
  yield say("Wait");
}

const session = query({
  prompt: prompts(),
  options: {
    pathToClaudeCodeExecutable: command,
    cwd: directory,
    settingSources: [],
    mcpServers: { sums: createSdkMcpServer({ name: "sums", version: "1.0.0", tools: [add] }) },
    canUseTool: async (name, input) => {
      seen.asked.push(name);
      if (name === "Write") return { behavior: "deny", message: "not that file" };
      return { behavior: "allow", updatedInput: input };
    },
  },
});
for await (const message of session) {
  if (message.type === "system" && message.subtype === "init") seen.tools = message.tools;
  if (message.type === "assistant") {
    for (const block of message.message.content) {
      if (block.type === "text") seen.texts.push(block.text);
      if (block.type === "tool_use" && block.input.command === "sleep 600") await session.interrupt();
    }
  }
  if (message.type === "user" && Array.isArray(message.message.content)) {
    for (const block of message.message.content) if (block.type === "tool_result") seen.results.push(JSON.stringify(block.content));
  }
  if (message.type !== "result") continue;
  if (message.is_error) {
    seen.interrupted = message.subtype === "error_during_execution";
    break;
  }
  release();
}
console.log(JSON.stringify(seen));
process.exit(0);
