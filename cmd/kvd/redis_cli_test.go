//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// cli runs redis-cli on the server, with input, until it ends.
func cli(t *testing.T, k *proc, input []byte, args ...string) string {
	t.Helper()
	out, err := tryCLI(t, k, input, args...)
	if err != nil {
		t.Errorf("redis-cli %q: %v\n%s", args, err, tail(out, 500))
	}
	return out
}

// tryCLI is cli for what may fail.
func tryCLI(t *testing.T, k *proc, input []byte, args ...string) (string, error) {
	t.Helper()
	bin := oracle(t, "redis-cli")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, append([]string{"-s", k.sock}, args...)...)
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// terminal runs a command on a terminal.
func terminal(t *testing.T, command string) (cmd *exec.Cmd, in io.Writer, out *output) {
	t.Helper()
	cmd = exec.Command(oracle(t, "script"), "-qec", command, "/dev/null")
	cmd.Env = append(os.Environ(), "TERM=dumb")
	in, err := cmd.StdinPipe()
	noError(t, err)
	out = newOutput(t)
	cmd.Stdout, cmd.Stderr = out.f, out.f
	noError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, in, out
}

func wantOutput(t *testing.T, what, out string, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if !regexp.MustCompile(p).MatchString(out) {
			t.Errorf("%s: nothing like %q in\n%s", what, p, tail(out, 1500))
		}
	}
}

func TestRedisCLI(t *testing.T) {
	t.Parallel()
	k := start(t)
	c := k.dial()
	c.want("OK", "DEBUG", "POPULATE", "5000", "user", "40")
	c.want("OK", "SET", "largest", strings.Repeat("x", 5000))

	t.Run("commands from a pipe", func(t *testing.T) {
		out := cli(t, k, []byte("set a \"b c\"\nget a\nincr n\nselect 3\nget a\nnosuch x\nhello 3\n"))
		wantOutput(t, "pipe", out, `(?s)^OK\nb c\n1\nOK\n\n+ERR unknown command 'nosuch', with args beginning with: 'x' \n`)
	})
	t.Run("resp3", func(t *testing.T) {
		if out := cli(t, k, nil, "-3", "config", "get", "port"); out != "port 0\n" {
			t.Errorf("%q", out)
		}
	})
	t.Run("interactive", func(t *testing.T) {
		cmd, in, out := terminal(t, oracle(t, "redis-cli")+" -s "+k.sock)
		for i, line := range []string{"set greeting hello", "get greeting", "help getex", "quit"} {
			within(t, "the prompt for "+line, func() bool { return strings.Count(out.String(), "s> ") > i })
			fmt.Fprintf(in, "%s\r", line)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-done:
		case <-time.After(patience):
			t.Error("quit did not end it")
		}
		wantOutput(t, "interactive", out.String(), `redis .*s> `, `OK`, `"hello"`, `GETEX\S* \S*key`)
	})
	t.Run("scan", func(t *testing.T) {
		names := map[string]bool{}
		for line := range strings.FieldsSeq(cli(t, k, nil, "--scan", "--pattern", "user:*")) {
			names[line] = true
		}
		if len(names) != 5000 {
			t.Errorf("%d keys", len(names))
		}
	})
	t.Run("bigkeys", func(t *testing.T) {
		wantOutput(t, "bigkeys", cli(t, k, nil, "--bigkeys"), `Biggest string found '"?largest"?' has 5000 bytes`, `500\d strings with`)
	})
	t.Run("memkeys", func(t *testing.T) {
		wantOutput(t, "memkeys", cli(t, k, nil, "--memkeys"), `Biggest string found '"?largest"?' has \d+ bytes`)
	})
	t.Run("stat", func(t *testing.T) {
		// On a terminal, since into a file it writes whole blocks.
		cmd, _, out := terminal(t, oracle(t, "redis-cli")+" -s "+k.sock+" --stat -i 0.1")
		line := regexp.MustCompile(`\n500\d\s+[\d.]+M\s+\d+\s+\d+\s+\d+ \(\+\d+\)`)
		within(t, "a line of --stat", func() bool { return line.MatchString(out.String()) })
		wantOutput(t, "stat", out.String(), `keys\s+mem\s+clients`)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Run("latency", func(t *testing.T) {
		wantOutput(t, "latency", cli(t, k, nil, "--latency", "--raw", "-i", "0.3"), `\d+ [\d.]+ [\d.]+ [\d.]+`)
	})
	t.Run("pipe", func(t *testing.T) {
		n := scaled(50_000, 1_000_000)
		var b []byte
		for i := range n {
			b = appendCommand(b, "SET", fmt.Sprint("piped:", i), fmt.Sprint(i))
		}
		wantOutput(t, "pipe", cli(t, k, b, "--pipe"), fmt.Sprintf(`errors: 0, replies: %d\n`, n))
		c.want(fmt.Sprint(n-1), "GET", fmt.Sprint("piped:", n-1))
	})
	t.Run("errors of pipe", func(t *testing.T) {
		out, _ := tryCLI(t, k, []byte("*2\r\n$3\r\nSET\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n"), "--pipe")
		wantOutput(t, "pipe", out, `errors: 1, replies: 2`)
	})
}

func TestRedisBenchmark(t *testing.T) {
	t.Parallel()
	bin := oracle(t, "redis-benchmark")
	k := start(t)
	for _, args := range [][]string{{"-P", "16"}, {"-3"}, {"--threads", "2"}} {
		out, err := exec.Command(bin, append([]string{"-s", k.sock, "-q", "-n", "5000", "-r", "1000",
			"-t", "ping,set,get,incr,mset"}, args...)...).CombinedOutput()
		if err != nil || strings.Count(string(out), "requests per second") < 5 {
			t.Errorf("%v: %v\n%s", args, err, tail(string(out), 800))
		}
	}
}

// A dump of redis-server, made by redis-benchmark, is served by kvd.
func TestServesADumpOfRedis(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	r := startRedis(t, dir)
	rc := r.dial()
	n := fmt.Sprint(scaled(50_000, 5_000_000))
	rc.want("OK", "DEBUG", "POPULATE", n, "k", "64")
	rc.mixed(300)
	digest := rc.do("DEBUG", "DIGEST")
	rc.want("OK", "SAVE")
	r.kill()
	k := startIn(t, dir)
	c := k.dial()
	c.want(digest, "DEBUG", "DIGEST")
	for _, kind := range engines {
		c.save(kind)
		checkRDB(t, filepath.Join(dir, "dump.rdb"))
	}
	k.kill()
	startRedis(t, dir).dial().want(digest, "DEBUG", "DIGEST")
}
