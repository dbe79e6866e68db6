// A client of the contract in SQL (docs/contract.md), of the simple kind: no thread, no timer. Each read asks classic
// first, so it also suits a function that is frozen between two calls.
//
//   const db = new Client({ classic: url, limitless: url, name: "shop" });
//   await db.open();
//   const { rows } = await db.read(tenant, (q) => q("SELECT ... WHERE tenant_id = $1", [tenant]));
//   await db.write(tenant, (q) => q("INSERT ...", [tenant, ...]));

import { randomBytes } from "node:crypto";
import pg from "pg";

const { Pool, escapeLiteral } = pg;

/** What a caller is told: `code` is one of closed, stale, unavailable, unconfirmed, unknown. */
export class ContractError extends Error {
  constructor(code, text, cause) {
    super(text, { cause });
    this.code = code;
  }
}

/** Seconds that have passed, on whichever clock says more: one of them stops while a machine is suspended. */
class Watch {
  #steady = process.hrtime.bigint();
  #wall = Date.now();
  seconds() {
    const steady = Number(process.hrtime.bigint() - this.#steady) / 1e9;
    return Math.max(steady, (Date.now() - this.#wall) / 1e3);
  }
}

const TERMINAL_ROUTE = "SELECT * FROM migrator.settled ORDER BY epoch DESC LIMIT 1";
const rest = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const isOurs = (error) => /^MG0/.test(error.code ?? "");
// No answer, or one that says that the server cannot work: connection, resources, shutdown, timeout, not a writer.
const isLost = (error) => !error.code || /^(08|53|57|58|XX|25006|E[A-Z]+$)/.test(error.code);

export class Client {
  #pools;
  #newest = null; // the last epoch that classic answered, with its mark
  #flights = new Set(); // reads that may be on Limitless, with the epoch they act on; not younger than the real one
  #bounds = null;
  #beating = null;
  #over = null; // since when it is known that the migration is over
  #allKnow = false;

  constructor({ classic, limitless, name, poolSize = 5 }) {
    const common = { max: poolSize, connectionTimeoutMillis: 3000, allowExitOnIdle: true, application_name: name };
    this.#pools = {
      classic: new Pool({ ...common, ...server(classic) }),
      limitless: new Pool({ ...common, ...server(limitless) }),
    };
    for (const pool of Object.values(this.#pools)) {
      pool.on("error", () => {}); // an idle connection was lost: the next one to need it finds out
      pool.on("connect", (conn) => conn.on("error", () => {})); // one in use: its statement fails
    }
    this.name = name;
    this.opened = false;
    this.process = `node:${randomBytes(8).toString("hex")}`;
  }

  /** Registers this process; with classic gone for good, learns that from Limitless. */
  async open() {
    try {
      await this.#beat();
    } catch (error) {
      if (!isLost(error)) throw error;
      await this.#askLimitless(error);
    }
    this.opened = true;
    return this;
  }

  /** Leaves the register: no route change waits for this process any more. A function may call it before it is frozen. */
  async leave() {
    if (!this.#over) await this.#ask("SELECT migrator.client_leave($1)", [this.process]).catch(() => {});
  }

  async close() {
    await this.leave();
    await Promise.all(Object.values(this.#pools).map((pool) => pool.end()));
  }

  // -- reads -------------------------------------------------------------------------------------------------

  /**
   * Runs fn(query) in a read-only transaction on the side of the tenant's route, and again if its answer must not be
   * used. tokens: of writes that it has to see (see write), in an array. onSide: is told which side answers.
   */
  async read(tenant, fn, { tokens = [], onSide = () => {} } = {}) {
    for (let turn = 0; turn < 3; turn++) {
      const reading = await this.beginRead(tenant, { tokens, onlyClassic: turn === 2 });
      try {
        const result = await fn(reading.query);
        await reading.end();
        onSide(reading.side);
        return result;
      } catch (error) {
        await reading.abandon();
        const again = error.code === "stale" || (reading.side === "limitless" && !this.#over && isLost(error));
        if (!again || turn === 2) throw error;
      }
    }
  }

  /** The same by hand: query, then end, which says "stale" when nothing that was read may be used. */
  async beginRead(tenant, { tokens = [], onlyClassic = false } = {}) {
    const flight = { ...(this.#newest ?? { epoch: "0", mark: null }) }; // before the question is sent
    this.#flights.add(flight);
    try {
      const answer = this.#over ? { side: "limitless" } : await this.#side(tenant, tokens, flight);
      const side = onlyClassic && !this.#over ? "classic" : answer.side;
      const bounded = side === "limitless" && !this.#over;
      const spanS = bounded ? answer.valid_s - answer.watch.seconds() : Infinity;
      if (bounded && spanS <= 0) throw new ContractError("stale", "the answer about the route had run out");
      const limitMs = Math.round(1000 * Math.min(this.#bounds?.read_timeout_s ?? 5, spanS));
      const begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY";
      const conn = await this.#take(side, bounded ? `${begin}; SET LOCAL statement_timeout = ${Math.max(1, limitMs)}` : begin);
      return new Reading(conn, side, flight, this.#flights, bounded ? answer : null);
    } catch (error) {
      this.#flights.delete(flight);
      throw error;
    }
  }

  async #side(tenant, tokens, flight) {
    const question = "SELECT * FROM migrator.client_side($1, $2, $3)";
    for (;;) {
      const watch = new Watch();
      let answer;
      try {
        answer = await this.#ask(question, [this.process, tenant, tokens.length ? tokens.join(".") : null]);
      } catch (error) {
        if (!isLost(error)) throw error;
        await this.#askLimitless(error);
        return { side: "limitless" };
      }
      this.#learn(answer);
      flight.epoch = answer.epoch;
      flight.mark = answer.mark;
      if (answer.writes === "limitless") await this.#isOver();
      if (this.#over || !answer.beat) return { ...answer, watch };
      await this.#beat();
      if (answer.side === "classic" && answer.why !== "not registered") return { ...answer, watch };
    }
  }

  // -- writes ------------------------------------------------------------------------------------------------

  /**
   * Runs fn(query) in a transaction where writes go, commits it, and returns when every later read sees it: {result, side,
   * token}. With wait: false it returns at once, and a read that is given the token sees it.
   */
  async write(tenant, fn, { wait = true } = {}) {
    const watch = new Watch();
    while (!this.#over) {
      try {
        const { result, token } = await this.#onClassic(fn);
        if (wait && token !== null) await this.#seenByAll(token);
        return { result, side: "classic", token };
      } catch (error) {
        if (error.code === "MG011") await this.#isOver();
        else if (error.code === "MG001") {
          if (watch.seconds() >= (this.#bounds?.closed_wait_s ?? 0)) throw new ContractError("closed", error.message, error);
          await rest(0.05);
        } else if (error instanceof ContractError || error.fromCaller || !isLost(error)) throw error;
        else await this.#askLimitless(error);
      }
    }
    const result = await this.#onLimitless(fn);
    if (wait) await this.#knownToAll();
    return { result, side: "limitless", token: "w1-over" };
  }

  async #onClassic(fn) {
    const mark = randomBytes(8).toString("hex");
    const marks = `SET LOCAL migrator.begun = '${mark}'; SET LOCAL migrator.parts = '00'`;
    const conn = await this.#take("classic", `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE DEFERRABLE; ${marks}`);
    let result, token;
    try {
      result = await fn((text, values) => conn.query(text, values));
      token = (await conn.query("SELECT migrator.client_token($1) AS token", [mark])).rows[0].token;
    } catch (error) {
      await conn.query("ROLLBACK").then(() => conn.release(), (lost) => conn.release(lost));
      throw error;
    }
    try {
      await conn.query("COMMIT");
    } catch (error) {
      conn.release(error);
      if (!isLost(error)) throw error;
      if (token === null || (await this.#outcome(token)) !== "committed") {
        throw new ContractError("unknown", "the answer to COMMIT was lost", error);
      }
      return { result, token };
    }
    conn.release();
    return { result, token };
  }

  async #onLimitless(fn) {
    const conn = await this.#take("limitless", "BEGIN READ WRITE");
    let result;
    try {
      result = await fn((text, values) => conn.query(text, values));
    } catch (error) {
      await conn.query("ROLLBACK").then(() => conn.release(), (lost) => conn.release(lost));
      throw error;
    }
    try {
      await conn.query("COMMIT");
    } catch (error) {
      conn.release(error);
      throw isLost(error) ? new ContractError("unknown", "the answer to COMMIT was lost", error) : error;
    }
    conn.release();
    return result;
  }

  async #seenByAll(token) {
    const { ack_wait_s: ackS, give_up_s: giveUpS } = this.#bounds;
    const watch = new Watch();
    let last;
    while (watch.seconds() < giveUpS) {
      try {
        const { state } = await this.#ask("SELECT migrator.client_wait($1, $2, $3) AS state", [this.process, token, ackS / 2]);
        if (state === "seen") return;
        if (watch.seconds() >= ackS) await this.#ask("SELECT migrator.client_fall_back($1, $2)", [this.process, token]);
        await this.#catchUp(); // what it waits for may be this process' own confirmation
      } catch (error) {
        last = error;
        if (error.code === "MG014") await this.#beat().catch(() => {});
        else if (isLost(error)) await rest(0.1);
        else break;
      }
    }
    throw new ContractError("unconfirmed", "the write is committed, and a read may still miss it", last);
  }

  async #outcome(token) {
    for (let turn = 0; turn < 20; turn++) {
      const found = await this.#ask("SELECT migrator.client_outcome($1) AS outcome", [token]).catch(() => null);
      if (found && found.outcome !== "in progress") return found.outcome;
      await rest(0.1);
    }
    return "unknown";
  }

  async #knownToAll() {
    let limitS = 10;
    while (!this.#allKnow && this.#over.seconds() < limitS) {
      try {
        const answer = await this.#ask("SELECT * FROM migrator.client_over()");
        this.#allKnow = answer.known_to_all;
        limitS = answer.wait_s;
      } catch (error) {
        if (!isLost(error)) throw error;
        await this.#askLimitless(error);
      }
      if (!this.#allKnow) await rest(0.05);
    }
    this.#allKnow = true;
  }

  // -- what is known of routes ---------------------------------------------------------------------------------

  async #catchUp() {
    const known = this.#newest ?? { epoch: null, mark: null };
    this.#learn(await this.#ask("SELECT * FROM migrator.client_view($1, $2, $3)", [this.process, known.epoch, known.mark]));
    await this.#beat();
  }

  #learn({ epoch, mark }) {
    this.#newest = { epoch, mark };
  }

  /** Sends a heartbeat that confirms the oldest epoch that is still acted on; one at a time. */
  #beat() {
    this.#beating ??= this.#sendBeat().finally(() => (this.#beating = null));
    return this.#beating;
  }

  async #sendBeat() {
    let oldest = this.#newest;
    for (const flight of this.#flights) if (oldest && BigInt(flight.epoch) < BigInt(oldest.epoch)) oldest = flight;
    const values = [this.process, this.name, oldest?.epoch ?? null, oldest?.mark ?? null];
    this.#bounds = await this.#ask("SELECT * FROM migrator.client_beat($1, $2, $3, $4)", values);
  }

  async #isOver() {
    if (this.#over) return;
    this.#over = new Watch();
    await this.#catchUp().catch(() => {}); // tells the others
  }

  async #askLimitless(cause) {
    const conn = await this.#pools.limitless.connect();
    let found;
    try {
      found = (await conn.query(TERMINAL_ROUTE)).rows[0];
    } finally {
      conn.release();
    }
    if (found?.write_mode !== "limitless_only") throw new ContractError("unavailable", "classic cannot be reached", cause);
    this.#over ??= new Watch();
    this.#allKnow ||= found.retiring_try !== null;
  }

  // -- connections -----------------------------------------------------------------------------------------------

  /** One question to classic, in a transaction of its own whatever the role's defaults are: one round trip. */
  async #ask(statement, values = []) {
    const filled = statement.replace(/\$(\d+)/g, (_, number) => literal(values[number - 1]));
    const begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = 0";
    const conn = await this.#pools.classic.connect();
    try {
      const results = await conn.query(`${begin}; ${filled}; END`);
      conn.release();
      return results[2].rows[0];
    } catch (error) {
      if (isOurs(error)) await conn.query("ROLLBACK").then(() => conn.release(), (lost) => conn.release(lost));
      else conn.release(error);
      throw error;
    }
  }

  async #take(side, begin) {
    for (let turn = 0; ; turn++) {
      const conn = await this.#pools[side].connect();
      try {
        await conn.query(begin);
        return conn;
      } catch (error) {
        conn.release(error);
        if (turn === 5 || !isLost(error)) throw error; // a pooled connection may have been lost while it rested
      }
    }
  }
}

class Reading {
  #conn;
  #flight;
  #flights;
  #answer;
  constructor(conn, side, flight, flights, answer) {
    this.#conn = conn;
    this.side = side;
    this.#flight = flight;
    this.#flights = flights;
    this.#answer = answer;
    if (answer === null) flights.delete(flight); // on classic, or for good: nothing that a route change takes back
    this.query = (text, values) => conn.query(text, values);
  }

  async end() {
    const conn = this.#conn;
    this.#conn = null;
    try {
      await conn.query("COMMIT");
      conn.release();
    } catch (error) {
      conn.release(error);
      throw error;
    } finally {
      this.#flights.delete(this.#flight);
    }
    if (this.#answer && this.#answer.watch.seconds() >= this.#answer.valid_s) {
      throw new ContractError("stale", "what was read must be thrown away: its route had run out");
    }
  }

  /** Ends it without an answer. */
  async abandon() {
    this.#flights.delete(this.#flight);
    const conn = this.#conn;
    this.#conn = null;
    // Some builds of Limitless refuse writes on a connection after rolling back a READ ONLY transaction.
    if (conn) conn.release(true);
  }
}

function server(given) {
  return typeof given === "string" ? { connectionString: given } : given;
}

function literal(value) {
  if (value === null || value === undefined) return "NULL";
  return typeof value === "number" ? String(value) : escapeLiteral(String(value)).trim();
}
