// A client of the contract in SQL (docs/contract.md), of the simple kind: no thread of its own. Each read asks classic first.
// Safe for several threads.

import java.security.SecureRandom;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.Map;
import java.util.Properties;
import java.util.Set;

public final class Contract implements AutoCloseable {
  /** What a caller is told; code: closed, stale, unavailable, unconfirmed or unknown. */
  public static final class Failed extends Exception {
    private static final long serialVersionUID = 1;
    public final String code;

    Failed(String code, String text, Throwable cause) {
      super(text, cause);
      this.code = code;
    }
  }

  public record Server(String url, String user, String password) {}

  /** Statements of the application on a connection whose transaction is not theirs to end. */
  public interface Work<T> {
    T on(Connection conn) throws SQLException;
  }

  public record Wrote<T>(T result, String side, String token) {}

  private record Answer(String side, double validS, long epoch, String mark, boolean beat, Watch watch) {}

  /** Seconds that have passed, on whichever clock says more: one of them stops while a machine is suspended. */
  private static final class Watch {
    private final long steady = System.nanoTime();
    private final long wall = System.currentTimeMillis();

    double seconds() {
      return Math.max((System.nanoTime() - steady) / 1e9, (System.currentTimeMillis() - wall) / 1e3);
    }
  }

  private static final class Flight {
    long epoch;
    String mark;
  }

  private static final String BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED ";

  private final Map<String, Server> servers;
  private final Map<String, Deque<Connection>> idle = Map.of("classic", new ArrayDeque<>(), "limitless", new ArrayDeque<>());
  private final Set<Flight> flights = new HashSet<>(); // reads that may be on Limitless
  private final String name;
  private Flight newest; // the last epoch that classic answered
  private Map<String, Double> bounds = Map.of();
  private volatile Watch over; // since when it is known that the migration is over
  private volatile boolean allKnow;

  public final String process = "java:" + random();

  public Contract(Server classic, Server limitless, String name) throws SQLException, Failed {
    this.servers = Map.of("classic", classic, "limitless", limitless);
    this.name = name;
    try {
      beat();
    } catch (SQLException error) {
      if (!lost(error)) throw error;
      askLimitless(error);
    }
  }

  // -- reads ------------------------------------------------------------------------------------------------------

  /** Runs work in a read-only transaction on the side of the route, and again if its answer must not be used. */
  public <T> T read(String tenant, String tokens, Work<T> work) throws SQLException, Failed {
    for (int turn = 0; ; turn++) {
      Reading reading = begin(tenant, tokens, turn == 2);
      try {
        T result = work.on(reading.conn);
        reading.end();
        return result;
      } catch (SQLException | Failed error) {
        reading.close();
        boolean stale = error instanceof Failed f && f.code.equals("stale");
        boolean there = error instanceof SQLException e && reading.side.equals("limitless") && over == null && lost(e);
        if (turn == 2 || !(stale || there)) throw error;
      }
    }
  }

  /** The same by hand. */
  public Reading begin(String tenant, String tokens, boolean onlyClassic) throws SQLException, Failed {
    Flight flight = new Flight();
    synchronized (this) { // before the question is sent
      flight.epoch = newest == null ? 0 : newest.epoch;
      flight.mark = newest == null ? null : newest.mark;
      flights.add(flight);
    }
    try {
      Answer answer = over != null ? null : side(tenant, tokens, flight);
      if (over != null) return new Reading("limitless", take("limitless", BEGIN + "READ ONLY"), flight, null);
      if (onlyClassic || answer.side.equals("classic")) {
        return new Reading("classic", take("classic", BEGIN + "READ ONLY"), flight, null);
      }
      double leftS = Math.min(bounds.getOrDefault("read_timeout_s", 5.0), answer.validS - answer.watch.seconds());
      if (leftS <= 0) throw new Failed("stale", "the answer about the route had run out", null);
      String limit = "; SET LOCAL statement_timeout = " + Math.max(1, Math.round(leftS * 1000));
      return new Reading("limitless", take("limitless", BEGIN + "READ ONLY" + limit), flight, answer);
    } catch (SQLException | Failed | RuntimeException error) {
      forget(flight);
      throw error;
    }
  }

  public final class Reading implements AutoCloseable {
    public final String side;
    public final Connection conn;
    private final Flight flight;
    private final Answer answer;
    private boolean ended;

    private Reading(String side, Connection conn, Flight flight, Answer answer) {
      this.side = side;
      this.conn = conn;
      this.flight = flight;
      this.answer = answer;
      if (answer == null) forget(flight); // nothing that a route change takes back
    }

    /** Says "stale" when nothing that was read may be used. */
    public void end() throws SQLException, Failed {
      try {
        run(conn, "COMMIT");
        ended = true;
        give(side, conn);
      } finally {
        close();
      }
      if (answer != null && answer.watch.seconds() >= answer.validS) {
        throw new Failed("stale", "what was read must be thrown away: its route had run out", null);
      }
    }

    @Override
    public void close() {
      forget(flight);
      if (!ended) drop(conn);
      ended = true;
    }
  }

  private Answer side(String tenant, String tokens, Flight flight) throws SQLException, Failed {
    while (true) {
      Watch watch = new Watch();
      Map<String, Object> row;
      try {
        row = ask("SELECT * FROM migrator.client_side(?, ?, ?)", process, tenant, tokens);
      } catch (SQLException error) {
        if (!lost(error)) throw error;
        askLimitless(error);
        return null;
      }
      synchronized (this) {
        learn(row);
        flight.epoch = newest.epoch;
        flight.mark = newest.mark;
      }
      if (row.get("writes").equals("limitless")) {
        isOver();
        return null;
      }
      Answer found = new Answer((String) row.get("side"), number(row, "valid_s"), flight.epoch, flight.mark,
          (Boolean) row.get("beat"), watch);
      if (!found.beat) return found;
      beat();
      if (found.side.equals("classic") && !row.get("why").equals("not registered")) return found;
    }
  }

  // -- writes -----------------------------------------------------------------------------------------------------

  /** Runs work where writes go, commits it, and returns when every later read sees it; without wait, at once. */
  public <T> Wrote<T> write(String tenant, boolean wait, Work<T> work) throws SQLException, Failed {
    Watch watch = new Watch();
    while (over == null) {
      try {
        Wrote<T> done = onClassic(work);
        if (wait && done.token != null) seenByAll(done.token);
        return done;
      } catch (SQLException error) {
        String state = String.valueOf(error.getSQLState());
        if (state.equals("MG011")) isOver();
        else if (state.equals("MG001")) {
          if (watch.seconds() >= bounds.getOrDefault("closed_wait_s", 0.0)) throw new Failed("closed", error.getMessage(), error);
          rest(0.05);
        } else if (lost(error)) askLimitless(error);
        else throw error;
      }
    }
    Connection conn = take("limitless", "BEGIN READ WRITE");
    T result = worked(conn, work);
    try {
      run(conn, "COMMIT");
    } catch (SQLException error) {
      drop(conn);
      if (lost(error)) throw new Failed("unknown", "the answer to COMMIT was lost", error);
      throw error;
    }
    give("limitless", conn);
    if (wait) knownToAll();
    return new Wrote<>(result, "limitless", "w1-over");
  }

  private <T> Wrote<T> onClassic(Work<T> work) throws SQLException, Failed {
    String mark = random();
    Connection conn = take("classic", BEGIN + "READ WRITE DEFERRABLE; SET LOCAL migrator.begun = '" + mark
        + "'; SET LOCAL migrator.parts = '00'");
    String[] token = new String[1];
    T result = worked(conn, given -> {
      T found = work.on(given);
      token[0] = (String) one(given, "SELECT migrator.client_token(?) AS token", mark).get("token");
      return found;
    });
    try {
      run(conn, "COMMIT");
      give("classic", conn);
    } catch (SQLException error) {
      drop(conn);
      if (!lost(error)) throw error;
      if (token[0] == null || !outcome(token[0]).equals("committed")) {
        throw new Failed("unknown", "the answer to COMMIT was lost", error);
      }
    }
    return new Wrote<>(result, "classic", token[0]);
  }

  private <T> T worked(Connection conn, Work<T> work) throws SQLException {
    try {
      return work.on(conn);
    } catch (SQLException | RuntimeException error) {
      drop(conn); // which rolls it back
      throw error;
    }
  }

  private void seenByAll(String token) throws SQLException, Failed {
    double ackS = bounds.get("ack_wait_s");
    Watch watch = new Watch();
    SQLException last = null;
    while (watch.seconds() < bounds.get("give_up_s")) {
      try {
        Object state = ask("SELECT migrator.client_wait(?, ?, ?) AS state", process, token, ackS / 2).get("state");
        if (state.equals("seen")) return;
        if (watch.seconds() >= ackS) ask("SELECT migrator.client_fall_back(?, ?)", process, token);
        catchUp(); // what it waits for may be this process' own confirmation
      } catch (SQLException error) {
        last = error;
        if ("MG014".equals(error.getSQLState())) catchUpOrNot();
        else if (lost(error)) rest(0.1);
        else break;
      }
    }
    throw new Failed("unconfirmed", "the write is committed, and a read may still miss it", last);
  }

  private String outcome(String token) {
    for (int turn = 0; turn < 20; turn++) {
      try {
        String found = (String) ask("SELECT migrator.client_outcome(?) AS outcome", token).get("outcome");
        if (!found.equals("in progress")) return found;
      } catch (SQLException error) {
        // asked again
      }
      rest(0.1);
    }
    return "unknown";
  }

  private void knownToAll() throws SQLException, Failed {
    double limitS = 10;
    while (!allKnow && over.seconds() < limitS) {
      try {
        Map<String, Object> row = ask("SELECT * FROM migrator.client_over()");
        allKnow = (Boolean) row.get("known_to_all");
        limitS = number(row, "wait_s");
      } catch (SQLException error) {
        if (!lost(error)) throw error;
        askLimitless(error);
      }
      if (!allKnow) rest(0.05);
    }
    allKnow = true;
  }

  // -- what is known of routes ------------------------------------------------------------------------------------

  private synchronized void learn(Map<String, Object> row) {
    newest = new Flight();
    newest.epoch = ((Number) row.get("epoch")).longValue();
    newest.mark = (String) row.get("mark");
  }

  private synchronized void forget(Flight flight) {
    flights.remove(flight);
  }

  private void catchUp() throws SQLException {
    learn(ask("SELECT * FROM migrator.client_view(?)", process));
    beat();
  }

  private void catchUpOrNot() {
    try {
      catchUp();
    } catch (SQLException error) {
      // the next answer says again that it is needed
    }
  }

  private void beat() throws SQLException {
    Flight oldest;
    synchronized (this) {
      oldest = newest;
      for (Flight flight : flights) if (oldest != null && flight.epoch < oldest.epoch) oldest = flight;
    }
    Map<String, Object> row = ask("SELECT * FROM migrator.client_beat(?, ?, ?, ?)", process, name,
        oldest == null ? null : oldest.epoch, oldest == null ? null : oldest.mark);
    Map<String, Double> found = new HashMap<>();
    for (String key : row.keySet()) found.put(key, number(row, key));
    bounds = found;
  }

  private void isOver() {
    if (over != null) return;
    over = new Watch();
    catchUpOrNot(); // tells the others
  }

  private void askLimitless(SQLException cause) throws SQLException, Failed {
    Connection conn = take("limitless", "BEGIN READ ONLY");
    Map<String, Object> row = null;
    try {
      row = one(conn, "SELECT * FROM migrator.settled ORDER BY epoch DESC LIMIT 1");
    } finally {
      drop(conn);
    }
    if (row == null || !row.get("write_mode").equals("limitless_only")) {
      throw new Failed("unavailable", "classic cannot be reached: " + cause.getMessage(), cause);
    }
    if (over == null) over = new Watch();
    allKnow |= row.get("retiring_try") != null;
  }

  // -- connections ------------------------------------------------------------------------------------------------

  /** One question to classic, in a transaction of its own whatever the role's defaults are. */
  private Map<String, Object> ask(String statement, Object... values) throws SQLException {
    Connection conn = take("classic", BEGIN + "READ WRITE; SET LOCAL statement_timeout = 0");
    try {
      Map<String, Object> found = one(conn, statement, values);
      run(conn, "END");
      give("classic", conn);
      return found;
    } catch (SQLException error) {
      drop(conn);
      throw error;
    }
  }

  private Connection take(String side, String begin) throws SQLException {
    for (int turn = 0; ; turn++) {
      Connection conn;
      synchronized (idle) {
        conn = idle.get(side).pollLast();
      }
      if (conn == null) conn = connect(servers.get(side), name);
      try {
        run(conn, begin);
        return conn;
      } catch (SQLException error) {
        drop(conn);
        if (turn == 9 || !lost(error)) throw error; // one that rested may have been lost meanwhile
      }
    }
  }

  private static Connection connect(Server server, String name) throws SQLException {
    Properties given = new Properties();
    given.setProperty("user", server.user);
    given.setProperty("password", server.password);
    given.setProperty("ApplicationName", name); // what operators see: migrator readers
    given.setProperty("connectTimeout", "3");
    given.setProperty("loginTimeout", "20");
    return DriverManager.getConnection(server.url, given);
  }

  private void give(String side, Connection conn) {
    synchronized (idle) {
      idle.get(side).addLast(conn);
    }
  }

  private static void drop(Connection conn) {
    try {
      conn.close();
    } catch (SQLException error) {
      // it is gone
    }
  }

  private static void run(Connection conn, String statement) throws SQLException {
    try (Statement made = conn.createStatement()) {
      made.execute(statement);
    }
  }

  private static Map<String, Object> one(Connection conn, String statement, Object... values) throws SQLException {
    try (PreparedStatement made = conn.prepareStatement(statement)) {
      for (int number = 0; number < values.length; number++) made.setObject(number + 1, values[number]);
      try (ResultSet rows = made.executeQuery()) {
        if (!rows.next()) return null;
        Map<String, Object> found = new HashMap<>();
        for (int column = 1; column <= rows.getMetaData().getColumnCount(); column++) {
          found.put(rows.getMetaData().getColumnLabel(column), rows.getObject(column));
        }
        return found;
      }
    }
  }

  /** No answer, or one that says that the server cannot work. */
  private static boolean lost(SQLException error) {
    String state = error.getSQLState();
    return state == null || state.matches("(08|53|57|58|XX).*|25006");
  }

  private static double number(Map<String, Object> row, String key) {
    return row.get(key) == null ? Double.POSITIVE_INFINITY : ((Number) row.get(key)).doubleValue();
  }

  private static String random() {
    byte[] bytes = new byte[8];
    new SecureRandom().nextBytes(bytes);
    return HexFormat.of().formatHex(bytes);
  }

  private static void rest(double seconds) {
    try {
      Thread.sleep(Math.round(seconds * 1000));
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }

  /** Leaves the register: no route change waits for this process any more. */
  @Override
  public void close() {
    try {
      if (over == null) ask("SELECT migrator.client_leave(?)", process);
    } catch (SQLException error) {
      // it expires by itself
    }
    synchronized (idle) {
      for (Deque<Connection> conns : idle.values()) conns.forEach(Contract::drop);
    }
  }
}
