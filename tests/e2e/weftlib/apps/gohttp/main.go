// SPDX-License-Identifier: Apache-2.0

// Go's own net/http: a goroutine a connection.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

func env(name string) int {
	n, _ := strconv.Atoi(os.Getenv(name))
	return n
}

var (
	dir  = os.Getenv("TLS") // with cert.pem and key.pem
	pool = &http.Client{Transport: &http.Transport{TLSClientConfig: trust(),
		MaxConnsPerHost: env("POOL"), MaxIdleConnsPerHost: env("POOL"), DisableKeepAlives: env("POOL") == 0}}
	lone = &http.Client{Transport: &http.Transport{TLSClientConfig: trust(), DisableKeepAlives: true}}
)

func trust() *tls.Config {
	pem, err := os.ReadFile(os.Getenv("TLS") + "/cert.pem")
	if err != nil {
		return nil
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots}
}

func next(path string) string {
	if dir == "" {
		return fmt.Sprintf("http://127.0.0.1:%d%s", env("NEXT"), path)
	}
	return fmt.Sprintf("https://localhost:%d%s", env("NEXT"), path)
}

func fetch(client *http.Client, path string) int {
	reply, err := client.Get(next(path))
	if err != nil {
		log.Print(err)
		return 0
	}
	io.Copy(io.Discard, reply.Body)
	reply.Body.Close()
	return reply.StatusCode
}

func serve(w http.ResponseWriter, r *http.Request) {
	part := strings.Split(r.URL.Path, "/")
	op, token := part[1], part[2]
	switch op {
	case "call":
		fetch(pool, "/leaf/"+token)
	case "fan":
		var both sync.WaitGroup
		for _, x := range []string{".a", ".b"} {
			both.Add(1)
			go func(path string) {
				fetch(lone, path)
				both.Done()
			}("/leaf/" + token + x)
		}
		both.Wait()
	case "timer":
		time.Sleep(3 * time.Millisecond)
		fetch(pool, "/leaf/"+token)
	case "retry":
		if fetch(pool, "/fail/"+token+".1") == 503 {
			fetch(pool, "/leaf/"+token+".2")
		}
	case "refuse":
		if conn, err := net.Dial("tcp", fmt.Sprintf("%s:%d", part[3], env("DEAD"))); err == nil {
			conn.Close()
		}
		fetch(pool, "/leaf/"+token+".2")
	}
	w.Header().Set("Content-Length", "3")
	io.WriteString(w, "ok\n")
	if op == "after" {
		w.(http.Flusher).Flush()
		fetch(pool, "/leaf/"+token+".after")
	}
}

// Asks for one address after another, through a proxy.
func ask(addresses []string) {
	proxy, err := url.Parse(os.Getenv("https_proxy"))
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust(), Proxy: http.ProxyURL(proxy)}}
	for _, address := range addresses {
		reply, err := client.Get(address)
		if err != nil {
			log.Fatal(err)
		}
		io.Copy(io.Discard, reply.Body)
		reply.Body.Close()
	}
}

func main() {
	if len(os.Args) > 1 {
		ask(os.Args[1:])
		return
	}
	if beat := env("BACKGROUND_MS"); beat > 0 {
		go func() {
			for n := 1; ; n++ {
				time.Sleep(time.Duration(beat) * time.Millisecond)
				fetch(lone, fmt.Sprintf("/leaf/bg.%d", n))
			}
		}()
	}
	http.HandleFunc("/", serve)
	address := fmt.Sprintf("127.0.0.1:%d", env("PORT"))
	if dir != "" {
		log.Fatal(http.ListenAndServeTLS(address, dir+"/cert.pem", dir+"/key.pem", nil))
	}
	log.Fatal(http.ListenAndServe(address, nil))
}
