package glob

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestMatch(t *testing.T) {
	tests := []struct {
		pattern, s string
		nocase     bool
		want       bool
	}{
		{"", "", false, true}, {"", "a", false, false}, {"*", "", false, true}, {"**", "", false, false}, {"?", "", false, false},
		{"*", "abc", false, true}, {"**", "abc", false, true}, {"a*", "abc", false, true}, {"*c", "abc", false, true},
		{"a*c", "abc", false, true}, {"a*d", "abc", false, false}, {"a*b*", "a", false, false}, {"a**", "a", false, true},
		{"h?llo", "hello", false, true}, {"h?llo", "hllo", false, false}, {"h??", "h1", false, false},
		{"h[ae]llo", "hallo", false, true}, {"h[ae]llo", "hillo", false, false}, {"h[^e]llo", "hallo", false, true},
		{"h[^e]llo", "hello", false, false}, {"h[a-b]llo", "hbllo", false, true}, {"h[b-a]llo", "hallo", false, true},
		{"h[a-b]llo", "hcllo", false, false}, {"[a", "a", false, true}, {"[", "[", false, false}, {"[^", "x", false, true},
		{"[]", "]", false, false}, {"[a-", "-", false, true}, {`[\]]`, "]", false, true}, {`\*`, "*", false, true},
		{`\*`, "a", false, false}, {`a\`, `a\`, false, true}, {`\\`, `\`, false, true}, {"[^]", "x", false, true},
		{"ABC", "abc", false, false}, {"ABC", "abc", true, true}, {"[A-C]x", "bX", true, true}, {`[\A]`, "a", true, false},
		{"*ab*ab*c", "ababxabc", false, true}, {"a*a*a*b", "aaaaaaaa", false, false},
	}
	for _, tt := range tests {
		if got := Match([]byte(tt.pattern), []byte(tt.s), tt.nocase); got != tt.want {
			t.Errorf("Match(%q, %q, %v) = %v, want %v", tt.pattern, tt.s, tt.nocase, got, tt.want)
		}
	}
}

func TestHasMeta(t *testing.T) {
	for s, want := range map[string]bool{"": false, "save": false, `a\b`: false, "a*": true, "?": true, "x[": true} {
		if HasMeta([]byte(s)) != want {
			t.Errorf("HasMeta(%q) = %v", s, !want)
		}
	}
}

// A matcher that tries every split of every star needs 10^20 steps here.
func TestHostilePatternIsFast(t *testing.T) {
	pattern := []byte(strings.Repeat("a*", 2000) + "b")
	s := bytes.Repeat([]byte("a"), 20000)
	start := time.Now()
	if Match(pattern, s, true) {
		t.Fatal("matched")
	}
	if d := time.Since(start); d > time.Minute {
		t.Fatalf("took %v", d)
	}
}

func FuzzMatch(f *testing.F) {
	f.Add([]byte(`a[^b-\]*?`), []byte("abc"), true)
	f.Fuzz(func(t *testing.T, pattern, s []byte, nocase bool) {
		if len(pattern) > 200 || len(s) > 200 {
			return
		}
		got := Match(pattern, s, nocase)
		if len(pattern) > 0 && len(s) > 0 && got && !Match(append([]byte{'*'}, pattern...), s, nocase) {
			t.Fatalf("%q matches %q, but not with a star before it", pattern, s)
		}
	})
}

// TestAgainstRedis sends random patterns to a real server's KEYS.
func TestAgainstRedis(t *testing.T) {
	conn := startRedis(t)
	rd := bufio.NewReader(conn)
	rnd := rand.New(rand.NewSource(7))
	const alphabet = `aab-]][[^^\\**?Z` + "\x80\xff"
	random := func(max int) string {
		b := make([]byte, rnd.Intn(max))
		for i := range b {
			b[i] = alphabet[rnd.Intn(len(alphabet))]
		}
		return string(b)
	}
	keys := map[string]bool{"": true}
	for len(keys) < 400 {
		keys[random(7)] = true
	}
	args := []string{"MSET"}
	for k := range keys {
		args = append(args, k, "1")
	}
	if got := call(t, conn, rd, args...); got[0] != "OK" {
		t.Fatal(got)
	}
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	for range rounds {
		pattern := random(9)
		want := map[string]bool{}
		for _, k := range call(t, conn, rd, "KEYS", pattern) {
			want[k] = true
		}
		for k := range keys {
			if Match([]byte(pattern), []byte(k), false) != want[k] {
				t.Fatalf("pattern %q key %q: redis says %v", pattern, k, want[k])
			}
		}
	}
}

func startRedis(t *testing.T) net.Conn {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			t.Fatal(err)
		}
		t.Skip("no redis-server")
	}
	dir := t.TempDir()
	sock := filepath.Join(dir, "s")
	cmd := exec.Command(bin, "--port", "0", "--unixsocket", sock, "--save", "", "--dir", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if conn, err := net.Dial("unix", sock); err == nil {
			t.Cleanup(func() { _ = conn.Close() })
			return conn
		}
	}
	t.Fatal("redis-server does not answer")
	return nil
}

func call(t *testing.T, w io.Writer, rd *bufio.Reader, args ...string) []string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		t.Fatal(err)
	}
	line := readLine(t, rd)
	if line[0] != '*' {
		return []string{line[1:]}
	}
	n, _ := strconv.Atoi(line[1:])
	out := make([]string, n)
	for i := range out {
		size, _ := strconv.Atoi(readLine(t, rd)[1:])
		buf := make([]byte, size+2)
		if _, err := io.ReadFull(rd, buf); err != nil {
			t.Fatal(err)
		}
		out[i] = string(buf[:size])
	}
	return out
}

func readLine(t *testing.T, rd *bufio.Reader) string {
	t.Helper()
	line, err := rd.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(line, "\r\n")
}
