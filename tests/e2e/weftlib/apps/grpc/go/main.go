// SPDX-License-Identifier: Apache-2.0
// What ../echo.py does, in Go.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/improbable-eng/grpc-web/go/grpcweb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const count = 3

// Messages are bytes.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}
func (raw) Name() string { return "proto" }

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func handle(next *grpc.ClientConn) grpc.StreamHandler {
	return func(_ any, stream grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(stream)
		var all []byte
		for {
			var m []byte
			err := stream.RecvMsg(&m)
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			all = append(all, m...)
			if strings.HasSuffix(method, "/Both") {
				if err := stream.SendMsg(&m); err != nil {
					return err
				}
			}
		}
		n := 1
		switch method {
		case "/t.Echo/Both":
			return nil
		case "/t.Echo/Down":
			n = count
		case "/t.Echo/Unary", "/t.Echo/Up":
		case "/t.Echo/Pass":
			var reply []byte
			asked, _ := metadata.FromIncomingContext(stream.Context())
			context := metadata.AppendToOutgoingContext(stream.Context(), "x-number", asked["x-number"][0])
			if err := next.Invoke(context, "/t.Echo/Unary", &all, &reply); err != nil {
				return err
			}
			all = reply
		case "/t.Echo/Fail":
			return status.Error(codes.NotFound, "no such thing")
		default:
			return status.Error(codes.Unimplemented, "no such method")
		}
		for range n {
			if err := stream.SendMsg(&all); err != nil {
				return err
			}
		}
		return nil
	}
}

var dir = os.Getenv("TLS") // with cert.pem and key.pem

func dial(port string) *grpc.ClientConn {
	with := insecure.NewCredentials()
	if dir != "" {
		var err error
		with, err = credentials.NewClientTLSFromFile(dir+"/cert.pem", "")
		must(err)
	}
	conn, err := grpc.NewClient("passthrough:///127.0.0.1:"+port, grpc.WithTransportCredentials(with),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	must(err)
	return conn
}

func serve(port string, next *grpc.ClientConn, web bool) {
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	must(err)
	options := []grpc.ServerOption{grpc.ForceServerCodec(raw{}), grpc.UnknownServiceHandler(handle(next))}
	if dir != "" {
		with, err := credentials.NewServerTLSFromFile(dir+"/cert.pem", dir+"/key.pem")
		must(err)
		options = append(options, grpc.Creds(with))
	}
	server := grpc.NewServer(options...)
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	go func() {
		<-ended
		server.Stop()
	}()
	if web {
		must(http.Serve(listener, grpcweb.WrapServer(server)))
	}
	must(server.Serve(listener))
}

func ask(conn *grpc.ClientConn, name string, message []byte, token string) error {
	up, down := name == "Up" || name == "Both", name == "Down" || name == "Both"
	stream, err := conn.NewStream(metadata.AppendToOutgoingContext(context.Background(), "x-number", token),
		&grpc.StreamDesc{ClientStreams: up, ServerStreams: down}, "/t.Echo/"+name)
	if err != nil {
		return err
	}
	sends := 1
	if up {
		sends = count
	}
	for range sends {
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	got := 0
	for {
		var m []byte
		err := stream.RecvMsg(&m)
		if code := status.Code(err); code == codes.NotFound || code == codes.Unimplemented {
			return nil
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		got += len(m)
		if !down { // a stream of one reply ends with it
			break
		}
	}
	want := len(message)
	if up || down {
		want *= count
	}
	if got != want {
		return fmt.Errorf("%d bytes, not %d", got, want)
	}
	return nil
}

func main() {
	if strings.HasPrefix(os.Args[1], "serve") { // serve-web: as gRPC-Web
		var next *grpc.ClientConn
		if len(os.Args) > 3 {
			next = dial(os.Args[3])
		}
		serve(os.Args[2], next, os.Args[1] == "serve-web")
		return
	}
	number := func(i int) int { n, err := strconv.Atoi(os.Args[i]); must(err); return n }
	conn, n, atOnce, message := dial(os.Args[2]), number(4), number(5), []byte(strings.Repeat("x", number(6)))
	var group sync.WaitGroup
	places := make(chan bool, atOnce)
	for _, name := range strings.Split(os.Args[3], ",") {
		for i := range n {
			places <- true
			group.Add(1)
			go func() {
				defer func() { <-places; group.Done() }()
				must(ask(conn, name, message, fmt.Sprintf("%s-%d", name, i)))
			}()
		}
		group.Wait()
	}
	must(conn.Close())
}
