package main

import "io"

// inbox collects what is read from a connection, and gives it out frame by frame without copying.
type inbox struct {
	buffer     []byte
	start, end int
}

func newInbox(size int) *inbox { return &inbox{buffer: make([]byte, size)} }

func (in *inbox) rest() []byte { return in.buffer[in.start:in.end] }

// read waits for more bytes. Bodies given out before are invalid from here on.
func (in *inbox) read(from io.Reader) error {
	if in.start == in.end {
		in.start, in.end = 0, 0
	} else if in.start > 0 && len(in.buffer)-in.end < len(in.buffer)/4 {
		in.end = copy(in.buffer, in.rest())
		in.start = 0
	}
	if len(in.buffer)-in.end < len(in.buffer)/4 {
		in.buffer = append(in.buffer, make([]byte, len(in.buffer))...)
	}
	count, err := from.Read(in.buffer[in.end:])
	in.end += count
	if count > 0 {
		return nil
	}
	return err
}

// next returns the body of the next whole frame, or nil.
func (in *inbox) next() ([]byte, error) {
	body, end, err := cut(in.rest())
	in.start += end
	return body, err
}
