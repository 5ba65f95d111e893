// SPDX-License-Identifier: Apache-2.0
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.FileInputStream;
import java.io.IOException;
import java.net.ConnectException;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URL;
import java.security.KeyStore;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;

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

	/** KEYSTORE: a PKCS #12 file; then it is HTTPS that is served, by Java's own TLS. */
	static HttpServer create(InetSocketAddress address) throws Exception {
		String file = System.getenv("KEYSTORE");
		if (file == null)
			return HttpServer.create(address, 256);
		char[] secret = "secret".toCharArray();
		KeyStore keys = KeyStore.getInstance("PKCS12");
		try (var in = new FileInputStream(file)) {
			keys.load(in, secret);
		}
		KeyManagerFactory managers = KeyManagerFactory.getInstance("SunX509");
		managers.init(keys, secret);
		SSLContext context = SSLContext.getInstance("TLS");
		context.init(managers.getKeyManagers(), null, null);
		HttpsServer server = HttpsServer.create(address, 256);
		server.setHttpsConfigurator(new HttpsConfigurator(context));
		return server;
	}

	public static void main(String[] args) throws Exception {
		HttpServer server = create(new InetSocketAddress("127.0.0.1", env("PORT", 0)));
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
