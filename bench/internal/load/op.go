//go:build linux

package load

import (
	"fmt"

	"github.com/tidwall/redcon"
)

// op is an operation that latencies are recorded by.
type op uint8

const (
	opSet op = iota
	opGet
	opMGet
	opRPush
	opLPush
	opLTrim
	opLSet
	opLIndex
	opLRange
	opHSet
	opHGet
	opHMGet
	opPing
	opRMW // read-modify-write as a whole; its parts are recorded too
	opLag // no request: how late the loop itself sent what was due
	numOps
)

type class uint8

const (
	classNone  class = iota // in no roll-up
	classRead               // "read"
	classWrite              // "write": what changes data
)

// ops has of every operation its name in windows and series, the roll-up that it
// belongs to, and what its reply must be.
var ops = [numOps]struct {
	name  string
	class class
	want  redcon.Type
	text  string // of a simple string; nothing where any will do
}{
	opSet:    {"set", classWrite, redcon.String, "OK"},
	opGet:    {"get", classRead, redcon.Bulk, ""},
	opMGet:   {"mget", classRead, redcon.Array, ""},
	opRPush:  {"rpush", classWrite, redcon.Integer, ""},
	opLPush:  {"lpush", classWrite, redcon.Integer, ""},
	opLTrim:  {"ltrim", classWrite, redcon.String, "OK"},
	opLSet:   {"lset", classWrite, redcon.String, "OK"},
	opLIndex: {"lindex", classRead, redcon.Bulk, ""},
	opLRange: {"lrange", classRead, redcon.Array, ""},
	opHSet:   {"hset", classWrite, redcon.Integer, ""},
	opHGet:   {"hget", classRead, redcon.Bulk, ""},
	opHMGet:  {"hmget", classRead, redcon.Array, ""},
	opPing:   {"ping", classNone, redcon.String, "PONG"},
	opRMW:    {"rmw", classNone, 0, ""},
	opLag:    {"lag", classNone, 0, ""},
}

func (o op) String() string { return ops[o].name }

// ReplyError is an error that the server answered with.
type ReplyError struct {
	Command string // lower case: set, rpush, …
	Text    string // as sent, without the leading '-': "ERR unknown command …"
}

func (e *ReplyError) Error() string {
	return fmt.Sprintf("%s: the server answered: %s", e.Command, e.Text)
}

// check tells whether resp can be the reply to o.
func (o op) check(resp redcon.RESP) error {
	if want := &ops[o]; resp.Type == want.want && (want.text == "" || string(resp.Data) == want.text) {
		return nil
	}
	if resp.Type == redcon.Error {
		return &ReplyError{o.String(), string(resp.Data)}
	}
	return fmt.Errorf("%s: the reply makes no sense: %.80q", o, resp.Raw)
}

// role is what a reply means beyond its operation.
type role uint8

const (
	rolePlain  role = iota
	roleFirst       // of two commands that make one request; the other is on its way
	roleRead        // of an rmw: the write is to be sent when the reply is here
	roleWrite       // of an rmw: ends the whole
	roleInsert      // a new key exists now
)

// pending is a request that was put on its way.
type pending struct {
	at    int64 // since when it waits, ns since the start
	whole int64 // rmw: since when the whole waits
	item  int64 // rmw: what it is about; Fill: how many items it brings
	op    op
	role  role
}

// queue is a ring of what is on its way on one connection, oldest first.
type queue struct {
	buf  []pending // length a power of two
	head uint32
	n    uint32
}

func newQueue(size int) queue { return queue{buf: make([]pending, size)} }

func (q *queue) push(p pending) {
	q.buf[(q.head+q.n)&uint32(len(q.buf)-1)] = p
	q.n++
}

func (q *queue) pop() pending {
	p := q.buf[q.head&uint32(len(q.buf)-1)]
	q.head++
	q.n--
	return p
}

func (q *queue) room() int { return len(q.buf) - int(q.n) }
