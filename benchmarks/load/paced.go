package main

import (
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// The open loop: requests leave at a fixed rate, whether or not earlier ones were answered. Latency counts from the time
// at which a request was due, so it includes all waiting, that for a late sender too (no coordinated omission).

// schedule says when each request is due: number k is due k intervals after the start, at the callers in turn.
type schedule struct {
	interval        time.Duration
	total, warmedUp int // all requests, and those of them that are not measured
}

func newSchedule(o options) schedule {
	interval := time.Second / time.Duration(o.rate)
	return schedule{interval: interval, total: int((o.warmup + o.span) / interval), warmedUp: int(o.warmup / interval)}
}

// startPaced starts a goroutine that sends for all callers, and one for each caller that checks its answers.
func (r *run) startPaced(callers []*caller, plan schedule, start func(func() error)) {
	for k := range plan.total {
		callers[k%len(callers)].due++
	}
	for _, one := range callers {
		for n := range one.places {
			one.free = append(one.free, n)
		}
		one.answered = one.release
		start(one.collect)
	}
	start(func() error { return r.pace(callers, plan) })
}

// pace sends each request when it is due, or as soon after that as it can.
func (r *run) pace(callers []*caller, plan schedule) error {
	ticks, err := newTicks(plan.interval)
	if err != nil {
		return err
	}
	defer ticks.Close()
	began := r.now()
	due := func(k int) int64 { return began + int64(k)*int64(plan.interval) }
	for k := 0; k < plan.total; {
		for now := r.now(); k < plan.total && due(k) <= now; k++ {
			if err := callers[k%len(callers)].sendDue(due(k), k >= plan.warmedUp); err != nil {
				return err
			}
		}
		if err := ticks.wait(); err != nil {
			return err
		}
	}
	return nil
}

// sendDue sends one request, at a new place if all are taken.
func (c *caller) sendDue(due int64, measured bool) error {
	if err := c.stampDue(due, measured); err != nil {
		return err
	}
	return c.flush()
}

func (c *caller) stampDue(due int64, measured bool) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if len(c.free) == 0 {
		c.free = append(c.free, c.addPlace())
	}
	last := len(c.free) - 1
	n := c.free[last]
	c.free = c.free[:last]
	return c.send(n, due, measured)
}

// release frees the place of an answered request.
func (c *caller) release(n int, _ int64) error {
	c.free = append(c.free, n)
	c.due--
	return nil
}

// collect checks answers until all requests of the schedule are answered.
func (c *caller) collect() error {
	for c.due > 0 {
		if err := c.turn(); err != nil {
			return err
		}
	}
	return c.linger()
}

// ticks is a timer of the kernel. Go's own timers are as coarse as a millisecond in a process that has nothing to do.
type ticks struct{ *os.File }

func newTicks(interval time.Duration) (ticks, error) {
	const monotonic = 1
	flags := uintptr(syscall.O_NONBLOCK | syscall.O_CLOEXEC)
	fd, _, errno := syscall.Syscall(syscall.SYS_TIMERFD_CREATE, monotonic, flags, 0)
	if errno != 0 {
		return ticks{}, fmt.Errorf("no timer: %w", errno)
	}
	timer := ticks{os.NewFile(fd, "timer")}
	each := syscall.NsecToTimespec(int64(interval))
	period := [2]syscall.Timespec{each, each} // the time between ticks, and that before the first one
	if _, _, errno := syscall.Syscall6(
		syscall.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&period)), 0, 0, 0,
	); errno != 0 {
		return ticks{}, fmt.Errorf("the timer cannot be set: %w", errno)
	}
	return timer, nil
}

// wait returns at the next tick, at once if one has passed since the last call.
func (t ticks) wait() error {
	var passed [8]byte
	_, err := t.Read(passed[:])
	return err
}
