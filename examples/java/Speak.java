// This client behind the line protocol of `migrator conformance`; one JSON object a line.
//
//   migrator conformance --command "java -cp DRIVER.jar:examples/java Speak"

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.LinkedHashMap;
import java.util.Map;

public final class Speak {
  private static final String PUT =
      "INSERT INTO app.note VALUES (?, ?, ?) ON CONFLICT (tenant_id, id) DO UPDATE SET body = EXCLUDED.body";
  private static final String GET = "SELECT body FROM app.note WHERE tenant_id = ? AND id = ?";

  private Contract client;
  private Contract.Reading open;
  private String openTenant;

  public static void main(String[] given) throws Exception {
    Speak speak = new Speak();
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      Map<String, Object> command = new Json(line).object();
      Map<String, Object> answer = new LinkedHashMap<>();
      answer.put("id", command.get("id"));
      try {
        answer.putAll(speak.done(command));
        answer.put("ok", true);
      } catch (Contract.Failed error) {
        answer.put("ok", false);
        answer.put("error", error.code);
        answer.put("text", error.getMessage());
      } catch (SQLException error) {
        String state = String.valueOf(error.getSQLState());
        answer.put("ok", false);
        answer.put("error", state.matches("08.*|53.*|57.*|null") ? "unavailable" : "other");
        answer.put("text", state + ": " + error.getMessage());
      }
      out.println(Json.text(answer));
    }
    if (speak.client != null) speak.client.close();
  }

  private Map<String, Object> done(Map<String, Object> command) throws SQLException, Contract.Failed {
    Map<String, Object> answer = new LinkedHashMap<>();
    String tenant = (String) command.get("tenant");
    Number key = (Number) command.get("key");
    switch ((String) command.get("do")) {
      case "start" -> {
        client = new Contract(server(command.get("classic")), server(command.get("limitless")), (String) command.get("name"));
        answer.put("process", client.process);
      }
      case "write" -> {
        boolean wait = !Boolean.FALSE.equals(command.get("wait"));
        Contract.Wrote<Void> wrote = client.write(tenant, wait, conn -> {
          try (PreparedStatement put = conn.prepareStatement(PUT)) {
            put.setString(1, tenant);
            put.setInt(2, key.intValue());
            put.setString(3, (String) command.get("body"));
            put.executeUpdate();
          }
          return null;
        });
        answer.put("side", wrote.side());
        answer.put("token", wrote.token());
      }
      case "read" -> {
        String[] side = new String[1];
        answer.put("body", client.read(tenant, (String) command.get("token"), conn -> {
          side[0] = conn.getMetaData().getURL().equals(limitless) ? "limitless" : "classic";
          return body(conn, tenant, key.intValue());
        }));
        answer.put("side", side[0]);
      }
      case "begin_read" -> {
        open = client.begin(tenant, null, false);
        openTenant = tenant;
        answer.put("side", open.side);
      }
      case "end_read" -> {
        try (Contract.Reading reading = open) {
          answer.put("body", body(reading.conn, openTenant, key.intValue()));
          answer.put("side", reading.side);
          reading.end();
        }
      }
      default -> throw new IllegalArgumentException("unknown command");
    }
    return answer;
  }

  private String limitless;

  private Contract.Server server(Object told) {
    Map<?, ?> parts = (Map<?, ?>) told;
    String url = "jdbc:postgresql://" + parts.get("host") + ":" + parts.get("port") + "/" + parts.get("database") + "?sslmode=disable";
    limitless = url; // the last one that is told
    return new Contract.Server(url, (String) parts.get("user"), (String) parts.get("password"));
  }

  private static String body(Connection conn, String tenant, int key) throws SQLException {
    try (PreparedStatement get = conn.prepareStatement(GET)) {
      get.setString(1, tenant);
      get.setInt(2, key);
      try (ResultSet rows = get.executeQuery()) {
        return rows.next() ? rows.getString(1) : null;
      }
    }
  }

  /** As much of JSON as the line protocol has: objects, texts, numbers, true, false, null. */
  private static final class Json {
    private final String text;
    private int at;

    Json(String text) {
      this.text = text;
    }

    Map<String, Object> object() {
      Map<String, Object> found = new LinkedHashMap<>();
      take('{');
      while (peek() != '}') {
        String name = string();
        take(':');
        found.put(name, value());
        if (peek() == ',') at++;
      }
      take('}');
      return found;
    }

    private Object value() {
      char first = peek();
      if (first == '"') return string();
      if (first == '{') return object();
      int from = at;
      while (",}".indexOf(text.charAt(at)) < 0) at++;
      String word = text.substring(from, at).trim();
      return switch (word) {
        case "true" -> Boolean.TRUE;
        case "false" -> Boolean.FALSE;
        case "null" -> null;
        default -> Long.valueOf(word);
      };
    }

    private String string() {
      StringBuilder found = new StringBuilder();
      take('"');
      while (text.charAt(at) != '"') {
        char next = text.charAt(at++);
        if (next == '\\') {
          next = text.charAt(at++);
          switch (next) {
            case 'n' -> next = '\n';
            case 't' -> next = '\t';
            case 'r' -> next = '\r';
            case 'b' -> next = '\b';
            case 'f' -> next = '\f';
            case 'u' -> {
              next = (char) Integer.parseInt(text.substring(at, at + 4), 16);
              at += 4;
            }
            default -> { }
          }
        }
        found.append(next);
      }
      at++;
      return found.toString();
    }

    private char peek() {
      while (text.charAt(at) == ' ') at++;
      return text.charAt(at);
    }

    private void take(char wanted) {
      if (peek() != wanted) throw new IllegalArgumentException("no JSON of the line protocol");
      at++;
    }

    static String text(Map<String, Object> values) {
      StringBuilder found = new StringBuilder("{");
      values.forEach((name, value) -> {
        if (found.length() > 1) found.append(", ");
        found.append(quoted(name)).append(": ");
        found.append(value instanceof String s ? quoted(s) : String.valueOf(value));
      });
      return found.append('}').toString();
    }

    private static String quoted(String value) {
      StringBuilder found = new StringBuilder("\"");
      for (char each : value.toCharArray()) {
        if (each == '"' || each == '\\') found.append('\\').append(each);
        else if (each < ' ') found.append(String.format("\\u%04x", (int) each));
        else found.append(each);
      }
      return found.append('"').toString();
    }
  }
}
