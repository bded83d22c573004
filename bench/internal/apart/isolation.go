//go:build linux && (amd64 || arm64)

package apart

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tidwall/redcon"

	"kvd/bench/internal/host"
)

const (
	isolationKeys  = 200_000
	isolationRate  = "4000000" // bytes a second: the child lives for many seconds unless it is killed
	isolationTries = 5
	startLimit     = 30 * time.Second
	replyLimit     = 30 * time.Second
)

// survival is what became of a server whose forked child was killed.
type survival struct {
	PingMsec   float64 // slowest PING from the kill until INFO told of it
	Status     string  // rdb_last_bgsave_status
	Reason     string  // rdb_last_error
	DumpIntact bool    // dump.rdb is byte for byte the one before
	Keys       int64   // DBSIZE afterwards
}

// killChild starts kvd, saves, kills the child of a second save, and looks.
func killChild(ctx context.Context, kvd string) (s survival, err error) {
	dir, err := os.MkdirTemp("", "kvd-apart-")
	if err != nil {
		return s, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	c, pid, stop, err := startKvd(ctx, kvd, dir)
	if err != nil {
		return s, err
	}
	defer stop()
	if err := c.fill(isolationKeys); err != nil {
		return s, fmt.Errorf("fill: %w", err)
	}
	if _, err := c.do("SAVE"); err != nil {
		return s, err
	}
	before, err := sumOf(filepath.Join(dir, "dump.rdb"))
	if err != nil {
		return s, err
	}
	if _, err := c.do("SET", "after", "the save"); err != nil {
		return s, err
	}
	if _, err := c.do("CONFIG", "SET", "save-rate-limit", isolationRate); err != nil {
		return s, err
	}
	// Still a child may end by itself before it is found, on a machine that does not
	// run this process for so long.
	for try := 1; s.Status != "err"; try++ {
		if try > isolationTries {
			return s, errors.New("every child had ended before it could be killed")
		}
		if before, err = sumOf(filepath.Join(dir, "dump.rdb")); err != nil {
			return s, err
		}
		if err := c.saveAndKill(ctx, pid, &s); err != nil {
			return s, err
		}
	}
	after, err := sumOf(filepath.Join(dir, "dump.rdb"))
	if err != nil {
		return s, err
	}
	s.DumpIntact = after == before
	size, err := c.do("DBSIZE")
	if err != nil {
		return s, err
	}
	s.Keys, err = strconv.ParseInt(size, 10, 64)
	return s, err
}

// childLimit is shorter than the child lives, so that one that is there is seen.
const childLimit = 5 * time.Second

// saveAndKill starts a save, kills its child and asks the server until it knows.
func (c *client) saveAndKill(ctx context.Context, server int, s *survival) error {
	if _, err := c.do("BGSAVE", "FORK"); err != nil {
		return err
	}
	var children []int
	for deadline := time.Now().Add(childLimit); len(children) == 0; children = childrenOf(server) {
		if time.Now().After(deadline) {
			return errors.New("no child of the server is seen (/proc/PID/task/TID/children)")
		}
	}
	for _, child := range children {
		_ = syscall.Kill(child, syscall.SIGKILL) // gone already: the status tells
	}
	s.PingMsec = 0
	for deadline := time.Now().Add(replyLimit); ; {
		begin := time.Now()
		if _, err := c.do("PING"); err != nil {
			return fmt.Errorf("the server, after its child was killed: %w", err)
		}
		s.PingMsec = max(s.PingMsec, micros(time.Since(begin))/1e3)
		info, err := c.do("INFO", "persistence")
		if err != nil {
			return err
		}
		if infoField(info, "rdb_bgsave_in_progress") == "0" {
			s.Status, s.Reason = infoField(info, "rdb_last_bgsave_status"), infoField(info, "rdb_last_error")
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return errors.New("the server does not notice that its child was killed")
		}
	}
}

func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && k == name {
			return v
		}
	}
	return ""
}

func sumOf(name string) ([sha256.Size]byte, error) {
	data, err := os.ReadFile(name)
	return sha256.Sum256(data), err
}

// startKvd runs a server in dir and connects. stop kills it.
func startKvd(ctx context.Context, kvd, dir string) (c *client, pid int, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, 0, nil, err
	}
	addr := l.Addr().(*net.TCPAddr)
	_ = l.Close()
	cmd := exec.CommandContext(ctx, kvd, "--port", strconv.Itoa(addr.Port), "--bind", "127.0.0.1",
		"--dir", dir, "--save", "", "--logfile", filepath.Join(dir, "log"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := host.Spawn(cmd); err != nil {
		return nil, 0, nil, fmt.Errorf("start kvd: %w", err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	stop = func() {
		if c != nil {
			_ = c.conn.Close()
		}
		_ = cmd.Process.Kill()
		<-ended
	}
	for deadline := time.Now().Add(startLimit); ; time.Sleep(5 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr.String()); err == nil {
			c = &client{conn: conn}
			if _, err = c.do("PING"); err == nil {
				return c, cmd.Process.Pid, stop, nil
			}
			_ = conn.Close()
		}
		select {
		case <-ended:
		default:
			if time.Now().Before(deadline) && ctx.Err() == nil {
				continue
			}
		}
		stop()
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		return nil, 0, nil, fmt.Errorf("kvd does not come up: %s", log[max(0, len(log)-500):])
	}
}

// client speaks RESP2 on one connection.
type client struct {
	conn net.Conn
	buf  []byte // received and not yet parsed
}

// do sends a command and returns the text of its reply; an error reply is an error.
func (c *client) do(args ...string) (string, error) {
	if err := c.send(appendCommand(nil, args...)); err != nil {
		return "", err
	}
	text, err := c.reply()
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return text, nil
}

func appendCommand(b []byte, args ...string) []byte {
	b = redcon.AppendArray(b, len(args))
	for _, a := range args {
		b = redcon.AppendBulkString(b, a)
	}
	return b
}

func (c *client) send(b []byte) error {
	if err := c.conn.SetDeadline(time.Now().Add(replyLimit)); err != nil {
		return err
	}
	_, err := c.conn.Write(b)
	return err
}

func (c *client) reply() (string, error) {
	for {
		n, resp := redcon.ReadNextRESP(c.buf)
		if n > 0 {
			text := string(resp.Data)
			c.buf = c.buf[n:]
			if resp.Type == redcon.Error {
				return "", errors.New(text)
			}
			return text, nil
		}
		chunk := make([]byte, 64*kib)
		got, err := c.conn.Read(chunk)
		if err != nil {
			return "", err
		}
		c.buf = append(c.buf, chunk[:got]...)
	}
}

// fill sets n keys to random values of valueBytes.
func (c *client) fill(n int) error {
	const batch = 500
	rng := rand.NewChaCha8([32]byte{1})
	value := make([]byte, valueBytes)
	var out []byte
	for done := 0; done < n; done += batch {
		out = out[:0]
		for i := range batch {
			_, _ = rng.Read(value) // never fails
			out = appendCommand(out, "SET", "key:"+strconv.Itoa(done+i), string(value))
		}
		if err := c.send(out); err != nil {
			return err
		}
		for range batch {
			if _, err := c.reply(); err != nil {
				return err
			}
		}
	}
	return nil
}

// death is what became of a process of which one thread faulted.
type death struct {
	ClosedMsec float64 // from the request until the peer saw the connection closed
	Signal     string  // that ended the process, "" if it exited
	Status     int     // with which it exited
	Said       string  // first line on standard error
}

// faultInThread starts a victim holding data bytes and has a thread of it fault.
func faultInThread(ctx context.Context, how string, data int64) (d death, err error) {
	m, err := startMeasuring(ctx, "victim", "-how", how, "-data", strconv.FormatInt(data, 10))
	if err != nil {
		return d, err
	}
	defer m.stop()
	p, err := m.next()
	if err != nil {
		return d, fmt.Errorf("victim: %w", m.failure(err))
	}
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(p.Value))))
	if err != nil {
		return d, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(replyLimit)); err != nil {
		return d, err
	}
	answer := make([]byte, 1)
	if _, err = conn.Write([]byte{askPing}); err == nil {
		_, err = conn.Read(answer)
	}
	if err != nil {
		return d, fmt.Errorf("victim: %w", err)
	}
	begin := time.Now()
	if _, err := conn.Write([]byte{askFault}); err != nil {
		return d, err
	}
	_, err = conn.Read(answer)
	d.ClosedMsec = micros(time.Since(begin)) / 1e3
	if ctx.Err() != nil {
		return d, ctx.Err() // which has killed it
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return d, fmt.Errorf("the process lives on after a fault in one of its threads (%v)", err)
	}
	state, said := m.wait()
	d.Status = state.ExitCode()
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		d.Signal = ws.Signal().String()
	}
	d.Said, _, _ = strings.Cut(said, "\n")
	return d, nil
}
