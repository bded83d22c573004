package command

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kvd/kv"
	"kvd/snapshot"
)

// digestOf returns what a server answers to DEBUG DIGEST.
func digestOf(reply string) string { return strings.TrimSpace(strings.TrimPrefix(reply, "+")) }

// exchangeDumps is for the end of a test on a pair whose servers have the same data, and only
// type-preserving features of Redis 7.0 in them: each loads what the other saves, and all digests are
// the same. The data of the redis-server are those of kvd afterwards.
func exchangeDumps(t testing.TB, p *pair) {
	t.Helper()
	want := digestOf(p.ours("DEBUG", "DIGEST"))
	if got := digestOf(p.theirs.do(t, "DEBUG", "DIGEST")); got != want {
		t.Errorf("digests: kvd %s, redis %s", want, got)
		p.differences()
		return
	}
	path := filepath.Join(oracle.dir, "dump.rdb")
	if got := p.theirs.do(t, "SAVE"); got != "+OK\r\n" {
		t.Fatal("SAVE: ", got)
	}
	if got := loadDigest(t, path, *p.world.e.Store.Limits()); got != want {
		t.Errorf("kvd has loaded a dump of redis-server: digest %s, want %s", got, want)
	}
	for _, engine := range []snapshot.Engine{snapshot.Thread, snapshot.Fork, snapshot.Copy, snapshot.Foreground} {
		_, err := snapshot.Save(context.Background(), p.world.e.Store, path, snapshot.Options{Engine: engine, Verify: snapshot.VerifyFull})
		if err == snapshot.ErrForkUnavailable || err != nil && strings.Contains(err.Error(), snapshot.ErrForkUnavailable.Error()) {
			continue
		}
		if err != nil {
			t.Fatalf("%v: %v", engine, err)
		}
		if got := p.theirs.do(t, "DEBUG", "RELOAD", "NOSAVE"); got != "+OK\r\n" {
			keep(t, path)
			t.Fatalf("redis-server does not load the dump of engine %v: %s", engine, got)
		}
		if got := digestOf(p.theirs.do(t, "DEBUG", "DIGEST")); got != want {
			keep(t, path)
			t.Errorf("redis-server has loaded a dump of engine %v: digest %s, want %s", engine, got, want)
			p.differences()
		}
		if got := loadDigest(t, path, *p.world.e.Store.Limits()); got != want {
			t.Errorf("kvd has loaded its own dump of engine %v: digest %s, want %s", engine, got, want)
		}
	}
}

// loadDigest returns the digest of a dump that kvd loads, under the limits given: a listpack has no -0.
func loadDigest(t testing.TB, path string, limits kv.Limits) string {
	t.Helper()
	w := newWorld(t)
	w.e.Store.SetLimits(limits)
	if _, err := snapshot.Load(context.Background(), w.e.Store, path, snapshot.LoadOptions{}); err != nil {
		t.Errorf("kvd does not load %s: %v", path, err)
	}
	return digestOf(doString(w.e.NewCtx(), w.connect(), "DEBUG", "DIGEST"))
}

// keep copies a dump that somebody should look at out of the oracle's directory.
func keep(t testing.TB, path string) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err == nil {
		path = filepath.Join(os.TempDir(), strings.ReplaceAll(t.Name(), "/", "-")+".rdb")
		err = os.WriteFile(path, file, 0o600)
	}
	t.Log("the dump is kept as ", path, err)
}

// differences tells which keys of database 0 are not the same on both sides.
func (p *pair) differences() {
	p.t.Helper()
	keys := map[string]bool{}
	for _, reply := range []string{p.ours("KEYS", "*"), p.theirs.do(p.t, "KEYS", "*")} {
		for i, line := range strings.Split(reply, "\r\n") {
			if i > 0 && i%2 == 0 {
				keys[line] = true
			}
		}
	}
	shown := 0
	for key := range keys {
		ours, theirs := p.both("DEBUG", "DIGEST-VALUE", key)
		if ours == theirs {
			continue
		}
		if shown++; shown > 5 {
			return
		}
		for _, cmd := range [][]string{{"TYPE", key}, {"OBJECT", "ENCODING", key}, {"PTTL", key}} {
			a, b := p.both(cmd...)
			p.t.Logf("%q: kvd %q, redis %q", cmd, a, b)
		}
		a, b := p.both("DUMP", key)
		p.t.Logf("DUMP %q:\n kvd   %.400q\n redis %.400q", key, a, b)
	}
}
