//go:build linux

package server

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// waitBlocked waits until n clients are blocked.
func (s *testServer) waitBlocked(n int) {
	s.t.Helper()
	c := s.dial()
	defer c.Close()
	eventually(s.t, fmt.Sprint(n, " clients are blocked"), func() bool {
		return strings.Contains(c.do("INFO", "clients"), "\r\nblocked_clients:"+strconv.Itoa(n)+"\r\n")
	})
}

// array reads an array of simple replies and bulk strings.
func (w *wire) array() (list []string) {
	w.t.Helper()
	head := w.line()
	n, _ := strconv.Atoi(head[1:])
	if head[0] != '*' {
		return []string{head}
	}
	for range n {
		list = append(list, w.reply())
	}
	return list
}

// TestBlockedClientIsServedInOrderOfArrival: who waits longest is served first, whatever
// loop it is on, and what a client has sent behind its blocking command is run after it.
func TestBlockedClientIsServedInOrderOfArrival(t *testing.T) {
	s := startServer(t, "--io-threads", "3")
	var waiting []*wire
	for i := range 9 {
		c := s.dial()
		c.send(encode("BLPOP", "a", "q", "0") + encode("SET", "k"+strconv.Itoa(i), "1") + encode("PING"))
		s.waitBlocked(i + 1)
		waiting = append(waiting, c)
	}
	p := s.dial()
	if got := p.do("EXISTS", "k0"); got != ":0" {
		t.Fatal("a command behind a blocked one was run: ", got)
	}
	p.send(encode("RPUSH", "q", "0", "1", "2", "3") + encode("MULTI") + encode("RPUSH", "q", "4", "5", "6") + encode("LPUSH", "q", "x") + encode("EXEC"))
	for i, want := range []string{"0", "1", "2", "3", "x", "4", "5", "6"} {
		if got := fmt.Sprint(waiting[i].array()); got != "[q "+want+"]" {
			t.Errorf("client %d got %s, want %s", i, got, want)
		}
		waiting[i].want("+OK")
		waiting[i].want("+PONG")
	}
	s.waitBlocked(1)
	if got := s.dial().do("LLEN", "q"); got != ":0" {
		t.Error("left: ", got)
	}
}

// TestBlockedClientThatGoesAwayGetsNothing: what is pushed after a client was killed, or
// has closed, is for the next one.
func TestBlockedClientThatGoesAwayGetsNothing(t *testing.T) {
	s := startServer(t, "--io-threads", "2")
	p := s.dial()
	for i := range 40 {
		first, second := s.dial(), s.dial()
		id := strings.TrimPrefix(first.do("CLIENT", "ID"), ":")
		first.send(encode("BLMOVE", "q", "d", "LEFT", "RIGHT", "0"))
		s.waitBlocked(1)
		second.send(encode("BRPOP", "q", "0"))
		s.waitBlocked(2)
		if i%2 == 0 {
			p.send(encode("CLIENT", "KILL", "ID", id) + encode("RPUSH", "q", "v"))
			p.want(":1")
		} else {
			_ = first.Close()
			s.waitBlocked(1)
			p.send(encode("RPUSH", "q", "v"))
		}
		p.want(":1")
		if got := fmt.Sprint(second.array()); got != "[q v]" {
			t.Fatal(got)
		}
		_ = second.Close()
	}
	if got := p.do("EXISTS", "q", "d"); got != ":0" {
		t.Error("lists are left: ", got)
	}
	s.waitBlocked(0)
}

// TestBlockingTimeouts: each comes, none before its time, and then what was behind it.
func TestBlockingTimeouts(t *testing.T) {
	s := startServer(t, "--io-threads", "2")
	var wg sync.WaitGroup
	for i := range 20 {
		c := s.dial()
		start := time.Now()
		c.send(encode("BLPOP", "none", fmt.Sprintf("0.%03d", 250-10*i)) + encode("PING"))
		wg.Go(func() {
			for _, want := range []string{"*-1", "+PONG"} {
				line, err := c.r.ReadString('\n')
				if line != want+"\r\n" {
					t.Errorf("%q %v, want %s", line, err, want)
				}
				if took, want := time.Since(start), time.Duration(250-10*i)*time.Millisecond; took < want {
					t.Errorf("%q after %v, before %v", line, took, want)
				}
			}
		})
	}
	wg.Wait()
	s.waitBlocked(0)
}

// TestBlockingUnderLoad: producers, consumers, movers, killers and clients that give up, on
// several loops: every element arrives once, and none is lost.
func TestBlockingUnderLoad(t *testing.T) {
	const producers, perProducer, movers, consumers = 3, 1500, 3, 4
	s := startServer(t, "--io-threads", "3")
	var got sync.Map
	var count atomic.Int64
	var wg sync.WaitGroup
	run := func(n int, fn func(c *wire, i int)) {
		for i := range n {
			c := s.dial()
			wg.Go(func() { fn(c, i) })
		}
	}
	over := func() bool { return count.Load() == producers*perProducer }
	run(consumers, func(c *wire, i int) {
		for !over() {
			c.send(encode("BLPOP", "out0", "out1", "0.02"))
			if pair := c.array(); len(pair) == 2 {
				if _, twice := got.LoadOrStore(pair[1], true); twice {
					t.Error("twice: ", pair[1])
				}
				count.Add(1)
			}
		}
	})
	run(movers, func(c *wire, i int) {
		for !over() {
			c.send(encode("BLMOVE", "in"+strconv.Itoa(i%2), "out"+strconv.Itoa(i/2), "LEFT", "RIGHT", "0.01"))
			c.reply()
		}
	})
	run(producers, func(c *wire, i int) {
		for n := range perProducer {
			v := fmt.Sprint(i, "-", n)
			if n%3 == 0 {
				c.send(encode("MULTI") + encode("RPUSH", "in"+strconv.Itoa(n%2), v) + encode("EXEC"))
				c.want("+OK")
				c.want("+QUEUED")
				c.array()
			} else {
				c.do("RPUSH", "in"+strconv.Itoa(n%2), v)
			}
		}
	})
	wg.Wait()
	s.waitBlocked(0)
	if got := s.dial().do("DBSIZE"); got != ":0" {
		t.Error("keys are left: ", got)
	}
}
