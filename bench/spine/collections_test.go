//go:build linux

package spine

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// collectionSize is the number of elements of each big collection.
const collectionSize = 5_000_000

// collectionOps is how many commands of a kind are timed, of those that take a time which
// grows with the collection in Redis slowOps.
const (
	collectionOps = 500_000
	slowOps       = 4_000
)

// command appends one request about element i of a collection of n.
type command func(dst []byte, i, n int) []byte

// bigCollection is one type's measurement.
type bigCollection struct {
	typ      string
	fill     command
	maxBytes float64 // gate on the bytes per element, relative to Redis'
	ops      []collectionOp
}

type collectionOp struct {
	name    string
	make    command
	slow    bool // in Redis its time grows with the collection
	inOrder bool // i counts up from n instead of being drawn below it
}

var bigCollections = []bigCollection{
	{typ: "hash", fill: hset, maxBytes: 0.75, ops: []collectionOp{
		{name: "HGET", make: func(dst []byte, i, _ int) []byte { return resp(dst, "HGET", "big", element(i)) }},
		{name: "HSET", make: hset},
	}},
	{typ: "set", fill: sadd, maxBytes: 0.75, ops: []collectionOp{
		{name: "SISMEMBER", make: func(dst []byte, i, _ int) []byte { return resp(dst, "SISMEMBER", "big", element(i)) }},
		{name: "SADD", make: sadd, inOrder: true},
	}},
	{typ: "zset", fill: zadd, maxBytes: 0.75, ops: []collectionOp{
		{name: "ZSCORE", make: func(dst []byte, i, _ int) []byte { return resp(dst, "ZSCORE", "big", element(i)) }},
		{name: "ZRANK", make: func(dst []byte, i, _ int) []byte { return resp(dst, "ZRANK", "big", element(i)) }},
		{name: "ZADD", make: func(dst []byte, i, n int) []byte {
			return resp(dst, "ZADD", "big", strconv.Itoa(rand.IntN(n)), element(i))
		}},
	}},
	{typ: "list", fill: rpush, maxBytes: 1, ops: []collectionOp{
		{name: "LINDEX in the middle", slow: true, make: func(dst []byte, i, n int) []byte {
			return resp(dst, "LINDEX", "big", strconv.Itoa(n/4+i/2))
		}},
		{name: "LRANGE of 10 in the middle", slow: true, make: func(dst []byte, i, n int) []byte {
			return resp(dst, "LRANGE", "big", strconv.Itoa(n/4+i/2), strconv.Itoa(n/4+i/2+9))
		}},
		{name: "LSET in the middle", slow: true, make: func(dst []byte, i, n int) []byte {
			return resp(dst, "LSET", "big", strconv.Itoa(n/4+i/2), element(i))
		}},
		{name: "RPUSH", make: rpush, inOrder: true},
	}},
	{typ: "stream", fill: xadd, maxBytes: 1, ops: []collectionOp{
		{name: "XRANGE of 10", make: func(dst []byte, i, _ int) []byte {
			return resp(dst, "XRANGE", "big", strconv.Itoa(i+1), "+", "COUNT", "10")
		}},
		{name: "XADD", make: xadd, inOrder: true},
	}},
}

func hset(dst []byte, i, _ int) []byte {
	return resp(dst, "HSET", "big", element(i), fmt.Sprintf("value:%08d", rand.IntN(1e8)))
}
func sadd(dst []byte, i, _ int) []byte { return resp(dst, "SADD", "big", element(i)) }
func zadd(dst []byte, i, _ int) []byte {
	return resp(dst, "ZADD", "big", strconv.Itoa(i), element(i))
}
func rpush(dst []byte, i, _ int) []byte { return resp(dst, "RPUSH", "big", element(i)) }
func xadd(dst []byte, i, _ int) []byte {
	return resp(dst, "XADD", "big", strconv.Itoa(i+1), "sensor", element(i))
}

// element names element i: 14 bytes.
func element(i int) string { return fmt.Sprintf("elem:%09d", i) }

// resp appends a command in RESP.
func resp(dst []byte, args ...string) []byte {
	dst = fmt.Appendf(dst, "*%d\r\n", len(args))
	for _, a := range args {
		dst = fmt.Appendf(dst, "$%d\r\n%s\r\n", len(a), a)
	}
	return dst
}

// BenchmarkCollections measures one collection of five million elements of each type beside
// redis-server: memory, time per command, and what clients notice when it is deleted.
func BenchmarkCollections(b *testing.B) {
	if os.Getenv("KVD_BENCH_SCALE") == "" {
		b.Skip("KVD_BENCH_SCALE=1 measures at full size, which takes a quarter of an hour")
	}
	scale, rounds := environment(b)
	for _, c := range bigCollections {
		b.Run(c.typ, func(b *testing.B) {
			if b.N > 1 {
				return // the rounds repeat it
			}
			h := newHarness(b, scale, rounds)
			fmt.Printf("\n%s\n", markdown(c.measure(h)))
		})
	}
}

// TestCollectionMeasurements runs them on small collections: there must be figures.
func TestCollectionMeasurements(t *testing.T) {
	for _, c := range bigCollections {
		t.Run(c.typ, func(t *testing.T) {
			t.Parallel()
			for i, r := range c.measure(newHarness(t, 0.001, 1)) {
				// The first is memory, of which more may be freed meanwhile.
				if none := math.IsNaN(r.kvd+r.redis) || math.IsInf(r.kvd+r.redis, 0); none || i > 0 && (r.kvd < 0 || r.redis < 0) {
					t.Errorf("%+v: no figure", r)
				}
			}
		})
	}
}

// collectionFigures are what one server came to.
type collectionFigures struct {
	bytes  float64   // per element
	usec   []float64 // CPU time of the server for each of the ops
	pauses [2][]float64
}

// gone are the ways in which a collection goes.
var gone = []struct{ name, command string }{
	{"DEL", "DEL"}, {"expiry", "PEXPIRE"},
}

func (c *bigCollection) measure(h *harness) []row {
	kvd, redis := c.figures(h, h.kvd(h.dir())), c.figures(h, h.redis(h.dir()))
	rows := []row{{name: c.typ + ": bytes per element", unit: "B", kvd: kvd.bytes, redis: redis.bytes, maxRatio: c.maxBytes}}
	for i, op := range c.ops {
		r := row{name: c.typ + ": CPU time per " + op.name, unit: "µs", kvd: kvd.usec[i], redis: redis.usec[i], maxRatio: 2}
		if op.slow {
			r.maxRatio = 0.5
		}
		rows = append(rows, r)
	}
	for i, g := range gone {
		rows = append(rows, row{name: c.typ + ": longest PING or SET at its " + g.name + ", above idle", unit: "ms",
			kvd: median(kvd.pauses[i]), redis: median(redis.pauses[i]), max: 1})
	}
	return rows
}

func (c *bigCollection) figures(h *harness, s *server) (f collectionFigures) {
	defer s.Kill()
	n := h.count(collectionSize)
	const others = 10_000
	s.fill(0, others, textValues())
	used := s.settled()
	s.pipe(n, func(dst []byte, k int) []byte { return c.fill(dst, k, n) })
	f.bytes = (s.settled() - used) / float64(n)

	next := n
	for _, op := range c.ops {
		var rounds []float64
		count := h.count(collectionOps)
		if op.slow {
			count = min(count, slowOps)
		}
		for range h.rounds {
			before := s.usage().ServerCPUSec
			s.pipe(count, func(dst []byte, k int) []byte {
				if op.inOrder {
					next++
					return op.make(dst, next, n)
				}
				return op.make(dst, rand.IntN(n), n)
			})
			rounds = append(rounds, (s.usage().ServerCPUSec-before)/float64(count)*usecPerSec)
		}
		f.usec = append(f.usec, median(rounds))
	}
	for i, g := range gone {
		f.pauses[i] = append(f.pauses[i], c.pause(h, s, others, g.command))
		if i == 0 {
			s.pipe(n, func(dst []byte, k int) []byte { return c.fill(dst, k, n) })
		}
	}
	return f
}

// goneTime is how long clients are watched while a collection goes, and before that.
const goneTime = 1500 * time.Millisecond

// pause has the collection deleted and returns how much longer than before the
// longest wait of other clients was, in milliseconds.
func (c *bigCollection) pause(h *harness, s *server, others int, command string) float64 {
	h.Helper()
	p := s.probe(others)
	watch := max(goneTime/10, time.Duration(float64(goneTime)*min(1, h.scale)))
	time.Sleep(watch / 10)
	from := time.Since(p.begin)
	time.Sleep(watch)
	at := time.Since(p.begin)
	if command == "PEXPIRE" {
		s.do(command, "big", "20")
	} else {
		s.do(command, "big")
	}
	time.Sleep(watch)
	end := time.Since(p.begin)
	seen := p.finish(h)
	if got := s.do("EXISTS", "big"); got != "0" {
		h.Fatalf("the collection is still there: %s", got)
	}
	return max(0, longest(seen, at, end)-longest(seen, from, at))
}

// pipe sends n requests, 100 in a write, and reads their replies; none may be an error.
func (s *server) pipe(n int, one func(dst []byte, k int) []byte) {
	s.h.Helper()
	conn := s.dial()
	defer func() { _ = conn.Close() }()
	done := make(chan error, 1)
	go func() { done <- skipReplies(bufio.NewReaderSize(conn, 1<<16), n) }()
	var buf []byte
	for k := 0; k < n; {
		buf = buf[:0]
		for end := min(k+100, n); k < end; k++ {
			buf = one(buf, k)
		}
		if _, err := conn.Write(buf); err != nil {
			s.h.Fatal(err)
		}
	}
	s.h.must(<-done)
}

// skipReplies reads n replies of any form.
func skipReplies(r *bufio.Reader, n int) error {
	for ; n > 0; n-- {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		kind, size := line[0], 0
		if kind == '$' || kind == '*' {
			if size, err = strconv.Atoi(string(line[1 : len(line)-2])); err != nil {
				return err
			}
		}
		switch {
		case kind == '-':
			return fmt.Errorf("a request was refused: %s", line)
		case kind == '*':
			n += max(size, 0)
		case kind == '$' && size >= 0:
			if _, err := io.CopyN(io.Discard, r, int64(size)+2); err != nil {
				return err
			}
		}
	}
	return nil
}
