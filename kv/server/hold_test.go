//go:build linux

package server

import (
	"context"
	"strconv"
	"testing"
	"time"
)

// While the loops are held nothing runs; afterwards all goes on, or, when the
// server was closed meanwhile, nothing more does.
func TestHold(t *testing.T) {
	s := startServer(t, "--io-threads", "3")
	clients := make([]*wire, 6)
	name := func(i int) string { return "k" + strconv.Itoa(i) }
	for i := range clients {
		clients[i] = s.dial()
		clients[i].do("SET", name(i), "0")
	}
	value := func(i int) string {
		v, _ := s.engine.Store.DB(0).Get([]byte(name(i)))
		return string(v)
	}
	release := s.Hold()
	for i, c := range clients {
		c.send("INCR " + name(i) + "\r\n")
	}
	time.Sleep(50 * time.Millisecond)
	for i := range clients {
		if v := value(i); v != "0" {
			t.Errorf("client %d ran a command: %s", i, v)
		}
	}
	release()
	for _, c := range clients {
		if got := c.line(); got != ":1" {
			t.Errorf("got %q", got)
		}
	}

	s.Hold()
	for i, c := range clients {
		c.send("INCR " + name(i) + "\r\n")
	}
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	for i := range clients {
		if v := value(i); v != "1" {
			t.Errorf("client %d ran a command behind the hold: %s", i, v)
		}
	}
	s.Hold()() // of a closed server it does nothing
}
