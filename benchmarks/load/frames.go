package main

import (
	"encoding/binary"
	"errors"
	"strconv"
)

// A frame is `<length>#<json>`; the length counts UTF-16 units, the body is UTF-8.

const (
	maxPrefix = 12
	highBits  = 0x8080808080808080
)

var errPrefix = errors.New("no length before #")

// cut finds the first whole frame. end is 0 while bytes are missing.
func cut(buffer []byte) (body []byte, end int, err error) {
	length := 0
	for at, char := range buffer {
		if char == '#' && at > 0 {
			size := bodySize(buffer[at+1:], length)
			if size < 0 {
				return nil, 0, nil
			}
			end = at + 1 + size
			return buffer[at+1 : end], end, nil
		}
		if char < '0' || char > '9' || at == maxPrefix {
			return nil, 0, errPrefix
		}
		length = length*10 + int(char-'0')
	}
	return nil, 0, nil
}

// bodySize says how many bytes the given number of units takes, or -1 while they are not all there.
func bodySize(rest []byte, units int) int {
	if len(rest) < units {
		return -1
	}
	at := asciiPrefix(rest[:units])
	for left := units - at; left > 0; {
		if at >= len(rest) {
			return -1
		}
		width, count := sequence(rest[at])
		at += width
		left -= count
	}
	if at > len(rest) {
		return -1
	}
	return at
}

// sequence says how many bytes a character takes, and how many units.
func sequence(first byte) (width, units int) {
	switch {
	case first < 0x80:
		return 1, 1
	case first < 0xE0:
		return 2, 1
	case first < 0xF0:
		return 3, 1
	}
	return 4, 2
}

// asciiPrefix counts the bytes before the first one that is not ASCII, eight at a time.
func asciiPrefix(text []byte) int {
	at := 0
	for ; at+8 <= len(text); at += 8 {
		if binary.LittleEndian.Uint64(text[at:])&highBits != 0 {
			break
		}
	}
	for at < len(text) && text[at] < 0x80 {
		at++
	}
	return at
}

// unitsOf counts UTF-16 units.
func unitsOf(text []byte) int {
	at := asciiPrefix(text)
	units := at
	for at < len(text) {
		width, count := sequence(text[at])
		at += width
		units += count
	}
	return units
}

// frame puts the length before a body.
func frame(body []byte) []byte {
	out := strconv.AppendInt(nil, int64(unitsOf(body)), 10)
	return append(append(out, '#'), body...)
}
