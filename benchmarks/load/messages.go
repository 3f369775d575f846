package main

import (
	"bytes"
	"fmt"
	"strings"
)

// The messages that callers send. Each is built once per place in a caller's window and then only stamped: the id and
// the data carry the number of the request, so that an answer can be told from that of any other request.

const (
	idDigits    = 21 // as NestJS's own ids
	stampDigits = 7
	hexDigits   = "0123456789abcdef"
	idMark      = "@@@@@@@@@@@@@@@@@@@@@"
	stampMark   = "$$$$$$$"
)

type kind int

const (
	echo kind = iota
	failing
	streaming
)

type message struct {
	kind      kind
	frame     []byte
	id        []byte // these are parts of the frame
	data      []byte
	stamps    [][]byte
	wantFail  []byte
	wantItems int
}

// template writes a message with marks where the id and the stamps go.
type template struct {
	kind kind
	text string
	data string
}

// templates returns what a caller sends in turn: one message of a size, or the mix.
func templates(mix bool, size int) []template {
	if !mix {
		data := `"` + stampMark + `"`
		if size > 0 {
			data = `"` + stampMark + strings.Repeat("x", max(size-2*stampDigits, 0)) + stampMark + `"`
		}
		return []template{ordered(echo, `"echo"`, data)}
	}
	number := `{"at":"` + stampMark + `","amount":12.5,"items":[1,2,3],"note":null}`
	unsorted := `{"z":{"y":1,"b":[true,false]},"a":"` + stampMark + `"}`
	return []template{
		ordered(echo, `{"cmd":"sum"}`, number),
		{echo, `{"id":"` + idMark + `","data":` + unsorted + `,"pattern":{"role":"x","cmd":"get"}}`, unsorted},
		ordered(echo, `"echo"`, `"`+stampMark+` 😀 é 漢 😀"`),
		ordered(failing, `"fail"`, `"no `+stampMark+`"`),
		ordered(streaming, `"stream"`, `{"of":"`+stampMark+`"}`),
	}
}

func ordered(kind kind, pattern, data string) template {
	return template{kind, fmt.Sprintf(`{"pattern":%s,"data":%s,"id":"%s"}`, pattern, data, idMark), data}
}

func (t template) build() *message {
	built := &message{kind: t.kind, frame: frame([]byte(t.text)), wantItems: 1}
	at := bytes.Index(built.frame, []byte(idMark))
	built.id = built.frame[at : at+idDigits]
	at = bytes.Index(built.frame, []byte(t.data))
	built.data = built.frame[at : at+len(t.data)]
	for from := 0; ; {
		next := bytes.Index(built.frame[from:], []byte(stampMark))
		if next < 0 {
			break
		}
		built.stamps = append(built.stamps, built.frame[from+next:from+next+stampDigits])
		from += next + stampDigits
	}
	if t.kind == streaming {
		built.wantItems = streamItems
	}
	return built
}

// stamp makes the message that of one request: its caller, its place in the window, and its number there.
func (m *message) stamp(caller, place int, number uint64) {
	writeHex(m.id[:4], uint64(caller))
	writeHex(m.id[4:8], uint64(place))
	writeHex(m.id[8:], number)
	mixed := (number*0x9E3779B97F4A7C15 + uint64(caller)*0xBF58476D1CE4E5B9 + uint64(place)) >> 20
	for _, stamp := range m.stamps {
		writeHex(stamp, mixed)
	}
}

func writeHex(into []byte, value uint64) {
	for n := len(into) - 1; n >= 0; n-- {
		into[n] = hexDigits[value&15]
		value >>= 4
	}
}

// placeOf reads the place in the window from an id as it came back, or -1.
func placeOf(id []byte) int {
	if len(id) != idDigits+2 {
		return -1
	}
	place := 0
	for _, char := range id[5:9] {
		digit := strings.IndexByte(hexDigits, char)
		if digit < 0 {
			return -1
		}
		place = place<<4 | digit
	}
	return place
}

// check compares the item-th answer with what it has to be.
func (m *message) check(reply *packet, item int) bool {
	if !bytes.Equal(reply.id[1:len(reply.id)-1], m.id) || reply.disposed != (item == m.wantItems) {
		return false
	}
	switch m.kind {
	case failing:
		return reply.response == nil && wraps(reply.err, `{"status":"error","message":`, m.data, `}`)
	case streaming:
		return reply.err == nil && wraps(reply.response, fmt.Sprintf("[%d,", item), m.data, `]`)
	}
	return reply.err == nil && bytes.Equal(reply.response, m.data)
}

func wraps(text []byte, before string, inner []byte, after string) bool {
	return len(text) == len(before)+len(inner)+len(after) &&
		string(text[:len(before)]) == before &&
		bytes.Equal(text[len(before):len(before)+len(inner)], inner) &&
		string(text[len(text)-len(after):]) == after
}
