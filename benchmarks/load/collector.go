package main

import (
	"io"
	"net"
	"net/http"
)

// serveCollector takes traces and metrics over OTLP/HTTP, and throws them away.
func serveCollector() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail(err.Error())
	}
	printLine([]int{listener.Addr().(*net.TCPAddr).Port})
	err = http.Serve(listener, http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body)
		answer.Header().Set("Content-Type", "application/x-protobuf")
	}))
	fail(err.Error())
}
