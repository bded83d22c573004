package packed

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// oracle is a connection to a redis-server that dumps without compression.
type oracle struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

func newOracle(t *testing.T) *oracle {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir, err := os.MkdirTemp("", "kvdtest")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	cmd := exec.Command(bin, "--port", "0", "--unixsocket", path, "--save", "", "--dir", dir, "--rdbcompression", "no",
		"--hash-max-listpack-value", "100000000", "--hash-max-listpack-entries", "100000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		os.RemoveAll(dir)
	})
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("unix", path); err == nil {
			return &oracle{t, c, bufio.NewReader(c)}
		}
	}
	t.Fatal("redis-server does not answer")
	return nil
}

// do sends a command and returns what a one-line or bulk reply says.
func (o *oracle) do(args ...string) string {
	o.t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := o.c.Write(b.Bytes()); err != nil {
		o.t.Fatal(err)
	}
	line, err := o.r.ReadString('\n')
	if err != nil {
		o.t.Fatal(err)
	}
	if line[0] == '-' {
		o.t.Fatalf("%.60q: %s", args, line)
	}
	if line[0] != '$' {
		return line[1 : len(line)-2]
	}
	n, err := strconv.Atoi(line[1 : len(line)-2])
	if err != nil || n < 0 {
		o.t.Fatalf("%.60q: %q", args, line)
	}
	text := make([]byte, n+2)
	if _, err := io.ReadFull(o.r, text); err != nil {
		o.t.Fatal(err)
	}
	return string(text[:n])
}

// dumped returns the one string that the dump of a packed collection holds.
func (o *oracle) dumped(key string, typ byte) []byte {
	o.t.Helper()
	d := []byte(o.do("DUMP", key))
	if d[0] != typ {
		o.t.Fatalf("%s is of RDB type %d, want %d", key, d[0], typ)
	}
	d = d[1 : len(d)-10] // the footer is a version and a checksum
	switch d[0] >> 6 {
	case 0:
		return d[1:]
	case 1:
		return d[2:]
	}
	if n := int(binary.BigEndian.Uint32(d[1:])); n != len(d)-5 {
		o.t.Fatalf("%d bytes in a string of %d", len(d)-5, n)
	}
	return d[5:]
}

// TestSameBytes does the same changes here and in redis-server and compares the blocks.
func TestSameBytes(t *testing.T) {
	o := newOracle(t)
	const rdbIntset, rdbHashListpack = 11, 16

	b := NewListpack()
	for i, s := range samples() {
		field := strconv.Itoa(i) + strings.Repeat("f", i)
		o.do("HSET", "all", field, s)
		b = Append(Append(b, []byte(field)), []byte(s))
		if got := o.dumped("all", rdbHashListpack); !bytes.Equal(got, b) {
			t.Fatalf("after a value of %d bytes, %.30q: the blocks differ", len(s), s)
		}
	}

	r := rand.New(rand.NewPCG(7, 7))
	b = NewListpack()
	all := samples()
	for range 3000 {
		field, value := strconv.Itoa(r.IntN(20)-10), all[r.IntN(len(all)-1)]
		at := Find(b, First(b), []byte(field), 1)
		if r.IntN(3) == 0 && at >= 0 && Len(b) > 2 {
			o.do("HDEL", "h", field)
			b = Delete(b, at, 2)
		} else {
			o.do("HSET", "h", field, value)
			if at >= 0 {
				b = Replace(b, Next(b, at), []byte(value))
			} else {
				b = Append(Append(b, []byte(field)), []byte(value))
			}
		}
		if got := o.dumped("h", rdbHashListpack); !bytes.Equal(got, b) {
			t.Fatalf("the blocks differ after %s %.30q", field, value)
		}
	}

	b = IntsetNew()
	for i := range 3000 {
		n := r.Int64() >> (63 - i/200)
		s := strconv.FormatInt(n, 10)
		if r.IntN(3) == 0 && IntsetLen(b) > 1 {
			n = IntsetAt(b, r.IntN(IntsetLen(b)))
			o.do("SREM", "s", strconv.FormatInt(n, 10))
			b, _ = IntsetDelete(b, n)
		} else if IntsetLen(b) < 500 {
			o.do("SADD", "s", s)
			b, _ = IntsetAdd(b, n)
		}
		if got := o.dumped("s", rdbIntset); !bytes.Equal(got, b) {
			t.Fatalf("the intsets differ after %s", s)
		}
	}
}
