// The application: notes of many tenants. Every statement names its tenant, so one shard answers it.

const PUT = "INSERT INTO app.note VALUES ($1, $2, $3) ON CONFLICT (tenant_id, id) DO UPDATE SET body = EXCLUDED.body";
const GET = "SELECT body FROM app.note WHERE tenant_id = $1 AND id = $2";

/**
 * Answers one request: {status, body, token, below}. The token of a caller's last write lets its reads see it at once, and
 * what it wrote before for the same tenant. So it belongs to the paths of that tenant: those begin with `below`.
 */
export async function answer(db, { method, path, body, token }) {
  const found = /^\/tenants\/([^/]+)\/notes\/(\d{1,9})$/.exec(path);
  if (!found) return { status: 404, body: "no such page" };
  const tenant = decodeURIComponent(found[1]);
  const id = Number(found[2]);
  try {
    if (method === "PUT") {
      // The caller alone looks at once, so the write does not wait: its token goes along.
      const wrote = await db.write(tenant, (query) => query(PUT, [tenant, id, body]), { wait: false });
      return { status: 200, body: "stored", token: wrote.token, below: `/tenants/${found[1]}/` };
    }
    const read = async (query) => (await query(GET, [tenant, id])).rows[0]?.body;
    const note = await db.read(tenant, read, { tokens: token ? [token] : [] });
    return note === undefined ? { status: 404, body: "no such note" } : { status: 200, body: note };
  } catch (error) {
    if (error.code === "closed" || error.code === "unavailable") return { status: 503, body: "try again in a moment" };
    if (error.code === "unknown") return { status: 500, body: "read the note before you store it again" };
    throw error;
  }
}
