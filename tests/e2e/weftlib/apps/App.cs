// SPDX-License-Identifier: Apache-2.0

// ASP.NET Core: Kestrel and HttpClient, all of it asynchronous on the thread pool.
using System;
using System.IO;
using System.Net;
using System.Net.Http;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Threading.Tasks;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Hosting;

static class App
{
    static readonly string Tls = Environment.GetEnvironmentVariable("TLS"); // with cert.pem and app.p12
    static readonly HttpClient Pool = Client(Env("POOL"));

    static int Env(string name) => int.TryParse(Environment.GetEnvironmentVariable(name), out int n) ? n : 0;

    // Trust is the operating system's: SSL_CERT_FILE.
    static HttpClient Client(int connections)
    {
        var handler = new SocketsHttpHandler();
        if (connections > 0)
            handler.MaxConnectionsPerServer = connections;
        else
            handler.PooledConnectionLifetime = TimeSpan.Zero;
        return new HttpClient(handler);
    }

    static async Task<int> Fetch(HttpClient client, string path)
    {
        string to = Tls == null ? "http://127.0.0.1" : "https://localhost";
        using var reply = await client.GetAsync($"{to}:{Env("NEXT")}{path}");
        await reply.Content.ReadAsByteArrayAsync();
        return (int)reply.StatusCode;
    }

    static async Task Serve(HttpContext context)
    {
        string[] part = context.Request.Path.Value.Split('/');
        string op = part[1], token = part[2];
        switch (op)
        {
            case "call":
                await Fetch(Pool, $"/leaf/{token}");
                break;
            case "fan":
                using (HttpClient a = Client(0), b = Client(0))
                    await Task.WhenAll(Fetch(a, $"/leaf/{token}.a"), Fetch(b, $"/leaf/{token}.b"));
                break;
            case "timer":
                await Task.Delay(3);
                await Fetch(Pool, $"/leaf/{token}");
                break;
            case "retry":
                if (await Fetch(Pool, $"/fail/{token}.1") == 503)
                    await Fetch(Pool, $"/leaf/{token}.2");
                break;
            case "refuse":
                try
                {
                    using var client = new TcpClient();
                    await client.ConnectAsync(part[3], Env("DEAD"));
                }
                catch (SocketException)
                {
                }
                await Fetch(Pool, $"/leaf/{token}.2");
                break;
        }
        context.Response.ContentLength = 3;
        await context.Response.WriteAsync("ok\n");
        if (op == "after")
        {
            await context.Response.CompleteAsync();
            await Task.Delay(20); // until then it lies in a pipe, which another thread sends from
            await Fetch(Pool, $"/leaf/{token}.after");
        }
    }

    static async void Beat(int ms)
    {
        for (int n = 1; ; n++)
        {
            await Task.Delay(ms);
            using var client = Client(0);
            await Fetch(client, $"/leaf/bg.{n}");
        }
    }

    static void Main()
    {
        if (Env("BACKGROUND_MS") > 0)
            Beat(Env("BACKGROUND_MS"));
        new HostBuilder().ConfigureWebHost(host => host
            .UseKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, Env("PORT"), listen =>
            {
                if (Tls != null)
                    listen.UseHttps(new X509Certificate2(Path.Combine(Tls, "app.p12"), "secret"),
                        https => https.SslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13);
            }))
            .Configure(app => app.Run(Serve))).Build().Run();
    }
}
