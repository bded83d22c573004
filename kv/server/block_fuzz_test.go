//go:build linux

package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Random scripts of several connections, the same for kvd and redis-server. After each step
// both are given the time to come to rest: every client has its replies, or is blocked. What
// each client has got by then must be the same. Nothing depends on how fast anybody is: all
// sockets are unix sockets, so that what a server has written is there to be read, and
// a server is at rest when it says twice that all who lack replies are blocked, with a barrier
// in between behind which everything is written.

// party is one of the two servers with its clients.
type party struct {
	t       *testing.T
	path    string
	barrier func() // returns when the server has written what it had to write before
	clients []*blockClient
	control *wire
}

// blockClient is a connection whose replies are read without waiting for them.
type blockClient struct {
	net.Conn
	t       *testing.T
	id      string
	pending int
	later   bool // its replies are for a later step
	in      []byte
	ended   bool
}

const closedReply = "closed"

// newParty connects clients to the server on a unix socket. Without a barrier, one more answer of the
// server is the barrier: that of a server with one thread.
func newParty(t *testing.T, path string, barrier func(), clients int) *party {
	p := &party{t: t, path: path, barrier: barrier, control: dial(t, "unix", path)}
	if barrier == nil {
		p.barrier = func() { p.control.do("PING") }
	}
	p.control.do("FLUSHALL")
	for range clients {
		p.clients = append(p.clients, p.connect())
	}
	return p
}

func (p *party) connect() *blockClient {
	c, err := net.Dial("unix", p.path)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	b := &blockClient{Conn: c, t: p.t}
	_, _ = io.WriteString(c, encode("CLIENT", "ID"))
	eventually(p.t, "CLIENT ID is answered", func() bool {
		reply, ok := b.next()
		b.id = strings.Trim(reply, ":\r\n")
		return ok
	})
	return b
}

// fill reads what is there.
func (b *blockClient) fill() {
	raw, err := b.Conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		b.t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	for n := 1; n > 0; {
		if raw.Read(func(fd uintptr) bool { n, err = unix.Read(int(fd), buf); return true }) != nil {
			b.t.Fatal("closed here")
		}
		if n > 0 {
			b.in = append(b.in, buf[:n]...)
		} else if err != unix.EAGAIN && err != unix.EINTR {
			b.ended = true
		}
	}
}

// next takes the next reply, if there is one. The end of the connection is one too.
func (b *blockClient) next() (reply string, ok bool) {
	b.fill()
	var whole bytes.Buffer
	if readWhole(bufio.NewReader(bytes.NewReader(b.in)), &whole) == nil {
		b.in = b.in[whole.Len():]
		return whole.String(), true
	}
	return closedReply, b.ended
}

// readWhole copies one reply of either protocol version to b.
func readWhole(r *bufio.Reader, b *bytes.Buffer) error {
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	b.WriteString(line)
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	switch line[0] {
	case '$', '=':
		if n >= 0 {
			_, err = io.CopyN(b, r, int64(n+2))
		}
		return err
	case '%':
		n *= 2
	case '*', '~', '>':
	default:
		return nil
	}
	for range n {
		if err := readWhole(r, b); err != nil {
			return err
		}
	}
	return nil
}

// blockStep is a step of a script.
type blockStep struct {
	client   int
	commands [][]string // "#3" stands for the ID of client 3
	all      bool       // the client gets all its replies; it does not wait beyond this step
	later    bool       // what the client gets may come now or in the next step with all
	hangUp   bool       // the client goes away and comes back
	silent   int        // commands that get no reply
	kills    int        // the client whose connection the commands end; -1 none
}

func (s *blockStep) String() string {
	return fmt.Sprintf("client %d: %q all %v hang up %v", s.client, s.commands, s.all, s.hangUp)
}

// run does a step and returns what came of it.
func (p *party) run(s *blockStep) string {
	c := p.clients[s.client]
	switch {
	case s.hangUp:
		_ = c.Close()
		eventually(p.t, "the client is gone", func() bool { return !strings.Contains(p.list(), "id="+c.id+" ") })
		p.clients[s.client] = p.connect()
	default:
		var b strings.Builder
		for _, cmd := range s.commands {
			args := append([]string(nil), cmd...)
			for i, a := range args {
				if strings.HasPrefix(a, "#") {
					n, _ := strconv.Atoi(a[1:])
					args[i] = p.clients[n].id
				}
			}
			b.WriteString(encode(args...))
		}
		c.pending += len(s.commands) - s.silent
		_, _ = io.WriteString(c, b.String())
		c.later = s.later
	}
	if s.kills >= 0 {
		p.waitClosed(s.kills)
	}
	return p.settle(s)
}

// waitClosed waits for the end of a connection and replaces it.
func (p *party) waitClosed(n int) {
	eventually(p.t, "the client is closed", func() bool { p.clients[n].fill(); return p.clients[n].ended })
	p.clients[n] = p.connect()
}

func (p *party) list() string { return p.control.do("CLIENT", "LIST") }

// settle waits until nothing goes on any more after a step and returns the replies by client.
func (p *party) settle(s *blockStep) string {
	got := make([]string, len(p.clients))
	rests := 0
	for end := time.Now().Add(patience); ; {
		if time.Now().After(end) {
			p.t.Fatalf("the server does not come to rest: %q\n%s", got, p.list())
		}
		if p.take(got) {
			rests = 0
		}
		waiting := slices.ContainsFunc(p.clients, func(c *blockClient) bool { return c.pending > 0 })
		if !waiting || rests == 2 {
			return fmt.Sprintf("%q", got)
		}
		if !p.blocked() || s.all && p.clients[s.client].pending > 0 {
			rests = 0
			time.Sleep(100 * time.Microsecond)
			continue
		}
		rests++
		p.barrier()
	}
}

// take adds the replies that are there to got, and tells whether there were any.
func (p *party) take(got []string) (any bool) {
	for i, c := range p.clients {
		for c.pending > 0 && !c.later {
			reply, ok := c.next()
			if !ok {
				break
			}
			any = true
			got[i] += reply
			if c.pending--; reply == closedReply {
				c.pending = 0
			}
		}
	}
	return any
}

// blocked tells whether all clients that lack replies are blocked.
func (p *party) blocked() bool {
	list := p.list()
	for _, c := range p.clients {
		if c.fill(); c.pending == 0 || c.later && len(c.in) > 0 {
			continue
		}
		_, line, _ := strings.Cut(list, "id="+c.id+" ")
		_, flags, _ := strings.Cut(line, " flags=")
		flags, _, _ = strings.Cut(flags, " ")
		if !strings.Contains(flags, "b") {
			return false
		}
	}
	return true
}

// blockFuzzer makes scripts.
type blockFuzzer struct {
	*rand.Rand
	n       int
	has     map[string]bool // commands that kvd knows
	blocked func(int) bool
	clients int
}

func (f *blockFuzzer) pick(list ...string) string { return list[f.IntN(len(list))] }
func (f *blockFuzzer) key() string                { return "k" + strconv.Itoa(f.IntN(4)) }
func (f *blockFuzzer) end() string                { return f.pick("LEFT", "RIGHT") }
func (f *blockFuzzer) value() string              { f.n++; return "v" + strconv.Itoa(f.n) }
func (f *blockFuzzer) keys() (list []string) {
	for range 1 + f.IntN(3) {
		list = append(list, f.key())
	}
	return list
}

func (f *blockFuzzer) blocking(timeout string) []string {
	keys := f.keys()
	list := func(args ...string) []string { return args }
	switch f.IntN(9) {
	case 0, 1:
		return append(append(list(f.pick("BLPOP", "BRPOP")), keys...), timeout)
	case 2, 3:
		return list("BLMOVE", f.key(), f.key(), f.end(), f.end(), timeout)
	case 4:
		return list("BRPOPLPUSH", f.key(), f.key(), timeout)
	case 5:
		return append(append(list("BLMPOP", timeout, strconv.Itoa(len(keys))), keys...), f.end(), "COUNT", "2")
	case 6:
		return append(append(list(f.pick("BZPOPMIN", "BZPOPMAX")), keys...), timeout)
	case 7:
		if ms, err := strconv.ParseFloat(timeout, 64); err == nil {
			timeout = strconv.Itoa(int(ms * 1000))
		}
		if f.IntN(2) == 0 {
			return list("XREADGROUP", "GROUP", "g", "c", "BLOCK", timeout, "STREAMS", f.key(), ">")
		}
		return list("XREAD", "BLOCK", timeout, "STREAMS", f.key(), f.key(), "$", "0-5")
	}
	return append(append(list("BZMPOP", timeout, strconv.Itoa(len(keys))), keys...), f.pick("MIN", "MAX"))
}

func (f *blockFuzzer) plain() []string {
	k := f.key()
	list := func(args ...string) []string { return args }
	switch f.IntN(17) {
	case 0, 1, 2, 3:
		args := list(f.pick("LPUSH", "RPUSH"), k)
		for range 1 + f.IntN(4) {
			args = append(args, f.value())
		}
		return args
	case 4:
		return list(f.pick("LPOP", "RPOP"), k)
	case 5, 6:
		return list("DEL", k)
	case 7:
		return list("SET", k, "string")
	case 8:
		return list("RENAME", f.pick(k, "s"), f.key())
	case 9:
		return list("COPY", k, f.key(), "REPLACE")
	case 10:
		return list("LMOVE", k, f.key(), f.end(), f.end())
	case 11, 12:
		return list("ZADD", k, "1", f.value(), "2", f.value())
	case 13:
		// Not into the others: where it replaces a value of another type Redis forgets
		// those who wait for a list.
		return list("SORT", k, "BY", "nosort", "STORE", "s")
	case 14:
		f.n++
		return list("XADD", k, strconv.Itoa(f.n)+"-1", "f", "v")
	case 15:
		if f.IntN(4) == 0 {
			return list("XGROUP", "DESTROY", k, "g")
		}
		return list("XGROUP", "CREATE", k, "g", f.pick("0", "$"), "MKSTREAM")
	}
	return list("LRANGE", k, "0", "-1")
}

// known replaces commands that kvd does not know.
func (f *blockFuzzer) known(make func() []string) []string {
	for {
		if cmd := make(); f.has[cmd[0]] {
			return cmd
		}
	}
}

func (f *blockFuzzer) idle() int {
	for range 100 {
		if n := f.IntN(f.clients); !f.blocked(n) {
			return n
		}
	}
	return -1
}

// step returns the next step.
func (f *blockFuzzer) step() *blockStep {
	n := f.idle()
	if n < 0 {
		return &blockStep{client: f.IntN(f.clients), hangUp: true, kills: -1}
	}
	step := &blockStep{client: n, kills: -1}
	do := func(cmds ...[]string) { step.commands = append(step.commands, cmds...) }
	other := f.IntN(f.clients)
	switch f.IntN(20) {
	case 0, 1, 2, 3, 4, 5:
		do(f.known(func() []string { return f.blocking("0") }))
		if f.IntN(4) == 0 {
			do([]string{"PING", f.value()})
		}
	case 6:
		do(f.known(func() []string { return f.blocking("0.01") }))
		step.all = true
	case 7, 8:
		do([]string{"MULTI"})
		for range 1 + f.IntN(5) {
			if f.IntN(5) == 0 {
				do(f.known(func() []string { return f.blocking("0") }))
			} else {
				do(f.known(f.plain))
			}
		}
		do([]string{"EXEC"})
	case 9:
		do([]string{"CLIENT", "UNBLOCK", "#" + strconv.Itoa(other), f.pick("TIMEOUT", "ERROR")})
	case 10:
		if other != n {
			do([]string{"CLIENT", "KILL", "ID", "#" + strconv.Itoa(other)})
			step.kills = other
			break
		}
		step.hangUp = true
	case 11:
		do([]string{"PING"})
	default:
		do(f.known(f.plain))
	}
	return step
}

// TestBlockingAgainstRedis compares random scripts.
func TestBlockingAgainstRedis(t *testing.T) {
	scripts, length := 8, 100
	if long() {
		scripts, length = 100, 300
	}
	redis := startRedis(t)
	path := filepath.Join(t.TempDir(), "kvd.sock")
	s := startServer(t, "--io-threads", "2", "--unixsocket", path)
	has := map[string]bool{}
	ctl := s.dial()
	for _, name := range strings.Fields("BLPOP BRPOP BLMOVE BRPOPLPUSH BLMPOP BZPOPMIN BZPOPMAX BZMPOP XREAD XREADGROUP XADD XGROUP ZADD SORT " +
		"LPUSH RPUSH LPOP RPOP DEL SET RENAME COPY LMOVE LRANGE") {
		ctl.send(encode("COMMAND", "INFO", name))
		has[name] = ctl.line() == "*1" && !strings.HasSuffix(ctl.line(), "-1")
		_ = ctl.Close()
		ctl = s.dial()
	}
	seed := uint64(1) // a run says something about the code and nothing about luck
	if long() {
		seed = uint64(time.Now().UnixNano())
	}
	if v := os.Getenv("KVD_SEED"); v != "" {
		seed, _ = strconv.ParseUint(v, 10, 64)
	}
	for i := range scripts {
		seed += uint64(i)
		blockScript(t, newParty(t, path, func() { s.Hold()() }, 6), newParty(t, redis.path, nil, 6), has, seed, length)
		if t.Failed() {
			t.Fatalf("KVD_SEED=%d", seed)
		}
	}
}

func blockScript(t *testing.T, ours, theirs *party, has map[string]bool, seed uint64, length int) {
	f := &blockFuzzer{Rand: rand.New(rand.NewPCG(seed, 3)), has: has, clients: len(ours.clients)}
	f.blocked = func(n int) bool { return ours.clients[n].pending > 0 }
	var past []string
	for range length {
		step := f.step()
		a, b := ours.run(step), theirs.run(step)
		past = append(past, fmt.Sprintf("%v\n  %s", step, b))
		if a != b {
			t.Errorf("%s\n%s\n kvd   %s\n redis %s", strings.Join(past[max(0, len(past)-25):], "\n"), step, a, b)
			return
		}
	}
	ours.close()
	theirs.close()
}

func (p *party) close() {
	for _, c := range p.clients {
		_ = c.Close()
	}
	_ = p.control.Close()
}
