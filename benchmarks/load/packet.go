package main

import "bytes"

// packet holds what stands at the top level of a message, as it was written.
type packet struct {
	pattern, data, id, response, err []byte
	disposed                         bool
}

// parse takes a JSON object apart, as far as the benchmark needs it. It reports whether it could.
func (p *packet) parse(body []byte) bool {
	*p = packet{}
	if len(body) < 2 || body[0] != '{' {
		return false
	}
	for at := 1; ; at++ {
		if at >= len(body) || body[at] != '"' {
			return false
		}
		keyEnd := stringEnd(body, at)
		if keyEnd < 0 || keyEnd+1 >= len(body) || body[keyEnd] != ':' {
			return false
		}
		end := valueEnd(body, keyEnd+1)
		if end < 0 || end >= len(body) {
			return false
		}
		p.put(body[at+1:keyEnd-1], body[keyEnd+1:end])
		if body[end] == '}' {
			return end == len(body)-1
		}
		at = end
	}
}

func (p *packet) put(key, value []byte) {
	switch string(key) {
	case "pattern":
		p.pattern = value
	case "data":
		p.data = value
	case "id":
		p.id = value
	case "response":
		p.response = value
	case "err":
		p.err = value
	case "isDisposed":
		p.disposed = string(value) == "true"
	}
}

// stringEnd returns the place after the closing quote of the string that begins at the given place, or -1.
func stringEnd(body []byte, at int) int {
	at++
	for {
		quote := bytes.IndexByte(body[at:], '"')
		if quote < 0 {
			return -1
		}
		slash := bytes.IndexByte(body[at:at+quote], '\\')
		if slash < 0 {
			return at + quote + 1
		}
		if at += slash + 2; at > len(body) {
			return -1
		}
	}
}

// valueEnd returns the place after the value that begins at the given place, or -1.
func valueEnd(body []byte, at int) int {
	depth := 0
	for at < len(body) {
		switch body[at] {
		case '"':
			if at = stringEnd(body, at); at < 0 {
				return -1
			}
			if depth == 0 {
				return at
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return at
			}
			if depth--; depth == 0 {
				return at + 1
			}
		case ',':
			if depth == 0 {
				return at
			}
		}
		at++
	}
	return -1
}
