package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync/atomic"
)

// Replicas echo. The pattern "fail" is answered with an error, the pattern "stream" with three responses, and all
// others with their data.

const (
	readBytes   = 64 << 10
	streamItems = 3
)

type replica struct {
	listener net.Listener
	requests atomic.Int64
}

// serveReplicas listens, prints the ports, and then answers each line on stdin with the requests per replica.
func serveReplicas(arguments []string) {
	flags := flag.NewFlagSet("replicas", flag.ExitOnError)
	count := flags.Int("count", 3, "how many")
	_ = flags.Parse(arguments)
	replicas := make([]*replica, *count)
	ports := make([]int, *count)
	for n := range replicas {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			fail(err.Error())
		}
		replicas[n] = &replica{listener: listener}
		ports[n] = listener.Addr().(*net.TCPAddr).Port
		go replicas[n].accept()
	}
	printLine(ports)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		counts := make([]int64, len(replicas))
		for n, one := range replicas {
			counts[n] = one.requests.Load()
		}
		printLine(counts)
	}
}

func printLine(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		fail(err.Error())
	}
	fmt.Println(string(line))
}

func (r *replica) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		go r.serve(conn)
	}
}

func (r *replica) serve(conn net.Conn) {
	defer conn.Close()
	var out []byte
	in := newInbox(readBytes)
	for {
		if err := in.read(conn); err != nil {
			if err != io.EOF && len(in.rest()) > 0 {
				fmt.Fprintln(os.Stderr, "replica: "+err.Error())
			}
			return
		}
		var err error
		if out, err = r.answerAll(in, out[:0]); err != nil {
			fmt.Fprintln(os.Stderr, "replica: "+err.Error())
			return
		}
		if len(out) == 0 {
			continue
		}
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

// answerAll answers all whole frames of one read, so that one write carries all answers.
func (r *replica) answerAll(in *inbox, out []byte) ([]byte, error) {
	var request packet
	for {
		body, err := in.next()
		if body == nil || err != nil {
			return out, err
		}
		if !request.parse(body) {
			return out, fmt.Errorf("a message that cannot be read: %.200q", body)
		}
		if request.id == nil {
			continue
		}
		r.requests.Add(1)
		out = answer(out, &request)
	}
}

func answer(out []byte, request *packet) []byte {
	switch string(request.pattern) {
	case `"fail"`:
		return appendReply(out, `{"err":{"status":"error","message":`, request.data, `},"isDisposed":true,"id":`, request.id)
	case `"stream"`:
		for item := 1; item < streamItems; item++ {
			out = appendReply(out, `{"response":[`+strconv.Itoa(item)+`,`, request.data, `],"id":`, request.id)
		}
		last := `{"response":[` + strconv.Itoa(streamItems) + `,`
		return appendReply(out, last, request.data, `],"isDisposed":true,"id":`, request.id)
	}
	return appendReply(out, `{"response":`, request.data, `,"isDisposed":true,"id":`, request.id)
}

func appendReply(out []byte, before string, data []byte, between string, id []byte) []byte {
	units := len(before) + unitsOf(data) + len(between) + unitsOf(id) + 1
	out = strconv.AppendInt(out, int64(units), 10)
	out = append(out, '#')
	out = append(out, before...)
	out = append(out, data...)
	out = append(out, between...)
	out = append(out, id...)
	return append(out, '}')
}
