// Notes of many tenants, from the command line: `put TENANT NUMBER TEXT`, `get TENANT NUMBER [TOKEN]`. CLASSIC_URL and
// LIMITLESS_URL are JDBC URLs; DB_USER and DB_PASSWORD log in on both, unless LIMITLESS_USER and LIMITLESS_PASSWORD say otherwise.

import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.util.Map;

public final class Notes {
  public static void main(String[] given) throws Exception {
    Map<String, String> env = System.getenv();
    String user = env.get("DB_USER");
    String password = env.get("DB_PASSWORD");
    Contract.Server classic = new Contract.Server(env.get("CLASSIC_URL"), user, password);
    Contract.Server limitless = new Contract.Server(env.get("LIMITLESS_URL"),
        env.getOrDefault("LIMITLESS_USER", user), env.getOrDefault("LIMITLESS_PASSWORD", password));
    String tenant = given[1];
    int number = Integer.parseInt(given[2]);
    try (Contract client = new Contract(classic, limitless, "notes")) {
      if (given[0].equals("put")) {
        Contract.Wrote<Integer> wrote = client.write(tenant, true, conn -> {
          String put = "INSERT INTO app.note VALUES (?, ?, ?) ON CONFLICT (tenant_id, id) DO UPDATE SET body = EXCLUDED.body";
          try (PreparedStatement made = conn.prepareStatement(put)) {
            made.setString(1, tenant);
            made.setInt(2, number);
            made.setString(3, given[3]);
            return made.executeUpdate();
          }
        });
        System.out.println(wrote.token());
      } else {
        System.out.println(client.<String>read(tenant, given.length > 3 ? given[3] : null, conn -> {
          try (PreparedStatement made = conn.prepareStatement("SELECT body FROM app.note WHERE tenant_id = ? AND id = ?")) {
            made.setString(1, tenant);
            made.setInt(2, number);
            try (ResultSet rows = made.executeQuery()) {
              return rows.next() ? rows.getString(1) : "no such note";
            }
          }
        }));
      }
    }
  }
}
