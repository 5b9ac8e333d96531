// pgjdbc: unnamed statements until prepareThreshold (5), then named ones with mixed result formats; BEGIN in the same batch as
// the first read where autocommit is off; portals with a row limit where there is a fetch size.

import java.sql.*;
import java.util.*;

public class Pgjdbc {
    static final String POINT = "SELECT id, name FROM items WHERE id = ?";
    static final String MANY = "SELECT id, name FROM items WHERE id > ? ORDER BY id";
    static final String TYPES = "SELECT id, name, ok, at, price, raw, extra, tags FROM items WHERE id = ?";
    static final String NAME = "SELECT name FROM items WHERE id = ?";
    static final String SCRATCH = "SELECT id, name FROM scratch ORDER BY id";

    static String text(String value) {
        if (value == null) return "null";
        StringBuilder out = new StringBuilder("\"");
        for (char c : value.toCharArray()) {
            if (c == '"' || c == '\\') out.append('\\').append(c);
            else if (c < ' ') out.append(String.format("\\u%04x", (int) c));
            else out.append(c);
        }
        return out.append('"').toString();
    }

    static void step(String name, String more) throws Exception {
        System.out.println("{\"step\":" + text(name) + (more.isEmpty() ? "" : "," + more) + "}");
        System.out.flush();
        int c;
        while ((c = System.in.read()) != '\n' && c >= 0) { }
    }

    static String rows(ResultSet result) throws Exception {
        StringBuilder out = new StringBuilder("\"rows\":[");
        int columns = result.getMetaData().getColumnCount();
        String comma = "";
        while (result.next()) {
            out.append(comma).append('[');
            for (int c = 1; c <= columns; c++) out.append(c > 1 ? "," : "").append(text(result.getString(c)));
            out.append(']');
            comma = ",";
        }
        result.close();
        return out.append(']').toString();
    }

    static String read(PreparedStatement statement, Object value) throws Exception {
        if (value instanceof Integer) statement.setInt(1, (Integer) value);
        else if (value != null) statement.setString(1, (String) value);
        return rows(statement.executeQuery());
    }

    static String read(Connection connection, String sql, Object value) throws Exception {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            return read(statement, value);
        }
    }

    static int run(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            return statement.executeUpdate(sql);
        }
    }

    static void fails(String name, Connection connection, String sql) throws Exception {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
            step(name, "\"error\":\"none\"");
        } catch (SQLException error) {
            step(name, "\"sqlstate\":" + text(error.getSQLState()) + ",\"message\":" + text(error.getMessage()));
        }
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> env = System.getenv();
        String url = "jdbc:postgresql://" + env.get("PGHOST") + ":" + env.get("PGPORT") + "/" + env.get("PGDATABASE");
        Properties properties = new Properties();
        properties.put("user", env.get("PGUSER"));
        if (env.containsKey("PGPASSWORD")) properties.put("password", env.get("PGPASSWORD"));
        properties.put("sslmode", env.getOrDefault("PGSSLMODE", "disable"));
        try (Connection connection = DriverManager.getConnection(url, properties)) {
            step("connect", "\"version\":" + text("pgjdbc " + connection.getMetaData().getDriverVersion()));
            step("plain point", read(connection, POINT, 3));
            step("plain many", read(connection, MANY, 5));
            step("plain types", read(connection, TYPES, 2));
            step("plain nulls", read(connection, TYPES, 11));
            step("plain text", read(connection, "SELECT id FROM items WHERE name = ?", "it's \\ 2"));
            try (Statement statement = connection.createStatement()) {
                step("plain statement", rows(statement.executeQuery("SELECT id, name FROM items WHERE id = 3")));
            }
            try (PreparedStatement prepared = connection.prepareStatement("SELECT id, name, price, at FROM items WHERE id = ?")) {
                for (int n = 1; n <= 7; n++) step("prepared " + n, read(prepared, n));
            }
            connection.setAutoCommit(false);
            step("transaction point", read(connection, POINT, 3));
            step("transaction many", read(connection, MANY, 5));
            connection.commit();
            step("commit", "");
            connection.setReadOnly(true);
            step("transaction read only", read(connection, POINT, 3));
            connection.commit();
            connection.setReadOnly(false);
            try (PreparedStatement sized = connection.prepareStatement(MANY)) {
                sized.setFetchSize(2);
                step("limit fetch size", read(sized, 5));
            }
            connection.commit();
            try (PreparedStatement limited = connection.prepareStatement(MANY)) {
                limited.setMaxRows(2);
                step("limit max rows", read(limited, 5));
            }
            connection.commit();
            connection.setAutoCommit(true);
            step("write insert", "\"count\":" + run(connection, "INSERT INTO scratch VALUES (1, 'one')"));
            step("write read", read(connection, SCRATCH, null));
            step("write again", read(connection, SCRATCH, null));
            fails("error division", connection, "SELECT 1 / (id - id) FROM items");
            connection.setAutoCommit(false);
            fails("error unique", connection, "INSERT INTO scratch VALUES (1, 'again')");
            fails("failed transaction", connection, "SELECT id FROM items WHERE id = 3");
            connection.rollback();
            step("failed rollback", read(connection, POINT, 3));
            connection.rollback();
            run(connection, "INSERT INTO scratch VALUES (2, 'two')");
            Savepoint here = connection.setSavepoint();
            fails("savepoint error", connection, "INSERT INTO scratch VALUES (1, 'again')");
            connection.rollback(here);
            connection.commit();
            step("savepoint read", read(connection, SCRATCH, null));
            connection.commit();
            connection.setAutoCommit(true);
            step("clean", "\"count\":" + run(connection, "DELETE FROM scratch"));
        }
        properties.put("autosave", "always");
        try (Connection connection = DriverManager.getConnection(url, properties)) {
            connection.setAutoCommit(false);
            step("transaction autosave", read(connection, POINT, 3));
            step("transaction autosave again", read(connection, POINT, 3));
            connection.commit();
        }
        step("close", "");
    }
}
