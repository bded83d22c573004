package server

import (
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestLargeRepliesAndRequestsGoBack: what one large request, or reply, took is given back soon,
// also by a server that has nothing to do.
func TestLargeRepliesAndRequestsGoBack(t *testing.T) {
	const size = 48 << 20
	s := startServer(t)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse)
	}
	before := heap()
	backAgain := func(what string) {
		t.Helper()
		deadline := time.Now().Add(patience)
		for heap() > before+size/2 {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d MB of Go's heap in use, %d before", what, heap()>>20, before>>20)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	w := s.dial()
	w.send("SETRANGE s 50331647 x\r\nGET s\r\n")
	if n, err := io.CopyN(io.Discard, w.r, int64(len(":50331648\r\n$50331648\r\n")+size+2)); err != nil {
		t.Fatal(n, err)
	}
	backAgain("after a reply")
	w.send("*2\r\n$4\r\nECHO\r\n$50331648\r\n")
	piece := strings.Repeat("x", 1<<20)
	for range size >> 20 {
		w.send(piece)
	}
	w.send("\r\n")
	if n, err := io.CopyN(io.Discard, w.r, int64(len("$50331648\r\n")+size+2)); err != nil {
		t.Fatal(n, err)
	}
	backAgain("after a request")
	w.send("GET s\r\n")
	time.Sleep(100 * time.Millisecond)
	_ = w.Close()
	backAgain("after a client that left")
}
