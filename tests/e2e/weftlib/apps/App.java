// SPDX-License-Identifier: Apache-2.0
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.ConnectException;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URL;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;

/** The JDK's own server on a pool of threads, HttpURLConnection (which keeps connections) to call out. */
public class App {
	static final int NEXT = env("NEXT", 0), DEAD = env("DEAD", 9), POOL = env("POOL", 0);
	static final int BEAT = env("BACKGROUND_MS", 0);
	static final Semaphore slots = new Semaphore(POOL > 0 ? POOL : 1000, true);

	static int env(String name, int other) {
		String value = System.getenv(name);
		return value == null || value.isEmpty() ? other : Integer.parseInt(value);
	}

	static int fetch(String path) throws Exception {
		slots.acquire();
		try {
			URL url = new URL("http://127.0.0.1:" + NEXT + path);
			HttpURLConnection call = (HttpURLConnection)url.openConnection();
			if (POOL == 0)
				call.setRequestProperty("Connection", "close");
			int status = call.getResponseCode();
			try (var in = status < 400 ? call.getInputStream() : call.getErrorStream()) {
				in.readAllBytes();
			}
			return status;
		} finally {
			slots.release();
		}
	}

	static void fan(String... paths) throws IOException {
		Socket[] sockets = new Socket[paths.length];
		for (int i = 0; i < paths.length; i++) {
			sockets[i] = new Socket("127.0.0.1", NEXT);
			String head = "GET " + paths[i] + " HTTP/1.1\r\nHost: next\r\nConnection: close\r\n\r\n";
			sockets[i].getOutputStream().write(head.getBytes());
		}
		for (Socket socket : sockets) {
			socket.getInputStream().readAllBytes();
			socket.close();
		}
	}

	static String work(String path) throws Exception {
		String[] part = path.substring(1).split("/");
		String token = part[1];
		switch (part[0]) {
		case "call":
			fetch("/leaf/" + token);
			break;
		case "fan":
			fan("/leaf/" + token + ".a", "/leaf/" + token + ".b");
			break;
		case "timer":
			Thread.sleep(3);
			fetch("/leaf/" + token);
			break;
		case "retry":
			if (fetch("/fail/" + token + ".1") == 503)
				fetch("/leaf/" + token + ".2");
			break;
		case "refuse":
			try {
				new Socket(part[2], DEAD).close();
			} catch (ConnectException e) {
			}
			fetch("/leaf/" + token + ".2");
			break;
		case "after":
			return "/leaf/" + token + ".after";
		}
		return null;
	}

	public static void main(String[] args) throws Exception {
		HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", env("PORT", 0)), 256);
		server.setExecutor(Executors.newFixedThreadPool(64));
		server.createContext("/", exchange -> {
			try {
				String after = work(exchange.getRequestURI().getPath());
				exchange.sendResponseHeaders(200, 3);
				exchange.getResponseBody().write("ok\n".getBytes());
				exchange.close();
				if (after != null)
					fetch(after);
			} catch (Exception e) {
				throw new IOException(e);
			}
		});
		server.start();
		for (int n = 1; BEAT > 0; n++) {
			Thread.sleep(BEAT);
			fan("/leaf/bg." + n);
		}
	}
}
