// Command load is what the benchmark runs at both ends of a proxy: the replicas that answer, the callers that ask and
// check every answer, and a collector for traces. It is written in Go and scans messages by hand, so that it costs
// little beside what is measured.
package main

import (
	"fmt"
	"os"
)

const usage = "usage: load replicas --count N | load call --targets HOST:PORT,... [options] | load collector"

func main() {
	if len(os.Args) < 2 {
		fail(usage)
	}
	switch arguments := os.Args[2:]; os.Args[1] {
	case "replicas":
		serveReplicas(arguments)
	case "call":
		callAll(arguments)
	case "collector":
		serveCollector()
	default:
		fail(usage)
	}
}

func fail(line string) {
	fmt.Fprintln(os.Stderr, "load: "+line)
	os.Exit(2)
}
