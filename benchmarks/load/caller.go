package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// A caller is one connection with a window: as many requests in flight as that, each answer making room for the next
// request. All requests that one read makes room for leave in one write.

const (
	answerWithin = 20 * time.Second
	lingering    = 50 * time.Millisecond
	largeFrame   = 16 << 10
)

// place is one of the window's places, and the request that is in flight there.
type place struct {
	messages []*message
	current  *message
	number   uint64
	sentAt   int64
	items    int
	waiting  bool
}

type caller struct {
	serial  int
	conn    net.Conn
	in      *inbox
	out     []byte
	places  []place
	waiting int
	run     *run
}

func newCaller(serial int, conn net.Conn, run *run) *caller {
	c := &caller{serial: serial, conn: conn, run: run, places: make([]place, run.window)}
	for n := range c.places {
		for _, one := range run.templates {
			c.places[n].messages = append(c.places[n].messages, one.build())
		}
		// So that a mix is a mix from the first write on.
		c.places[n].number = uint64(serial + n)
	}
	c.in = newInbox(min(max(4<<10, 2*run.window*len(c.places[0].messages[0].frame)), 256<<10))
	return c
}

// work sends and checks until the run stops, and then until all is answered.
func (c *caller) work() error {
	now := c.run.now()
	for n := range c.places {
		if err := c.send(n, now); err != nil {
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
	}
	return c.linger()
}

// turn takes what one read brings, and sends as many requests as it made room for.
func (c *caller) turn() error {
	if err := c.in.read(c.conn); err != nil {
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
		if !c.run.stopping.Load() {
			if err := c.send(n, now); err != nil {
				return err
			}
		}
	}
	c.run.answered.Add(int64(answered))
	return c.flush()
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
	if c.run.measuring.Load() {
		c.run.latency.add(now - p.sentAt)
	}
	return n, nil
}

// send stamps the next request of a place. Small ones wait for flush.
func (c *caller) send(n int, now int64) error {
	p := &c.places[n]
	p.current = p.messages[p.number%uint64(len(p.messages))]
	p.current.stamp(c.serial, n, p.number)
	p.number++
	p.items, p.sentAt, p.waiting = 0, now, true
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
