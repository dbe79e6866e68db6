// Notes of many tenants, from the command line: `put TENANT NUMBER TEXT`, `get TENANT NUMBER [TOKEN]`, or over HTTP:
// `serve PORT` answers PUT and GET /tenants/TENANT/notes/NUMBER. CLASSIC_URL and LIMITLESS_URL are JDBC URLs; DB_USER and
// DB_PASSWORD log in on both, unless LIMITLESS_USER and LIMITLESS_PASSWORD say otherwise.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public final class Notes {
  private static final String PUT =
      "INSERT INTO app.note VALUES (?, ?, ?) ON CONFLICT (tenant_id, id) DO UPDATE SET body = EXCLUDED.body";
  private static final String GET = "SELECT body FROM app.note WHERE tenant_id = ? AND id = ?";
  private static final Pattern PATH = Pattern.compile("(/tenants/([^/]+)/)notes/(\\d{1,9})");
  private static final Pattern COOKIE = Pattern.compile("(?:^|; )writes=([\\w-]+)");

  private final Contract client;

  private Notes(Contract client) {
    this.client = client;
  }

  public static void main(String[] given) throws Exception {
    Map<String, String> env = System.getenv();
    String user = env.get("DB_USER");
    String password = env.get("DB_PASSWORD");
    Contract.Server classic = new Contract.Server(env.get("CLASSIC_URL"), user, password);
    Contract.Server limitless = new Contract.Server(env.get("LIMITLESS_URL"),
        env.getOrDefault("LIMITLESS_USER", user), env.getOrDefault("LIMITLESS_PASSWORD", password));
    if (given[0].equals("serve")) {
      new Notes(new Contract(classic, limitless, "notes")).serve(Integer.parseInt(given[1]));
      return;
    }
    String tenant = given[1];
    int number = Integer.parseInt(given[2]);
    try (Contract client = new Contract(classic, limitless, "notes")) {
      Notes notes = new Notes(client);
      if (given[0].equals("put")) {
        System.out.println(notes.put(tenant, number, given[3], true));
      } else {
        String found = notes.get(tenant, number, given.length > 3 ? given[3] : null);
        System.out.println(found == null ? "no such note" : found);
      }
    }
  }

  private String put(String tenant, int number, String body, boolean wait) throws SQLException, Contract.Failed {
    return client.write(tenant, wait, conn -> {
      try (PreparedStatement made = conn.prepareStatement(PUT)) {
        made.setString(1, tenant);
        made.setInt(2, number);
        made.setString(3, body);
        return made.executeUpdate();
      }
    }).token();
  }

  private String get(String tenant, int number, String token) throws SQLException, Contract.Failed {
    return client.<String>read(tenant, token, conn -> {
      try (PreparedStatement made = conn.prepareStatement(GET)) {
        made.setString(1, tenant);
        made.setInt(2, number);
        try (ResultSet rows = made.executeQuery()) {
          return rows.next() ? rows.getString(1) : null;
        }
      }
    });
  }

  private void serve(int port) throws IOException {
    HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
    server.setExecutor(Executors.newFixedThreadPool(8));
    server.createContext("/", this::answer);
    Runtime.getRuntime().addShutdownHook(new Thread(client::close)); // no route change waits for it then
    server.start();
    System.out.println("listening on " + server.getAddress().getPort());
  }

  private void answer(HttpExchange exchange) throws IOException {
    Matcher path = PATH.matcher(exchange.getRequestURI().getRawPath());
    if (!path.matches()) {
      reply(exchange, 404, "no such page");
      return;
    }
    String tenant = URLDecoder.decode(path.group(2), StandardCharsets.UTF_8);
    int number = Integer.parseInt(path.group(3));
    try {
      if (exchange.getRequestMethod().equals("PUT")) {
        // The caller alone looks at once, so the write does not wait: its token goes along, for the paths of its tenant.
        String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
        String token = put(tenant, number, body, false);
        String cookie = token == null ? "" : "writes=" + token + "; Max-Age=60; Path=" + path.group(1) + "; HttpOnly";
        if (token != null) exchange.getResponseHeaders().add("set-cookie", cookie);
        reply(exchange, 200, "stored");
        return;
      }
      String cookies = exchange.getRequestHeaders().getFirst("cookie");
      Matcher writes = COOKIE.matcher(cookies == null ? "" : cookies);
      String found = get(tenant, number, writes.find() ? writes.group(1) : null);
      reply(exchange, found == null ? 404 : 200, found == null ? "no such note" : found);
    } catch (Contract.Failed error) {
      boolean nothing = error.code.equals("closed") || error.code.equals("unavailable");
      reply(exchange, nothing ? 503 : 500, nothing ? "try again in a moment" : "read the note before you store it again");
    } catch (SQLException | RuntimeException error) {
      System.err.println(error.getMessage());
      reply(exchange, 500, "an error");
    }
  }

  private static void reply(HttpExchange exchange, int status, String text) throws IOException {
    byte[] body = text.getBytes(StandardCharsets.UTF_8);
    exchange.getResponseHeaders().add("content-type", "text/plain; charset=utf-8");
    try (exchange) {
      exchange.sendResponseHeaders(status, body.length);
      exchange.getResponseBody().write(body);
    }
  }
}
