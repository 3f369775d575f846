package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	sampleEvery  = 50 * time.Millisecond
	shownReports = 3
)

// run is one measurement: all callers at once, a while unmeasured, then measured.
type run struct {
	window    int
	templates []template
	began     time.Time
	measuring atomic.Bool
	stopping  atomic.Bool
	sent      atomic.Int64
	answered  atomic.Int64
	latency   histogram

	mutex    sync.Mutex
	problems []string
}

// result is what the run prints. CPU and memory are those of the processes that were named.
type result struct {
	Requests int64            `json:"requests"`
	Seconds  float64          `json:"seconds"`
	P50      int64            `json:"p50_ns"`
	P99      int64            `json:"p99_ns"`
	CPU      map[string]int64 `json:"cpu_ns"`
	RSS      map[string]int64 `json:"rss_bytes"`
	Sent     int64            `json:"sent"`
	Answered int64            `json:"answered"`
	Problems []string         `json:"problems"`
}

func (r *run) now() int64 { return int64(time.Since(r.began)) }

// options are what one measurement is asked for.
type options struct {
	targets             string
	connections, window int
	size                int
	mix                 bool
	rate                int
	warmup, span        time.Duration
	watched             processes
}

func readOptions(arguments []string) options {
	var o options
	o.watched = processes{"load": {os.Getpid()}}
	flags := flag.NewFlagSet("call", flag.ExitOnError)
	flags.StringVar(&o.targets, "targets", "", "HOST:PORT,... that callers dial in turn")
	flags.IntVar(&o.connections, "connections", 16, "callers")
	flags.IntVar(&o.window, "window", 1, "requests in flight per caller")
	flags.IntVar(&o.size, "size", 0, "bytes of data; 0: as few as make the message 64 bytes")
	flags.BoolVar(&o.mix, "mix", false, "send the mix of messages instead")
	flags.IntVar(&o.rate, "rate", 0, "requests per second of all callers together, answered or not; 0: as windows allow")
	flags.DurationVar(&o.warmup, "warmup", 300*time.Millisecond, "time before measuring")
	flags.DurationVar(&o.span, "time", time.Second, "time of measuring")
	flags.Var(o.watched, "watch", "NAME=PID,...: processes whose CPU and memory are measured; may be repeated")
	_ = flags.Parse(arguments)
	return o
}

// callAll runs one measurement and prints its result.
func callAll(arguments []string) {
	o := readOptions(arguments)
	r := &run{window: o.window, templates: templates(o.mix, o.size), began: time.Now(), problems: []string{}}
	callers, err := r.connect(strings.Split(o.targets, ","), o.connections, o.warmup+o.span+answerWithin)
	if err != nil {
		fail(err.Error())
	}
	var done sync.WaitGroup
	start := func(work func() error) {
		done.Add(1)
		go func() {
			defer done.Done()
			r.report(work())
		}()
	}
	if o.rate > 0 {
		r.startPaced(callers, newSchedule(o), start)
	} else {
		for _, one := range callers {
			start(one.work)
		}
	}
	outcome := r.measure(o.warmup, o.span, o.watched)
	done.Wait()
	for _, one := range callers {
		_ = one.conn.Close()
	}
	shares := r.latency.quantiles(0.5, 0.99)
	outcome.P50, outcome.P99 = shares[0], shares[1]
	outcome.Sent, outcome.Answered, outcome.Problems = r.sent.Load(), r.answered.Load(), r.problems
	printLine(outcome)
}

// connect opens all connections; each of them ends by itself where answers stay away.
func (r *run) connect(targets []string, connections int, within time.Duration) ([]*caller, error) {
	callers := make([]*caller, connections)
	for n := range callers {
		conn, err := net.DialTimeout("tcp", targets[n%len(targets)], answerWithin)
		if err != nil {
			return nil, err
		}
		_ = conn.SetDeadline(time.Now().Add(within))
		callers[n] = newCaller(n, conn, r)
	}
	return callers, nil
}

func (r *run) report(err error) {
	if err == nil {
		return
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if len(r.problems) < shownReports {
		r.problems = append(r.problems, fmt.Sprint(err))
	}
}

// measure waits, looks at the clocks, waits while it samples memory, and looks at the clocks again.
func (r *run) measure(warmup, span time.Duration, watched processes) result {
	time.Sleep(warmup)
	r.measuring.Store(true)
	began, answered, cpu, rss := time.Now(), r.answered.Load(), watched.cpu(), watched.rss()
	for end := began.Add(span); time.Now().Before(end); {
		time.Sleep(min(sampleEvery, time.Until(end)))
		for name, bytes := range watched.rss() {
			rss[name] = max(rss[name], bytes)
		}
	}
	after := watched.cpu()
	outcome := result{Requests: r.answered.Load() - answered, Seconds: time.Since(began).Seconds(), RSS: rss}
	r.measuring.Store(false)
	r.stopping.Store(true)
	for name, before := range cpu {
		cpu[name] = after[name] - before
	}
	outcome.CPU = cpu
	return outcome
}
