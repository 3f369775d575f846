package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// A caller is one connection. In the closed loop, which is `work`, it has a window: as many requests in flight as that,
// each answer making room for the next request. All requests that one read makes room for leave in one write. The open
// loop is in paced.go.

const (
	answerWithin = 20 * time.Second
	lingering    = 50 * time.Millisecond
	largeFrame   = 16 << 10
)

// place is one of the window's places, and the request that is in flight there. Its latency counts from `since`.
type place struct {
	messages []*message
	current  *message
	number   uint64
	since    int64
	items    int
	waiting  bool
	measured bool
}

type caller struct {
	serial   int
	conn     net.Conn
	in       *inbox
	out      []byte
	run      *run
	answered func(n int, now int64) error // what follows the last answer to the request of a place

	mutex   sync.Mutex // guards what is below: in the open loop, one goroutine sends and another one reads
	places  []place
	waiting int
	free    []int
	due     int
}

func newCaller(serial int, conn net.Conn, run *run) *caller {
	c := &caller{serial: serial, conn: conn, run: run}
	c.answered = c.sendNext
	for range run.window {
		c.addPlace()
	}
	c.in = newInbox(min(max(4<<10, 2*run.window*len(c.places[0].messages[0].frame)), 256<<10))
	return c
}

// addPlace makes room for one more request in flight, and returns its place.
func (c *caller) addPlace() int {
	n := len(c.places)
	added := place{number: uint64(c.serial + n)} // so that a mix is a mix from the first write on
	for _, one := range c.run.templates {
		added.messages = append(added.messages, one.build())
	}
	c.places = append(c.places, added)
	return n
}

// work sends and checks until the run stops, and then until all is answered.
func (c *caller) work() error {
	now := c.run.now()
	for n := range c.places {
		if err := c.sendNext(n, now); err != nil {
			return err
		}
	}
	if err := c.flush(); err != nil {
		return err
	}
	for c.waiting > 0 {
		if err := c.turn(); err != nil {
			return err
		}
		if err := c.flush(); err != nil {
			return err
		}
	}
	return c.linger()
}

// sendNext sends the next request of a place, unless the run stops.
func (c *caller) sendNext(n int, now int64) error {
	if c.run.stopping.Load() {
		return nil
	}
	return c.send(n, now, c.run.measuring.Load())
}

// turn takes what one read brings. In the closed loop, flush then sends as many requests as it made room for.
func (c *caller) turn() error {
	err := c.in.read(c.conn)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if err != nil {
		return fmt.Errorf("%d requests were not answered: %w", c.waiting, err)
	}
	now, answered, items := c.run.now(), 0, 0
	var reply packet
	for {
		body, err := c.in.next()
		if err != nil {
			return err
		}
		if body == nil {
			break
		}
		items++
		n, err := c.take(body, &reply, now)
		if err != nil {
			return err
		}
		if n < 0 {
			continue
		}
		answered++
		if err := c.answered(n, now); err != nil {
			return err
		}
	}
	c.run.answered.Add(int64(answered))
	return nil
}

// take checks one answer; it returns the place that is free with it, or -1 while more are due.
func (c *caller) take(body []byte, reply *packet, now int64) (int, error) {
	if !reply.parse(body) {
		return -1, fmt.Errorf("an answer that cannot be read: %.200q", body)
	}
	n := placeOf(reply.id)
	if n < 0 || n >= len(c.places) || !c.places[n].waiting {
		return -1, fmt.Errorf("an answer that nobody waits for: %.200q", body)
	}
	p := &c.places[n]
	p.items++
	if !p.current.check(reply, p.items) {
		return -1, fmt.Errorf("an answer of another request, or not its own: %.200q", body)
	}
	if p.items < p.current.wantItems {
		return -1, nil
	}
	p.waiting = false
	c.waiting--
	if p.measured {
		c.run.latency.add(now - p.since)
	}
	return n, nil
}

// send stamps the next request of a place. Small ones wait for flush.
func (c *caller) send(n int, since int64, measured bool) error {
	p := &c.places[n]
	p.current = p.messages[p.number%uint64(len(p.messages))]
	p.current.stamp(c.serial, n, p.number)
	p.number++
	p.items, p.since, p.waiting, p.measured = 0, since, true, measured
	c.waiting++
	c.run.sent.Add(1)
	if len(p.current.frame) < largeFrame {
		c.out = append(c.out, p.current.frame...)
		return nil
	}
	_, err := c.conn.Write(p.current.frame)
	return err
}

func (c *caller) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

// linger makes sure that nothing comes after the last answer.
func (c *caller) linger() error {
	_ = c.conn.SetReadDeadline(time.Now().Add(lingering))
	err := c.in.read(c.conn)
	if len(c.in.rest()) > 0 {
		return fmt.Errorf("something came after the last answer: %.200q", c.in.rest())
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the connection ended: %w", err)
	}
	return nil
}
