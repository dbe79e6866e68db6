// This client behind the line protocol of `migrator conformance`: one JSON object a line, on standard input and output.
//
//   migrator conformance --command "node examples/node/speak.js"

import { createInterface } from "node:readline";
import { Client } from "./contract.js";

const PUT = "INSERT INTO app.note VALUES ($1, $2, $3) ON CONFLICT (tenant_id, id) DO UPDATE SET body = EXCLUDED.body";
const GET = "SELECT body FROM app.note WHERE tenant_id = $1 AND id = $2";

let client = null;
let open = null;

const body = (found) => found.rows[0]?.body ?? null;

const DO = {
  async start({ classic, limitless, name }) {
    client = await new Client({ classic, limitless, name }).open();
    return { process: client.process };
  },
  async write({ tenant, key, body, wait = true }) {
    const { side, token } = await client.write(tenant, (q) => q(PUT, [tenant, key, body]), { wait });
    return { side, token };
  },
  async read({ tenant, key, token }) {
    let side;
    const read = async (query) => body(await query(GET, [tenant, key]));
    const found = await client.read(tenant, read, { tokens: token ? [token] : [], onSide: (s) => (side = s) });
    return { side, body: found };
  },
  async begin_read({ tenant }) {
    open = { tenant, reading: await client.beginRead(tenant) };
    return { side: open.reading.side };
  },
  async end_read({ key }) {
    const { tenant, reading } = open;
    try {
      const found = body(await reading.query(GET, [tenant, key]));
      await reading.end();
      return { side: reading.side, body: found };
    } catch (error) {
      await reading.abandon();
      throw error;
    }
  },
};

const CODES = ["closed", "stale", "unavailable", "unconfirmed", "unknown"];

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer;
  try {
    answer = { ok: true, ...(await DO[command.do](command)) };
  } catch (error) {
    const lost = /^(08|53|57)/.test(error.code ?? "") || /ECONN|timeout|terminated/.test(error.message);
    const known = CODES.includes(error.code) ? error.code : lost ? "unavailable" : "other";
    answer = { ok: false, error: known, text: `${error.code ?? error.name}: ${error.message}` };
  }
  process.stdout.write(JSON.stringify({ id: command.id, ...answer }) + "\n");
}
await client?.close();
process.exit(0);
