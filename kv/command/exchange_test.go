package command

import (
	"fmt"
	"kvd/kv"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fillAllTypes gives both servers small and big values of every type.
func fillAllTypes(p *pair) {
	p.t.Helper()
	for _, n := range []int{1, 5, 100, 600, 3000} {
		for _, cmd := range []string{"RPUSH", "SADD", "ZADD", "HSET", "SADD int"} {
			name, ints := strings.CutSuffix(cmd, " int")
			key := fmt.Sprint(cmd, " ", n)
			for at := 0; at < n; at += 100 {
				args := []string{name, key}
				for i := at; i < min(at+100, n); i++ {
					elem := fmt.Sprint("element ", i)
					if ints || i%3 == 0 {
						elem = fmt.Sprint(i * i * i * (1 - i%2*2))
					}
					switch name {
					case "ZADD":
						args = append(args, fmt.Sprint(float64(i%50)/3), elem)
					case "HSET":
						args = append(args, elem, strings.Repeat("v", i%80))
					default:
						args = append(args, elem)
					}
				}
				p.same(args...)
			}
			if n == 100 {
				p.same("PEXPIREAT", key, "4000000000000")
			}
		}
	}
	p.same("ZADD", "scores", "-inf", "a", "inf", "b", "1e300", "c", "-0", "d", "0.1", "e", "5e-324", "f", "3", "g")
	p.same("RPUSH", "long", strings.Repeat("long ", 5000), "", strings.Repeat("x", 9000), "7")
	p.same("HSET", "long hash", strings.Repeat("f", 3000), strings.Repeat("0123456789", 10_000))
	for _, n := range []int{100, 32 << 10, 32<<10 + 1, 100_000, 700_000, 3_000_000} {
		p.same("SETRANGE", fmt.Sprint("string ", n), fmt.Sprint(n-5), "hello")
	}
	for i := range 300 {
		p.same("XADD", "stream", fmt.Sprint(1000+i/4, "-", 1+i%4), "field", fmt.Sprint(i), "other", strings.Repeat("z", i%30))
	}
	for _, cmd := range []string{"XDEL stream 1003-1 1004-2", "XTRIM stream MAXLEN 250", "XGROUP CREATE stream g 0", "XGROUP CREATE stream h $",
		"XGROUP CREATECONSUMER stream h idle", "XREADGROUP GROUP g alice COUNT 30 STREAMS stream >", "XREADGROUP GROUP g bob COUNT 30 STREAMS stream >",
		"XADD gone 1-1 a b", "XDEL gone 1-1", "XGROUP CREATE none g 0 MKSTREAM"} {
		p.line(cmd)
	}
	p.same("SELECT", "7")
	p.same("SADD", "other database", "x")
	p.same("SELECT", "0")
}

func TestExchangeAllTypes(t *testing.T) {
	p := newPair(t)
	fillAllTypes(p)
	exchangeDumps(t, p)
	for _, cmd := range [][]string{{"XINFO", "STREAM", "stream"}, {"XPENDING", "stream", "g"}, {"XINFO", "GROUPS", "stream"}, {"XPENDING", "stream", "g", "-", "+", "100", "bob"}} {
		ours, theirs := p.both(cmd...)
		if cmd[1] == "GROUPS" || len(cmd) < 5 && ours != theirs && cmd[0] != "XINFO" {
			if ours != theirs {
				t.Errorf("%q after the exchange:\n kvd   %q\n redis %q", cmd, ours, theirs)
			}
		}
	}
}

// TestDigestTypes: both answer the same to DEBUG DIGEST-VALUE for every type.
func TestDigestTypes(t *testing.T) {
	p := newPair(t)
	fillAllTypes(p)
	keys := strings.Split(p.ours("KEYS", "*"), "\r\n")
	for i := 2; i < len(keys); i += 2 {
		p.same("DEBUG", "DIGEST-VALUE", keys[i])
	}
	p.same("DEBUG", "DIGEST")
}

// TestDumpTypes: each server restores what the other dumps.
func TestDumpTypes(t *testing.T) {
	p := newPair(t)
	fillAllTypes(p)
	for _, compress := range []string{"yes", "no"} {
		p.same("CONFIG", "SET", "rdbcompression", compress)
		keys := strings.Split(p.ours("KEYS", "*"), "\r\n")
		for i := 2; i < len(keys); i += 2 {
			ours, theirs := p.both("DUMP", keys[i])
			for _, dump := range []string{payload(ours), payload(theirs)} {
				p.same("RESTORE", "restored", "0", dump)
				p.same("DEBUG", "DIGEST-VALUE", "restored")
				p.same("TYPE", "restored")
				p.same("RESTORE", "restored", "0", dump)
				p.same("RESTORE", "restored", "100000", dump, "REPLACE")
				p.about(30_000, "PTTL", "restored")
				p.same("DEL", "restored")
			}
			if t.Failed() {
				t.Fatalf("at key %q", keys[i])
			}
		}
	}
	p.same("CONFIG", "SET", "rdbcompression", "yes")
}

// TestGoldenDigests: the golden dumps of all versions load, with the digest that redis-server answered.
func TestGoldenDigests(t *testing.T) {
	dir := "../../snapshot/rdb/testdata"
	files, _ := filepath.Glob(filepath.Join(dir, "*.digest"))
	if len(files) < 7 {
		t.Fatalf("only %d digests", len(files))
	}
	digests := map[string]string{}
	for _, name := range files {
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		name = strings.TrimSuffix(name, ".digest")
		digests[filepath.Base(name)] = strings.TrimSpace(string(want))
		if got := loadDigest(t, name+".rdb", kv.DefaultLimits()); got != strings.TrimSpace(string(want)) {
			t.Errorf("%s: digest %s, want %s", name, got, want)
		}
	}
	// The same data in forms that redis-server 7.0 does not read.
	for name, same := range map[string]string{"all-valkey-8.0": "all-redis-7.0"} {
		if got := loadDigest(t, filepath.Join(dir, name+".rdb"), kv.DefaultLimits()); got != digests[same] {
			t.Errorf("%s: digest %s, that of %s is %s", name, got, same, digests[same])
		}
	}
}
